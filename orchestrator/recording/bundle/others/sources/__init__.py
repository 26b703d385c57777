"""Runs that others have trained, as they wrote them down: a file for each kind of source, found by its name.

read(source, experiment=None)    the `Runs` in it; `experiment` where a source has several, else None
SOURCE                           what `source` is, in a few words
"""

from __future__ import annotations

from orchestrator.errors import UsageError
from orchestrator.process.words import one_of
from orchestrator.recording.bundle.others.sources.base import Runs
from trainers.config.families import members, module


def names() -> tuple[str, ...]:
    """The kinds of source there are."""
    return members(__name__)


def read(kind: str, source: str, *, experiment: str | None = None) -> Runs:
    """The runs in a source of that kind. Writes nothing, and asks no network but that of an address.

    Raises:
        UsageError: there is no such kind, or the source is not there, damaged, or none of that kind.
        StoreError: a store does not answer.
    """
    if kind not in names():
        raise UsageError(f"no source of runs '{kind}'; expected a bundle, or {one_of(names())}")
    runs: Runs = module(__name__, kind).read(source, experiment=experiment)
    if not runs.rows:
        raise UsageError(f"{runs.file}: has no runs that ended")
    return runs
