"""Tables in HTML, for a notebook or a page."""

from __future__ import annotations

import html

from orchestrator.answer.formats._written import cells, legend, title
from orchestrator.answer.tables import Table

IN_STORE = False


def write(table: Table) -> str:
    """The table in HTML, without a style of its own."""
    head, body = cells(table)
    rows = [_row(head, "th"), *(_row(row, "td") for row in body)]
    notes = [f"<li>{html.escape(note)}</li>" for note in legend(table)]
    lines = ["<table>", f"<caption>{html.escape(title(table))}</caption>", *rows, "</table>"]
    return "\n".join([*lines, "<ul>", *notes, "</ul>"]) + "\n"


def _row(row: list[str], tag: str) -> str:
    first, *rest = (html.escape(cell) for cell in row)
    return f"<tr><th>{first}</th>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in rest) + "</tr>"
