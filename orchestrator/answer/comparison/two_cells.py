"""Two cells of a sweep side by side: their settings, final metrics and curves, from records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from orchestrator.answer.comparison.measured import Measured, of_every_cell
from orchestrator.answer.draw.cells import cell_curves
from orchestrator.answer.figures import curves as by_epoch
from orchestrator.answer.figures._bands import Band, metric_band, reported_metrics
from orchestrator.answer.statistics import Summary, paired, summarise
from orchestrator.answer.tables.notes import pairing
from orchestrator.errors import UsageError
from orchestrator.language.hints import nearest
from orchestrator.planning.difference import settings
from orchestrator.planning.expand import Expansion
from orchestrator.planning.find import find_trials
from orchestrator.planning.trials import Cell
from orchestrator.records import Curves, TrialRecord

Values = Mapping[int, float]
UNEQUAL = "the file has a `schedule`, which ends trials early: budgets differ, so a difference shows little"


class Final(NamedTuple):
    """A final metric of both."""

    of: Measured
    """How it is written, and what a reader must know of it."""
    values: tuple[Values, Values]
    """By seed."""

    @property
    def summaries(self) -> tuple[Summary | None, Summary | None]:
        """Of each cell."""
        first, second = (summarise(list(one.values())) for one in self.values)
        return first, second

    @property
    def difference(self) -> Summary | None:
        """The second cell minus the first, paired by seed."""
        return paired(self.values[1], self.values[0])


class Curve(NamedTuple):
    """A metric of both by epoch."""

    metric: str
    bands: tuple[Band | None, Band | None]
    """Median, smallest and largest over the seeds of each cell; None where no seed has reported it."""


class TwoCells(NamedTuple):
    """Two cells side by side."""

    sweep: str
    profile: str | None
    cells: tuple[Cell, Cell]
    remarks: tuple[str, str]
    """How trials of each ended otherwise than well, such as "1 of 3 collapsed"; may be empty."""
    different: tuple[tuple[str, Any, Any], ...]
    """Path and both values of each setting that differs; None: not set."""
    alike: int
    """Settings that do not differ."""
    finals: tuple[Final, ...]
    curves: tuple[Curve, ...]
    notes: tuple[str, ...]
    tests: bool
    """Whether `--against` may test their difference: their budgets are equal."""


def cells_named(expansion: Expansion, first: str, second: str) -> tuple[Cell, Cell]:
    """The cells of these names.

    Raises:
        UsageError: there is no such cell, or both are one.
    """
    one, other = (find_trials(expansion, name)[0].cell for name in (first, second))
    if one.choice == other.choice:
        raise UsageError(f"'{first}' and '{second}' are one cell, '{one.label}'; name two")
    return one, other


def side_by_side(
    expansion: Expansion,
    records: Mapping[str, TrialRecord],
    curves: Mapping[str, Curves],
    cells: tuple[Cell, Cell],
    *,
    metric: str | None = None,
) -> TwoCells:
    """Two cells of a sweep side by side.

    Args:
        expansion: the trials asked for.
        records: what arrived, by trial id.
        curves: of the trials of both cells, by id.
        cells: which.
        metric: the only one to show; None: those of the sweep's tables and other accuracies after training,
            and by epoch those of its figure of curves.

    Raises:
        UsageError: neither has reported that metric.
    """
    two = _only(expansion, cells)
    first, second = drawn = cell_curves(two, (0, 1), records, curves)
    known = {name for one in two.trials if one.id in records for name in records[one.id].metrics}
    epochs = reported_metrics(drawn)
    if metric is not None and metric not in known and metric not in epochs:
        reported = sorted({*known, *epochs})
        hint = nearest(metric, reported) if reported else "neither cell has reported anything yet"
        raise UsageError(f"metric '{metric}' was never reported; {hint}")
    finals = [_final(two, name, records) for name in _finals(expansion, known, metric)]
    shown = [name for name in _by_epoch(expansion, metric) if name in epochs]
    every = [Curve(name, (metric_band(first, name), metric_band(second, name))) for name in shown]
    told = [*[UNEQUAL] * expansion.spec.searches, *pairing(expansion)]
    both = list(settings(*cells))
    different = [one for one in both if one[1] != one[2]]
    return TwoCells(
        expansion.spec.name,
        expansion.brief_setting,
        cells,
        (first.note, second.note),
        tuple(different),
        len(both) - len(different),
        tuple(finals),
        tuple(one for one in every if one.bands != (None, None)),
        tuple(dict.fromkeys([*told, *(note for one in finals for note in one.of.notes)])),
        not expansion.spec.searches,
    )


def trials_of(expansion: Expansion, cells: Sequence[Cell]) -> list[str]:
    """Ids of the trials of these cells."""
    return list(dict.fromkeys(cell.trial_id(seed) for cell in cells for seed in expansion.seeds_of(cell)))


def _only(expansion: Expansion, cells: tuple[Cell, Cell]) -> Expansion:
    """The sweep as if it had these cells alone."""
    ids, choices = frozenset(trials_of(expansion, cells)), {cell.choice for cell in cells}
    return expansion._replace(
        cells=cells,
        trials=tuple(one for one in expansion.trials if one.id in ids),
        excluded=tuple(one for one in expansion.excluded if one[0].cell.choice in choices),
    )


def _finals(expansion: Expansion, known: set[str], metric: str | None) -> list[str]:
    if metric is not None:
        return [metric] if metric in known else []
    own = [name for table in expansion.spec.tables for name in table.metrics if name in known]
    return list(dict.fromkeys([*own, *sorted(name for name in known if name.endswith("/top1"))]))


def _by_epoch(expansion: Expansion, metric: str | None) -> Sequence[str]:
    if metric is not None:
        return [metric]
    figures = (one for one in expansion.spec.figures if one.kind == "curves")
    return list(dict.fromkeys(name for one in figures for name in one.columns)) or by_epoch.DEFAULT


def _final(expansion: Expansion, metric: str, records: Mapping[str, TrialRecord]) -> Final:
    of = of_every_cell(expansion, records, metric)
    values = {cell.choice: entry.values for cell, entry in of.cells}  # in the order of the axes, not as asked
    first, second = (values[cell.choice] for cell in expansion.cells)
    return Final(of, (first, second))


def records_of(found: TwoCells) -> dict[str, Any]:
    """Everything, for programs, in each metric's own unit (shares in [0, 1])."""
    return {
        "sweep": found.sweep,
        "profile": found.profile,
        "cells": [
            {"cell": cell.label, "remark": remark, "config": cell.config().model_dump(mode="json")}
            for cell, remark in zip(found.cells, found.remarks, strict=True)
        ],
        "different": [{"setting": path, "first": a, "second": b} for path, a, b in found.different],
        "alike": found.alike,
        "metrics": [_record(one) for one in found.finals],
        "curves": [
            {"metric": one.metric, "first": _points(one.bands[0]), "second": _points(one.bands[1])}
            for one in found.curves
        ],
        "notes": list(found.notes),
    }


def _record(one: Final) -> dict[str, Any]:
    told: dict[str, Any] = {"metric": one.of.metric, "unit": "share" if one.of.in_percent else "plain"}
    for name, values, summary in zip(("first", "second"), one.values, one.summaries, strict=True):
        told[name] = _numbers(summary) | {"values": {str(seed): value for seed, value in values.items()}}
    return told | {"difference": _numbers(one.difference)}


def _numbers(summary: Summary | None) -> dict[str, Any]:
    return {"n": 0} if summary is None else summary._asdict()


def _points(band: Band | None) -> dict[str, list[float | None]] | None:
    if band is None:
        return None
    return {name: [None if x != x else float(x) for x in values] for name, values in band._asdict().items()}
