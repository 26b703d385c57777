"""Curves of a cell as a median and a band over its seeds. Numbers only; knows nothing of drawing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from orchestrator.answer.figures._finals import Final
from orchestrator.answer.statistics.summary import SQUARED
from orchestrator.records import Curves

Floats = NDArray[np.floating[Any]]


class CellCurves(NamedTuple):
    """What a figure draws of one cell."""

    label: str
    seeds: tuple[int, ...]
    curves: tuple[Curves, ...]
    """One per seed that has any, in the order of the seeds."""
    note: str
    """What a reader must know of the cell, such as "2 of 3 collapsed"; may be empty."""
    row: str = ""
    """What it shares with the cells beside it: its levels but the last."""
    is_one_trial: bool = False
    """Whether it is not a cell but one trial, with no seeds to count."""
    place: int | None = None
    """Its place among all cells of the sweep, by which it has its colour; None: that in the figure."""
    levels: Mapping[str, str | None] = {}
    """Its level of each axis; None where that does not apply."""
    numbers: Mapping[str, float] = {}
    """What those levels are as numbers, where they are some."""
    finals: Mapping[str, Final] = {}
    """Its final metrics by name, as far as the figure asks for them."""
    across: Mapping[int, Sequence[float]] | None = None
    """What stands in place of each epoch, of every seed that has it; None: the epochs themselves."""

    @property
    def remarks(self) -> list[str]:
        """What a figure says of it behind its label: its note, and the number of its seeds."""
        return [part for part in (self.note, "" if self.is_one_trial else f"n={self.reporting}") if part]

    @property
    def reporting(self) -> int:
        """Seeds that have something to draw."""
        return sum(1 for curves in self.curves if curves.metrics or curves.spectra_epochs)


class Band(NamedTuple):
    """Values over epochs, summarised over the seeds that have one there; NaN where none has.

    The median, because one collapsed seed must not bend the line of two that trained; the band from the
    least to the largest value, because three seeds carry no quantiles.
    """

    epochs: Floats
    """[R], or what stands in their place; in the order of the epochs."""
    median: Floats
    """[R] or [R, d], as `low` and `high`."""
    low: Floats
    high: Floats


def seeds_note(cells: Sequence[CellCurves], *, of: str = "") -> str:
    """What lines and bands are, where a cell has several seeds; nothing is to be said of one."""
    if not any(cell.reporting > 1 for cell in cells):
        return ""
    note = f"Lines: median over seeds; bands: smallest to largest seed{of}."
    if any(len(set(values)) > 1 for cell in cells for values in (cell.across or {}).values()):
        note += " Along the axis: median over seeds, too, epoch by epoch."
    return note


def since_first_spectrum(cell: CellCurves) -> CellCurves:
    """The cell without what it reported before its first spectrum, so that all its panels begin together."""

    def cut(curves: Curves) -> Curves:
        if not curves.spectra_epochs:
            return curves
        metrics = {
            name: tuple(pair for pair in pairs if pair[0] >= curves.spectra_epochs[0])
            for name, pairs in curves.metrics.items()
        }
        return Curves.model_construct(**dict(curves) | {"metrics": metrics})

    return cell._replace(curves=tuple(map(cut, cell.curves)))


def laid_over(cell: CellCurves, metric: str) -> CellCurves:
    """The cell with the values of `metric` in place of the epochs; what has none there is left out."""
    found: dict[int, list[float]] = {}

    def known(curves: Curves) -> Curves:
        at = {epoch: value for epoch, value in curves.metrics.get(metric, ()) if abs(value) <= SQUARED}
        for epoch, value in at.items():
            found.setdefault(epoch, []).append(value)
        rows = [row for row, epoch in enumerate(curves.spectra_epochs) if epoch in at]
        return Curves(
            metrics={
                name: tuple(pair for pair in pairs if pair[0] in at) for name, pairs in curves.metrics.items()
            },
            spectra_epochs=tuple(curves.spectra_epochs[row] for row in rows),
            spectra={name: values[rows] for name, values in curves.spectra.items()},
        )

    curves = tuple(map(known, cell.curves))
    return cell._replace(curves=curves, across=found)


def metric_band(cell: CellCurves, metric: str) -> Band | None:
    """A metric over the cell's seeds; None where no seed has a finite value."""
    pairs = [curves.metrics.get(metric, ()) for curves in cell.curves]
    return _band(cell, [([e for e, _ in pair], np.array([v for _, v in pair], float)) for pair in pairs])


def spectrum_band(cell: CellCurves, name: str, *, relative: bool = False) -> Band | None:
    """A spectrum [R, d] over the cell's seeds, rank by rank; None where no seed has a finite value.

    `relative`: each seed's divided by its own largest value, as far as that is above zero.
    """
    found = _spectra(cell, name)
    return _band(cell, [(epochs, _relative(values)) for epochs, values in found] if relative else found)


def spectrum_mean_band(cell: CellCurves, name: str) -> Band | None:
    """The mean [R] of a spectrum over its d ranks, over the cell's seeds."""
    return _band(cell, [(epochs, _mean_of_finite(values)) for epochs, values in _spectra(cell, name)])


def reported_metrics(cells: Sequence[CellCurves]) -> list[str]:
    """Every metric that some seed of some cell has reported, sorted."""
    return sorted({name for cell in cells for curves in cell.curves for name in curves.metrics})


def _spectra(cell: CellCurves, name: str) -> list[tuple[Sequence[int], Floats]]:
    found = [curves for curves in cell.curves if name in curves.spectra and curves.spectra_epochs]
    return [(curves.spectra_epochs, np.asarray(curves.spectra[name], float)) for curves in found]


def _relative(values: Floats) -> Floats:
    finite = np.isfinite(values)
    most = np.where(finite, values, 0).max(axis=1, keepdims=True, initial=0)
    shares: Floats = np.divide(values, most, out=np.full(values.shape, np.nan), where=finite & (most > 0))
    return shares


def _band(cell: CellCurves, series: Sequence[tuple[Sequence[int], Floats]]) -> Band | None:
    series = [(epochs, values) for epochs, values in series if len(epochs)]
    if not series:
        return None
    # Seeds differ in how far they got: each is laid on the union of the epochs.
    union = sorted({epoch for epochs, _ in series for epoch in epochs})
    stacked = np.full((len(series), len(union), *series[0][1].shape[1:]), np.nan)
    for row, (epochs, values) in zip(stacked, series, strict=True):
        row[np.searchsorted(union, epochs)] = values
    # What is larger is as an infinite value: neither medians nor axes of it can be computed.
    stacked[~(np.abs(stacked) <= SQUARED)] = np.nan
    known = np.isfinite(stacked).any(axis=0)
    if not known.any():
        return None
    summaries = []
    for summary in (np.nanmedian, np.nanmin, np.nanmax):
        values = np.full(known.shape, np.nan)
        values[known] = summary(stacked[:, known], axis=0)
        summaries.append(values)
    places = union if cell.across is None else [np.median(cell.across[epoch]) for epoch in union]
    return Band(np.array(places, float), *summaries)


def _mean_of_finite(values: Floats) -> Floats:
    finite = np.isfinite(values)
    total, count = np.where(finite, values, 0).sum(axis=1), finite.sum(axis=1)
    mean: Floats = np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)
    return mean
