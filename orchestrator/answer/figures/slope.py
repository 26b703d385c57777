"""Eigenvalues of W_p over those of F with a fitted line for each cell; theory says that the slope is 1/2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from orchestrator.answer.figures._bands import CellCurves, seeds_note, spectrum_band
from orchestrator.answer.figures._final_spectra import final, finished, row_of_axes
from orchestrator.answer.figures._lines import looks
from orchestrator.answer.figures._page import WIDTH_IN, KeyEntry, Page
from orchestrator.answer.figures.base import refuse_columns, refuse_over
from orchestrator.answer.statistics.summary import Line, least_squares
from orchestrator.language.figure_spec import FigureSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

THEORY = 0.5
THEORY_LINE: dict[str, Any] = {"color": "#888888", "linewidth": 0.9, "linestyle": "--"}
ALIVE = 0.05
"""Share of its largest eigenvalue above which W_p is alive, as in Wp/slope."""


class Modes(NamedTuple):
    """The living modes of a cell after the last epoch, and the line through them."""

    f: NDArray[np.floating]
    w: NDArray[np.floating]
    line: Line | None
    """In natural logarithms of both; None of a single mode."""


def check(figure: FigureSpec) -> None:
    """Check that nothing is asked for that it has no use for."""
    refuse_columns(figure)
    refuse_over(figure)


def draw(figure: FigureSpec, cells: Sequence[CellCurves], *, title: str, stamp: str) -> Figure:
    """Eigenvalues of W_p over those of F, rank by rank, on logarithmic axes, with fitted lines."""
    page = Page(figure.width or WIDTH_IN * 0.62, title=title)
    (axes,) = row_of_axes(page, ["eigenvalues of W_p over eigenvalues of F"], across=1)
    axes.set_xlabel("eigenvalue of F", labelpad=1.5)
    found = [_modes(cell) for cell in cells]
    for modes, look in zip(found, looks(cells), strict=True):
        if modes is not None:
            axes.plot(modes.f, modes.w, color=look["color"], marker="o", markersize=2.2, linestyle="none")
    if not axes.lines:
        page.no_data(axes, "no cell has a predictor and a recorded spectrum")
    else:
        axes.set_xscale("log")
        axes.set_yscale("log")
        limits = axes.get_xlim(), axes.get_ylim()
        for modes, look in zip(found, looks(cells), strict=True):
            if modes is not None and modes.line is not None:
                x = (float(modes.f.min()), float(modes.f.max()))
                axes.plot(x, [np.exp(modes.line.at(np.log(one))) for one in x], label="fit", **look)
        _draw_theory(axes, *limits)
    remarks = [_remark(cell, modes) for cell, modes in zip(cells, found, strict=True)]
    notes = (
        f"Dots: {'median over seeds of ' if seeds_note(cells) else ''}each rank after the last epoch, where "
        f"W_p is above {100 * ALIVE:.0f} % of its largest eigenvalue. Lines: least squares in logarithms; "
        "slope ± half of its 95 % interval, which takes ranks as independent."
    )
    theory = [KeyEntry("slope 1/2: the invariant parabola of the theory", THEORY_LINE)] * bool(axes.lines)
    return finished(page, cells, remarks, notes=notes, stamp=stamp, dots=True, more=theory)


def _modes(cell: CellCurves) -> Modes | None:
    f, w = (final(spectrum_band(cell, name)) for name in ("F", "Wp"))
    if f is None or w is None:
        return None
    alive = (w[0] > ALIVE * w[0][0]) & (w[0] > 0) & (f[0] > 0)
    if not alive.any():
        return None
    x, y = f[0][alive], w[0][alive]
    return Modes(x, y, least_squares(list(np.log(x)), list(np.log(y))))


def _draw_theory(axes: Axes, across: tuple[float, float], up: tuple[float, float]) -> None:
    """A line of the theory's slope through the middle of the panel, whose limits stay."""
    x = np.array(across)
    middle_x, middle_y = np.sqrt(across[0] * across[1]), np.sqrt(up[0] * up[1])
    y = middle_y * (x / middle_x) ** THEORY
    axes.plot(x, y, label="theory", **THEORY_LINE)
    axes.set_xlim(*across)
    axes.set_ylim(*up)


def _remark(cell: CellCurves, modes: Modes | None) -> str:
    if modes is None:
        recorded = any("Wp" in curves.spectra for curves in cell.curves)
        return "no mode is alive" if recorded else "no W_p" if cell.reporting else "no data"
    if modes.line is None:
        return "no slope of one mode"
    slope, half = modes.line.slope, modes.line.half_width
    spread = "" if half is None else f" ± {half:.2g}" if half < 0.01 else f" ± {half:.2f}"
    return f"slope {slope:.2f}{spread} of {len(modes.f)} modes"
