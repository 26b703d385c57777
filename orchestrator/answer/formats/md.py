"""Tables in GitHub's Markdown."""

from __future__ import annotations

from orchestrator.answer.formats._written import cells, legend, title
from orchestrator.answer.tables import Table

ALIASES = ("markdown",)
IN_STORE = True


def write(table: Table) -> str:
    """The table in GitHub's Markdown."""
    head, body = cells(table, "±")
    rows = [head, ["---"] + ["---:"] * (len(head) - 1), *body]
    escaped = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows]
    notes = [f"- {note}" for note in legend(table)]
    return "\n".join([f"**{title(table)}**", "", *escaped, "", *notes]) + "\n"
