"""Formats of tables: a file each, here or in another package, found by its name.

write(table)     the table as text
together(tables) several tables as one document, where that is more than one text after the other
ALIASES          other names of the format; may be left out
IN_STORE         whether a sweep keeps its tables so in the store, by the file's name as ending
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import TYPE_CHECKING

from orchestrator.errors import UsageError
from trainers.config import foreign
from trainers.config.families import members, module

if TYPE_CHECKING:
    from orchestrator.answer.tables import Table


def names() -> tuple[str, ...]:
    """The formats there are."""
    return tuple(sorted({*members(__name__), *foreign.names("formats")}))


def load(name: str) -> ModuleType:
    """What writes tables so.

    Raises:
        UsageError: there is no such format, or it is of another package and cannot be used.
    """
    from orchestrator.answer import plugged  # which loads pydantic: help does without

    known = names()
    if name not in known:
        same = (own for own, form in _usable() if name in getattr(form, "ALIASES", ()))
        own = next(same, None)
        if own is None:
            raise UsageError(f"no table format '{name}'; known: {', '.join(known)}")
        name = own
    return plugged.load("formats", name)


def text_of(name: str, table: Table) -> str:
    """A table in that format.

    Raises:
        UsageError: there is no such format.
    """
    from orchestrator.answer.plugged import blamed

    form = load(name)
    with blamed("formats", form):
        text: str = form.write(table)
    return text


def written(name: str, tables: Sequence[Table]) -> str:
    """Several tables in that format, as one document.

    Raises:
        UsageError: there is no such format.
    """
    from orchestrator.answer.plugged import blamed

    form = load(name)
    together: Callable[[Sequence[Table]], str] | None = getattr(form, "together", None)
    with blamed("formats", form):
        return together(tables) if together and tables else "\n".join(map(form.write, tables))


def kept() -> tuple[str, ...]:
    """The formats in which a sweep keeps its tables."""
    return tuple(name for name, form in _usable() if form.IN_STORE)


def _usable() -> Iterator[tuple[str, ModuleType]]:
    """The formats by name, but for those of other packages that cannot be used: told who asks for one."""
    from orchestrator.answer import plugged

    own = members(__name__)
    for name in names():
        with contextlib.suppress(UsageError):
            yield name, module(__name__, name) if name in own else plugged.load("formats", name)
