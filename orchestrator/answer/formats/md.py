"""Tables in GitHub's Markdown."""

from __future__ import annotations

import re

from orchestrator.answer.formats._written import cells, legend, title
from orchestrator.answer.tables import Table

ALIASES = ("markdown",)
IN_STORE = True
# HTML, links, emphasis and code; an underscore inside a word, and one in a formula, mean nothing.
_MARKUP = re.compile(r"[|<*`]|\](?=[(\[])|(?<![\w$])_|_(?![\w{])|\\(?=[!-/:-@\[-`{-~])")


def write(table: Table) -> str:
    """The table in GitHub's Markdown."""
    head, body = cells(table)
    rows = [[*map(escaped, head)], ["---"] + ["---:"] * (len(head) - 1)]
    rows += [[*map(escaped, row)] for row in body]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    notes = [f"- {escaped(note)}" for note in legend(table)]
    return "\n".join([f"**{escaped(title(table))}**", "", *lines, "", *notes]) + "\n"


def escaped(words: str) -> str:
    """`words` as Markdown that reads the same."""
    return _MARKUP.sub(lambda m: "\\" + m[0], words)
