"""Tables for programs, with every number behind them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from orchestrator.answer.formats._numbers import everything, record
from orchestrator.answer.tables import Table
from orchestrator.errors import printable

IN_STORE = True


def write(table: Table) -> str:
    """The table with every number behind it, in the metric's own unit (shares in [0, 1])."""
    return _dumped(everything(table), indent=2)


def together(tables: Sequence[Table]) -> str:
    """One document: the table, or a list of several."""
    return write(tables[0]) if len(tables) == 1 else _dumped([everything(t) for t in tables], indent=2)


def event(table: Table) -> str:
    """The same as one line, to stand behind the events of a sweep."""
    return _dumped({"event": "table"} | everything(table))


def places(table: Table) -> list[dict[str, Any]]:
    """Every number behind each place, row by row."""
    found = [record(row, column, entry) for row, column, entry in table.flat()]
    for one in table.others:
        own = dict(zip(one.columns, one.headers, strict=True))
        found += [record(row, own[column], entry) for row, column, entry in one.flat()]
    return found


def _dumped(value: Any, *, indent: int | None = None) -> str:
    text = json.dumps(value, indent=indent, ensure_ascii=False) + "\n"
    # What a terminal would obey is written out, in JSON's own way: it reads as the same text.
    return printable(text, keep="\n", written=lambda sign: f"\\u{ord(sign):04x}")
