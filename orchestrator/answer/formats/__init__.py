"""Formats of tables: a file each, found by its name.

write(table)     the table as text
IN_STORE         whether a sweep keeps its tables so in the store, by the file's name as ending
"""

from __future__ import annotations

from types import ModuleType

from orchestrator.errors import UsageError
from trainers.config.families import members, module


def names() -> tuple[str, ...]:
    """The formats there are."""
    return members(__name__)


def load(name: str) -> ModuleType:
    """What writes tables so.

    Raises:
        UsageError: there is no such format.
    """
    if name not in names():
        raise UsageError(f"no table format '{name}'; known: {', '.join(names())}")
    return module(__name__, name)


def kept() -> tuple[str, ...]:
    """The formats in which a sweep keeps its tables."""
    return tuple(name for name in names() if load(name).IN_STORE)
