"""What others have measured, beside a table's own numbers and never among them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from orchestrator.answer.figures._bands import CellCurves
from orchestrator.answer.statistics import summarise
from orchestrator.answer.tables import Source, Table
from orchestrator.answer.tables.entries import Beside
from orchestrator.planning.expand import Expansion
from orchestrator.planning.trials import Cell
from orchestrator.records import Curves, Imported, TrialRecord


def levels_of(cell: Cell) -> dict[str, str]:
    """A cell by its levels, as results of others name it."""
    return {axis: level for axis, level in cell.choice if level is not None}


def by_source(records: Sequence[TrialRecord]) -> dict[str, list[tuple[Imported, TrialRecord]]]:
    """Results of others by the name of their source."""
    found: dict[str, list[tuple[Imported, TrialRecord]]] = {}
    for record in records:
        if record.imported is not None:
            found.setdefault(record.imported.source, []).append((record.imported, record))
    return found


def with_others(table: Table, records: Sequence[TrialRecord]) -> Table:
    """`table` with what others have measured of its places, a column for each source; its own numbers stay.

    Args:
        table: of the sweep.
        records: results of others.
    """
    metric = table.spec.metric
    sources, columns, notes = list[Source](), list[dict[str, Mapping[int, float]]](), list[str]()
    for name, results in by_source(records).items():
        values: dict[str, dict[int, float]] = {}
        for origin, record in results:
            if math.isfinite(value := record.metrics.get(metric, math.nan)):
                values.setdefault(_key(origin.levels), {})[origin.seed] = value
        shown = {_key(levels_of(entry.cell)) for _, _, entry in table.flat() if entry.cell is not None}
        if values.keys().isdisjoint(shown):
            notes.append(f"{name} (imported) has no {metric} of these cells")
            continue
        sources.append(Source(name, _whence(origin for origin, _ in results)))
        columns.append(dict(values))
    entries = tuple(
        tuple(
            entry._replace(beside=tuple(_place(entry.cell, column) for column in columns)) for entry in line
        )
        for line in table.entries
    )
    more = tuple(with_others(one, records) for one in table.others)
    told = (*table.notes, *notes)
    return table._replace(entries=entries, sources=tuple(sources), notes=told, others=more)


def curves_of_others(
    expansion: Expansion, records: Sequence[TrialRecord], curves: Mapping[str, Curves]
) -> list[tuple[dict[str, str], CellCurves]]:
    """What figures draw of others: for each source and cell its curves, with the levels of the cell."""
    drawn = []
    for name, results in by_source(records).items():
        for cell in expansion.cells:
            levels = levels_of(cell)
            there = {
                origin.seed: curves[record.trial_id]
                for origin, record in results
                if origin.levels == levels and record.trial_id in curves
            }
            if there:
                label = f"{cell.label} ({name})"
                drawn.append((levels, CellCurves(label, tuple(there), tuple(there.values()), "imported")))
    return drawn


def _place(cell: Cell | None, values: Mapping[str, Mapping[int, float]]) -> Beside:
    found = {} if cell is None else values.get(_key(levels_of(cell)), {})
    return Beside(found, summarise(list(found.values())))


def _key(levels: Mapping[str, str]) -> str:
    return repr(sorted(levels.items()))


def _whence(origins: Iterable[Imported]) -> tuple[Imported, ...]:
    """One of each file and day."""
    return tuple({(one.file, one.sha256, one.date): one for one in origins}.values())
