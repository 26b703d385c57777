"""Tables in reStructuredText: a toy that shows what a format takes."""

from __future__ import annotations

from orchestrator.answer.formats._written import cells, legend, title
from orchestrator.answer.tables import Table

IN_STORE = False


def write(table: Table) -> str:
    """The table as a list-table."""
    head, body = cells(table, "±")
    lines = [f".. list-table:: {title(table)}", "   :header-rows: 1", ""]
    for row in (head, *body):
        lines += [f"   {'*' if index == 0 else ' '} - {cell}" for index, cell in enumerate(row)]
    return "\n".join([*lines, "", *legend(table)]) + "\n"
