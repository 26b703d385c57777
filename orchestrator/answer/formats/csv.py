"""Tables for programs, one line per cell and seed."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from orchestrator.answer.formats._numbers import others, record, unit
from orchestrator.answer.tables import Table
from orchestrator.errors import printable

IN_STORE = True
_OF_CELL = (
    "n", "asked", "mean", "sd", "ci_low", "ci_high", "difference", "difference_low", "difference_high",
    "published", "published_sd", "gap", "verdict",
)  # fmt: skip
_FIELDS = (
    "sweep", "profile", "table", "metric", "unit", "row", "column", "seed", "status", "value", *_OF_CELL,
)  # fmt: skip


def write(table: Table) -> str:
    """One line per cell and seed, with every number of its cell, in the metric's own unit."""
    return together([table])


def together(tables: Sequence[Table]) -> str:
    """The lines of several tables, below one header."""
    out, parts = io.StringIO(), [part for whole in tables for part in whole.parts]
    fields = [*_FIELDS, *["imported"] * any(part.sources for part in parts)]
    fields += ["best"] * any(part.spec.best for part in parts)
    writer = csv.DictWriter(out, fieldnames=fields, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for table in parts:
        of_table = {
            "sweep": table.sweep, "profile": table.profile, "table": table.spec.name,
            "metric": table.spec.metric, "unit": unit(table),
        }  # fmt: skip
        for row, column, entry in table.flat():
            for seed, status in entry.seeds.items():
                line = of_table | record(row, column, entry) | {"imported": None}
                line |= {"seed": seed, "status": status, "value": entry.values.get(seed)}
                writer.writerow({name: shown(value) for name, value in line.items()})
            for source, one in zip(table.sources, entry.beside, strict=True):
                place = of_table | {
                    "row": row,
                    "column": column,
                    "status": "imported",
                    "imported": source.name,
                }
                for seed, value in one.values.items():
                    line = place | others(one) | {"seed": seed, "value": value}
                    writer.writerow({name: shown(value) for name, value in line.items()})
    return out.getvalue()


def shown(value: object) -> object:
    """`value` as a spreadsheet takes it for what it is: text that begins like a formula is text."""
    if isinstance(value, bool):
        return str(value).lower()  # as JSON has it
    if not isinstance(value, str):
        return "" if value is None else value
    text = printable(value)
    try:
        float(text)
    except ValueError:
        return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
    return text
