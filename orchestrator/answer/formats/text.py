"""Tables for a terminal or a log: plain characters, aligned columns."""

from __future__ import annotations

from orchestrator.answer.formats._written import cells, groups, legend, title
from orchestrator.answer.tables import Table
from orchestrator.process.words import in_columns, in_lines

IN_STORE = False


def write(table: Table, *, within: int | None = None) -> str:
    """The table for a terminal or a log, in plain characters and aligned columns.

    Args:
        table: which.
        within: characters of a line; columns that have no room stand below again, notes go on below.
    """
    head, body = cells(table)
    lines = [title(table), "", *in_columns([head, None, *body], within=within, groups=groups(table)), ""]
    notes = (line for note in legend(table) for line in in_lines(note, within, indent="  "))
    return "\n".join([*lines, *notes]) + "\n"
