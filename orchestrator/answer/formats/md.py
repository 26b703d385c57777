"""Tables in GitHub's Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from orchestrator.answer.formats._written import cells, legend, title
from orchestrator.answer.tables import Table

ALIASES = ("markdown",)
IN_STORE = True
# HTML, entities, links, emphasis and code; an underscore inside a word, and one in a formula, mean nothing.
_MARKUP = re.compile(r"[|<*`]|&(?=#?\w+;)|~(?=.*~)|\](?=[(\[])|(?<![\w$])_|_(?![\w{])|\\(?=[!-/:-@\[-`{-~])")


def write(table: Table) -> str:
    """The table in GitHub's Markdown."""
    head, body = cells(table)
    head, *body = ([*map(escaped, row)] for row in (head, *body))
    notes = [f"- {escaped(note)}" for note in legend(table)]
    return "\n".join([f"**{escaped(title(table))}**", "", in_rows(head, body, right=True), "", *notes]) + "\n"


def in_rows(head: Sequence[str], body: Iterable[Sequence[str]], *, right: bool = False) -> str:
    """A table in Markdown, of cells that are Markdown; all but the first column perhaps to the right."""
    rule = ["---", *["---:" if right else "---"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *body))


def escaped(words: str) -> str:
    """`words` as Markdown that reads the same."""
    return _MARKUP.sub(lambda m: "\\" + m[0], words)
