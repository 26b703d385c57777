"""A final metric of a cell, as figures draw it. Numbers only; knows nothing of drawing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.answer.statistics import Summary, summarise
from orchestrator.answer.statistics.summary import average
from orchestrator.errors import UsageError
from orchestrator.language.figure_spec import FigureSpec

if TYPE_CHECKING:
    from orchestrator.answer.figures._bands import CellCurves

ORDER = ("diverged", "collapsed", "dimensional", "pruned")
"""Statuses that a figure marks, the gravest first."""


class Final(NamedTuple):
    """One metric of one cell at the end of its trials, in the unit that people read."""

    words: str
    """What the metric is, with its unit."""
    values: Mapping[int, float]
    """By seed, as far as it was reported."""
    statuses: Mapping[int, str]
    """By seed, of every trial that the sweep asks for here."""
    published: float | None = None
    source: str = ""
    """What the published number is, and whose."""

    @property
    def summary(self) -> Summary | None:
        """Mean and 95 % interval over its seeds, as tables and `orch compare` have them."""
        return summarise(list(self.values.values()))


def metrics_of(figure: FigureSpec, cells: Sequence[CellCurves]) -> tuple[str, ...]:
    """The metrics to draw, which some cell has.

    Raises:
        UsageError: there are none, as of a single trial.
    """
    there = {name for cell in cells for name in cell.finals}
    metrics = tuple(name for name in figure.columns or tuple(cells[0].finals) if name in there)
    if not metrics:
        raise UsageError(
            f"figure '{figure.file_name}': kind {figure.kind} compares cells by a final metric, and there is "
            "none here"
        )
    return metrics


def averaged(finals: Sequence[Final]) -> Final:
    """The mean of several cells, seed by seed, over the seeds that each of them has; one stays as it is.

    A seed is a block: what its trials share stays in the mean, and cancels in differences. It has the
    gravest status of its trials.
    """
    if len(finals) == 1:
        return finals[0]
    seeds = set.intersection(*(set(one.values) for one in finals))
    values = {seed: average([one.values[seed] for one in finals]) for seed in sorted(seeds)}
    every = dict.fromkeys(seed for one in finals for seed in one.statuses)
    return Final(finals[0].words, values, {seed: _gravest(finals, seed) for seed in every})


def _gravest(finals: Sequence[Final], seed: int) -> str:
    found = {one.statuses.get(seed, "missing") for one in finals}
    return next((status for status in ORDER if status in found), min(found))


def interval_note(finals: Sequence[Final], *, intervals: bool = True) -> str:
    """What means and intervals are, and of how many seeds."""
    numbers = sorted({len(one.values) for one in finals if one.values})
    if not numbers:
        return "No trial has a number yet."
    seeds = f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else f"{numbers[0]}"
    if numbers[-1] == 1:
        return "One seed each: there is no interval." if intervals else "One seed each."
    told = f"Small points: single seeds, {seeds} of each."
    return f"{told} Intervals: 95 % of the mean by Student's t." if intervals else told


def published_note(finals: Sequence[Final]) -> str:
    """Whose the open markers are; empty where nothing is published."""
    sources = dict.fromkeys(one.source for one in finals if one.published is not None)
    return f"Open diamonds: {'; '.join(sources)}." if sources else ""
