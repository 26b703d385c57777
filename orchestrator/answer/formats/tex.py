"""Tables in LaTeX with booktabs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from orchestrator.answer.formats._latex import foreign, tex_text
from orchestrator.answer.formats._written import cells, legend, title
from orchestrator.answer.tables import Table
from trainers.measures.catalogue import METRICS

ALIASES = ("latex",)
IN_STORE = True


def write(table: Table) -> str:
    """The table in LaTeX with booktabs; compiles in a document that loads booktabs, nothing else."""
    head, body = cells(table, tex=True)
    return framed(table, "l" + "r" * (len(head) - 1), [head, *body])


def framed(
    table: Table,
    columns: str,
    lines_of_cells: Sequence[Sequence[str]],
    *,
    package: str = "",
    before: str = "",
) -> str:
    """Head and rows of a table, written, with everything around them.

    Args:
        table: which.
        columns: how LaTeX sets each of them.
        lines_of_cells: the head, and every row.
        package: another one that is needed besides booktabs.
        before: a line of LaTeX before the tabular.
    """
    # {}: a row that begins with [ or * would be an argument of what ends the row before.
    rows = ["{}" + " & ".join(row) + r" \\" for row in lines_of_cells]
    notes = " ".join(f"{note}." for note in legend(table, tex=True))
    named = title(table, lambda metric: METRICS[metric].words if metric in METRICS else metric)
    name = re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(dict.fromkeys((table.sweep, table.spec.name))))
    lines = [
        r"\begin{table}",
        r"  \centering",
        *([f"  {before}"] if before else []),
        rf"  \begin{{tabular}}{{{columns}}}",
        r"    \toprule",
        f"    {rows[0]}",
        r"    \midrule",
        *(f"    {row}" for row in rows[1:]),
        r"    \bottomrule",
        r"  \end{tabular}",
        rf"  \caption{{{tex_text(named)}. {notes}}}",
        rf"  \label{{tab:{name}}}",
        r"\end{table}",
        "",
    ]
    strange = foreign("".join([*table.rows, *table.columns, named, *legend(table)]))
    needs = " and ".join(rf"\usepackage{{{one}}}" for one in filter(None, ("booktabs", package)))
    above = [f"% {title(table)}", f"% needs {needs}"]
    above += [f"% pdfLaTeX has no sign for {c}: U+{ord(c):04X} stands for it" for c in strange]
    return "\n".join([*above, *lines])
