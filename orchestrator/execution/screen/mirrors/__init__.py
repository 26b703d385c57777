"""Mirrors: where trials are shown beside the store. A file each, found by its name.

deliver(run, folder, *, again)    show a `MirroredRun` there, as one run whatever was shown of it before;
                                  `folder` is the mirror's own, `again`: another result of it was shown
PACKAGE                           the package that it needs
where(folder, sweep)              where people find the runs of a sweep, in a few words
refused()                         why nothing can be shown, in words that follow "--mirror NAME"; None: it can
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from types import ModuleType

from orchestrator.errors import UsageError
from trainers.config.families import members, module


def names() -> tuple[str, ...]:
    """The mirrors there are."""
    return members(__name__)


def load(name: str) -> ModuleType:
    """A mirror's file."""
    return module(__name__, name)


def checked(wanted: Iterable[str]) -> tuple[str, ...]:
    """The mirrors of these names, each once.

    Raises:
        UsageError: there is none of a name, or it cannot be used here.
    """
    found = tuple(dict.fromkeys(wanted))
    for name in found:
        if name not in names():
            raise UsageError(f"--mirror {name}: no such mirror; known: {', '.join(names())}")
        package = load(name).PACKAGE
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:  # a folder of that name, as W&B makes one, is none
            told = f"--mirror {name} needs the package {package}, which is not installed"
            raise UsageError(f"{told}; `pip install 'orch-ssl[{name}]'` brings it")
        if (why := load(name).refused()) is not None:
            raise UsageError(f"--mirror {name} {why}")
    return found
