"""Tables for programs, with every number behind them."""

from __future__ import annotations

import json
from typing import Any

from orchestrator.answer.formats._numbers import everything, record
from orchestrator.answer.tables import Table

IN_STORE = True


def write(table: Table) -> str:
    """The table with every number behind it, in the metric's own unit (shares in [0, 1])."""
    return json.dumps(everything(table), indent=2, ensure_ascii=False) + "\n"


def event(table: Table) -> str:
    """The same as one line, to stand behind the events of a sweep."""
    return json.dumps({"event": "table"} | everything(table), ensure_ascii=False) + "\n"


def places(table: Table) -> list[dict[str, Any]]:
    """Every number behind each place, row by row."""
    return [record(row, column, entry) for row, column, entry in table.flat()]
