"""Tables in LaTeX with booktabs and siunitx, whose columns stand under each other by their decimal points."""

from __future__ import annotations

import re
from collections.abc import Sequence

from orchestrator.answer.formats._written import cells
from orchestrator.answer.formats.tex import framed
from orchestrator.answer.tables import Table

IN_STORE = False
_NUMBER = re.compile(r"(\$-\$|\+)?(\d+)(?:\.(\d+))?(?![\d.e])(.*)", re.DOTALL)
"""A cell as `tex` has it: sign, digits before and after the point, and what stands behind the number.
One with a power of ten is none: siunitx would leave room for a power in the whole column."""
_SETUP = r"\sisetup{retain-explicit-plus}"
"""In the table's own group: the rest of a paper is as it was."""


def write(table: Table) -> str:
    """The table in LaTeX; compiles in a document that loads booktabs and siunitx, nothing else."""
    head, body = cells(table, tex=True)
    columns, written = "l", [[row[0]] for row in (head, *body)]
    for place in range(1, len(head)):
        column, made = _column(head[place], [row[place] for row in body])
        columns += column
        for line, cell in zip(written, made, strict=True):
            line.append(cell)
    return framed(table, columns, written, package="siunitx", before=_SETUP)


def _column(head: str, body: Sequence[str]) -> tuple[str, list[str]]:
    """How a column is set, and its cells: numbers by their points, and in a column beside what follows them.

    siunitx itself would print no spread of zero, and let marks run into the next column.
    """
    found = [_NUMBER.fullmatch(cell) for cell in body]
    numbers = [one for one in found if one]
    if not numbers:
        return "r", [head, *body]
    sign = "+" if any(one[1] for one in numbers) else ""
    form = f"{sign}{max(len(one[2]) for one in numbers)}.{max(len(one[3] or '') for one in numbers)}"
    several = any(one[4] for one in numbers)
    made = [rf"\multicolumn{{2}}{{c}}{{{head}}}" if several else f"{{{head}}}"]
    for cell, one in zip(body, found, strict=True):
        if one is None:
            made.append(rf"\multicolumn{{2}}{{c}}{{{cell}}}" if several else f"{{{cell}}}")
            continue
        number = ("-" if one[1] == "$-$" else one[1] or "") + one[2] + (f".{one[3]}" if one[3] else "")
        rest = one[4].strip()
        made.append(f"{number} & {'~' * bool(rest)}{rest}".rstrip() if several else number)
    return f"S[table-format={form}]" + "@{}l" * several, made
