"""Tables in LaTeX with booktabs."""

from __future__ import annotations

from orchestrator.answer.formats._written import cells, legend, tex_text, title
from orchestrator.answer.tables import Table

ALIASES = ("latex",)
IN_STORE = True


def write(table: Table) -> str:
    """The table in LaTeX with booktabs; compiles in a document that loads booktabs, nothing else."""
    head, body = cells(table, r"$\pm$", tex=True)
    columns = "l" + "r" * (len(head) - 1)
    rows = [" & ".join(row) + r" \\" for row in [head, *body]]
    notes = " ".join(f"{note}." for note in legend(table, tex=True))
    return "\n".join(
        [
            rf"% {title(table)}",
            r"\begin{table}",
            r"  \centering",
            rf"  \begin{{tabular}}{{{columns}}}",
            r"    \toprule",
            f"    {rows[0]}",
            r"    \midrule",
            *(f"    {row}" for row in rows[1:]),
            r"    \bottomrule",
            r"  \end{tabular}",
            rf"  \caption{{{tex_text(title(table))}. {notes}}}",
            r"\end{table}",
            "",
        ]
    )
