"""Tables in HTML, for a notebook or a page."""

from __future__ import annotations

import html

from orchestrator.answer.formats._written import cells, legend, title
from orchestrator.answer.tables import Table

IN_STORE = False


def write(table: Table) -> str:
    """The table in HTML, without a style of its own."""
    head, body = cells(table)
    head, *rows = ([html.escape(cell) for cell in row] for row in (head, *body))
    titles = "".join(f'<th scope="col">{cell}</th>' for cell in head[1:])
    lines = ["<table>", f"<caption>{html.escape(title(table))}</caption>"]
    lines += ["<thead>", f"<tr><td></td>{titles}</tr>", "</thead>", "<tbody>", *map(_row, rows), "</tbody>"]
    notes = [f"<li>{html.escape(note)}</li>" for note in legend(table)]
    return "\n".join([*lines, "</table>", "<ul>", *notes, "</ul>"]) + "\n"


def _row(row: list[str]) -> str:
    first, *rest = row
    return f'<tr><th scope="row">{first}</th>' + "".join(f"<td>{cell}</td>" for cell in rest) + "</tr>"
