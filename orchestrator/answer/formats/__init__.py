"""Formats of tables: a file each, found by its name.

write(table)     the table as text
together(tables) several tables as one document, where that is more than one text after the other
ALIASES          other names of the format; may be left out
IN_STORE         whether a sweep keeps its tables so in the store, by the file's name as ending
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING

from orchestrator.errors import UsageError
from trainers.config.families import members, module

if TYPE_CHECKING:
    from orchestrator.answer.tables import Table


def names() -> tuple[str, ...]:
    """The formats there are."""
    return members(__name__)


def load(name: str) -> ModuleType:
    """What writes tables so.

    Raises:
        UsageError: there is no such format.
    """
    known = names()
    if name not in known:
        same = (own for own in known if name in getattr(module(__name__, own), "ALIASES", ()))
        own = next(same, None)
        if own is None:
            raise UsageError(f"no table format '{name}'; known: {', '.join(known)}")
        name = own
    return module(__name__, name)


def written(name: str, tables: Sequence[Table]) -> str:
    """Several tables in that format, as one document.

    Raises:
        UsageError: there is no such format.
    """
    form = load(name)
    together: Callable[[Sequence[Table]], str] | None = getattr(form, "together", None)
    return together(tables) if together and tables else "\n".join(map(form.write, tables))


def kept() -> tuple[str, ...]:
    """The formats in which a sweep keeps its tables."""
    return tuple(name for name in names() if load(name).IN_STORE)
