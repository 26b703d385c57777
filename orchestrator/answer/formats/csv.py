"""Tables for programs, one line per place."""

from __future__ import annotations

import csv
import io

from orchestrator.answer.formats._numbers import record
from orchestrator.answer.tables import Table

IN_STORE = True
_FIELDS = (
    "row", "column", "n", "asked", "mean", "sd", "ci_low", "ci_high", "difference", "difference_low",
    "difference_high", "published", "published_sd", "gap", "verdict", "statuses", "values",
)  # fmt: skip


def write(table: Table) -> str:
    """One line per place with every number behind it, in the metric's own unit (shares in [0, 1])."""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(_FIELDS), lineterminator="\n")
    writer.writeheader()
    for row, column, entry in table.flat():
        line = record(row, column, entry)
        for name in ("statuses", "values"):
            line[name] = " ".join(f"{k}={v}" for k, v in line[name].items())
        writer.writerow({k: "" if v is None else v for k, v in line.items()})
    return out.getvalue()
