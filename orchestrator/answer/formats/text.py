"""Tables for a terminal or a log: plain characters, aligned columns."""

from __future__ import annotations

from orchestrator.answer.formats._written import cells, legend, title
from orchestrator.answer.tables import Table

IN_STORE = False


def write(table: Table) -> str:
    """The table for a terminal or a log, in plain characters and aligned columns."""
    head, body = cells(table)
    widths = [max(len(row[i]) for row in [head, *body]) for i in range(len(head))]
    line = "  ".join("─" * width for width in widths)

    def written(row: list[str]) -> str:
        return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()

    lines = [title(table), "", written(head), line, *map(written, body), ""]
    return "\n".join(lines + [f"  {note}" for note in legend(table)]) + "\n"
