"""Every number behind a table, in the metric's own unit (shares in [0, 1])."""

from __future__ import annotations

from typing import Any

from orchestrator.answer.tables import Source, Table
from orchestrator.answer.tables.entries import Beside, Entry
from orchestrator.language.table_spec import Published


def everything(table: Table) -> dict[str, Any]:
    """The table."""
    published = table.spec.published
    told = {
        "table": table.spec.name,
        "sweep": table.sweep,
        "profile": table.profile,
        "metric": table.spec.metric,
        "unit": unit(table),
        "seeds": list(table.seeds),
        "rows": list(table.rows),
        "columns": list(table.columns),
        "published": None if published is None else _source(table, published),
        "entries": [record(row, column, entry) for row, column, entry in table.flat()],
        "expected": table.spec.expected,
        "prediction": table.prediction,
        "notes": list(table.notes),
    }
    if own := _own_seeds(table):
        told["cell_seeds"] = own
    if table.judged:
        told["expectations"] = [
            {name: value for name, value in one._asdict().items() if name not in ("n", "diverged")}
            for one in table.judged
        ]
    if table.others:
        told["further"] = [everything(one) for one in table.others]
    if table.sources:
        told["imported"] = [_origin(source) for source in table.sources]
    return told


def _own_seeds(table: Table) -> list[dict[str, Any]]:
    """The places whose trials have others than the table's `seeds`."""
    return [
        {"row": row, "column": column, "seeds": list(entry.seeds)}
        for row, column, entry in table.flat()
        if entry.asked and tuple(entry.seeds) != table.seeds
    ]


def _origin(source: Source) -> dict[str, Any]:
    whence = [{"file": one.file, "sha256": one.sha256, "date": one.date} for one in source.origins]
    return {"name": source.name, "from": whence}


def others(one: Beside) -> dict[str, Any]:
    """What a source has of a place."""
    summary = one.summary
    return {
        "n": summary.n if summary else 0,
        "mean": summary.mean if summary else None,
        "sd": summary.sd if summary else None,
        "ci_low": summary.low if summary else None,
        "ci_high": summary.high if summary else None,
        "values": {str(seed): value for seed, value in one.values.items()},
    }


def unit(table: Table) -> str:
    """What the numbers are: shares in [0, 1], or plain."""
    return "share" if table.spec.in_percent else "plain"


def _source(table: Table, published: Published) -> dict[str, Any]:
    # The tolerance in the unit of the numbers, and without the noise of dividing by 100.
    scale = 100 if table.spec.in_percent else 1
    tolerance = None if published.tolerance is None else round(published.tolerance / scale, 12)
    return {"source": published.source, "profile": published.profile, "tolerance": tolerance}


def record(row: str, column: str, entry: Entry) -> dict[str, Any]:
    """One place."""
    summary, against = entry.summary, entry.against
    return {
        "row": row,
        "column": column,
        "n": summary.n if summary else 0,
        "asked": entry.asked,
        "mean": summary.mean if summary else None,
        "sd": summary.sd if summary else None,
        "ci_low": summary.low if summary else None,
        "ci_high": summary.high if summary else None,
        "difference": against.mean if against else None,
        "difference_low": against.low if against else None,
        "difference_high": against.high if against else None,
        "published": None if entry.published is None else round(entry.published, 12),
        "published_sd": None if entry.published_sd is None else round(entry.published_sd, 12),
        "gap": entry.gap,
        "verdict": entry.verdict,
        "statuses": dict(entry.statuses),
        "values": {str(seed): value for seed, value in entry.values.items()},
        **({"imported": [others(one) for one in entry.beside]} if entry.beside else {}),
        **({} if entry.is_best is None else {"best": entry.is_best}),
    }
