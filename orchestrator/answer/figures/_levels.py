"""Axes among the cells of a figure: which vary, whether they are crossed, and which are numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from orchestrator.answer.figures._bands import CellCurves
from orchestrator.errors import UsageError
from orchestrator.language.figure_spec import FigureSpec
from orchestrator.language.hints import nearest


def varied(cells: Sequence[CellCurves]) -> dict[str, list[str]]:
    """The axes with two levels or more among the cells: those levels, in the order of the cells."""
    found: dict[str, dict[str, None]] = {}
    for cell in cells:
        for axis, level in cell.levels.items():
            if level is not None:
                found.setdefault(axis, {})[level] = None
    return {axis: list(levels) for axis, levels in found.items() if len(levels) > 1}


def check_axes(figure: FigureSpec, cells: Sequence[CellCurves]) -> dict[str, list[str]]:
    """The axes that vary, as of `varied`, among which are all that the figure names.

    Raises:
        UsageError: one is not, or is named twice.
    """
    there = varied(cells)
    for axis in figure.axes:
        if axis not in there:
            known = dict.fromkeys(name for cell in cells for name in cell.levels)
            why = "has fewer than two levels among its cells" if axis in known else "is none of the sweep"
            raise UsageError(f"figure '{figure.file_name}': axis '{axis}' {why}; {nearest(axis, there)}")
    if len(set(figure.axes)) < len(figure.axes):
        raise UsageError(f"figure '{figure.file_name}': axes names one axis twice: {', '.join(figure.axes)}")
    return there


def gap_in_grid(cells: Sequence[CellCurves], axes: Mapping[str, Sequence[str]]) -> str | None:
    """Why the cells are no full grid of these axes; None: they are."""
    places = {tuple(cell.levels.get(axis) for axis in axes) for cell in cells}
    for axis, column in zip(axes, zip(*places, strict=True), strict=True):
        if None in column:
            return f"axis '{axis}' has no level in some of them"
    asked = math.prod(len(levels) for levels in axes.values())
    return None if len(places) == asked else f"{len(places)} of {asked} combinations of levels are there"


def numeric(cells: Sequence[CellCurves]) -> dict[str, list[float]]:
    """The axes that vary and are numbers at every cell that has them: their values, ascending."""
    found: dict[str, list[float]] = {}
    for axis in varied(cells):
        having = [cell for cell in cells if cell.levels.get(axis) is not None]
        values = sorted({cell.numbers[axis] for cell in having if axis in cell.numbers})
        if len(values) > 1 and all(axis in cell.numbers for cell in having):
            found[axis] = values
    return found


def is_log(values: Iterable[float]) -> bool:
    """Whether values are read on a logarithmic scale: they span a decade, and lie more evenly on it.

    How a sweep file writes them does not matter, so that values drawn log-uniformly and those of a list are
    treated alike. Zero may be among them, as a decay that is off.
    """
    every = sorted(set(values))
    positive = [value for value in every if value > 0]
    if every[0] < 0 or len(positive) < 2 or positive[-1] < 10 * positive[0]:
        return False
    return _unevenness(np.log(positive)) <= _unevenness(np.array(positive))


def _unevenness(values: NDArray[np.floating]) -> float:
    """How far ascending values lie from where evenly spaced ones would, as a share of their range."""
    places = (values - values[0]) / (values[-1] - values[0])
    return float(np.abs(places - np.linspace(0, 1, len(values))).max())


def groups(
    cells: Sequence[CellCurves], axes: Sequence[str]
) -> dict[tuple[str | None, ...], list[CellCurves]]:
    """The cells by their levels of `axes`, in the order of the cells."""
    found: dict[tuple[str | None, ...], list[CellCurves]] = {}
    for cell in cells:
        found.setdefault(tuple(cell.levels.get(axis) for axis in axes), []).append(cell)
    return found


def named(axes: Sequence[str], levels: Sequence[str | None]) -> str:
    """Such as "ema: No EMA, predictor: linear"; axes without a level are left out."""
    pairs = zip(axes, levels, strict=True)
    return ", ".join(f"{axis}: {level}" for axis, level in pairs if level is not None)
