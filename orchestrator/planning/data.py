"""Data that trials need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from orchestrator.planning.trials import TrialSpec
from trainers.config.plugins import behind


def missing_data(trials: Iterable[TrialSpec], root: Path | None) -> Iterator[str]:
    """A sentence about each data set that these trials need and that is not there."""
    seen = set()
    for trial in trials:
        config = trial.cell.fields.get("data")
        if config is None or config in seen:
            continue
        seen.add(config)
        look = getattr(behind(type(config)), "missing", None)
        if look and (problem := look(config, root=root)):
            yield problem
