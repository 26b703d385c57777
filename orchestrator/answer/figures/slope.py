"""Eigenvalues of W_p over those of F; theory says that the slope is 1/2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.answer.figures._bands import CellCurves, metric_band, seeds_note, spectrum_band
from orchestrator.answer.figures._final_spectra import final, finished, row_of_axes
from orchestrator.answer.figures._lines import look
from orchestrator.answer.figures._page import WIDTH_IN, Page
from orchestrator.answer.figures.base import refuse_columns, refuse_over
from orchestrator.language.figure_spec import FigureSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def check(figure: FigureSpec) -> None:
    """Check that nothing is asked for that it has no use for."""
    refuse_columns(figure)
    refuse_over(figure)


def draw(figure: FigureSpec, cells: Sequence[CellCurves], *, title: str, stamp: str) -> Figure:
    """Eigenvalues of W_p over those of F, rank by rank, on logarithmic axes, with the theory's slope ½."""
    page = Page(WIDTH_IN * 0.62, title=title)
    (axes,) = row_of_axes(page, ["eigenvalues of W_p over eigenvalues of F"], across=1)
    axes.set_xlabel("eigenvalue of F", labelpad=1.5)
    remarks = []
    for index, cell in enumerate(cells):
        f, w = (final(spectrum_band(cell, name)) for name in ("F", "Wp"))
        slope = metric_band(cell, "Wp/slope")
        remarks.append(
            "no W_p" if w is None else "no slope" if slope is None else f"slope {slope.median[-1]:.2f}"
        )
        if f is None or w is None:
            continue
        alive = (w[0] > 0.05 * w[0][0]) & (w[0] > 0) & (f[0] > 0)
        if not alive.any():
            continue
        style = {"color": look(index)["color"], "marker": "o", "markersize": 2.2, "linestyle": "none"}
        axes.plot(f[0][alive], w[0][alive], **style)
    if not axes.lines:
        page.no_data(axes, "no cell has a predictor and a recorded spectrum")
    else:
        axes.set_xscale("log")
        axes.set_yscale("log")
        low, high = axes.get_xlim()
        bottom, top = axes.get_ylim()
        middle = np.sqrt(bottom * top)
        x = np.array([low, high])
        axes.plot(
            x, middle * np.sqrt(x / np.sqrt(low * high)), color="#888888", linewidth=0.9, linestyle="--"
        )
        axes.set_xlim(low, high)
        axes.set_ylim(bottom, top)
    notes = (
        f"Dots: {'median over seeds of ' if seeds_note(cells) else ''}each rank after the last epoch, where "
        "W_p is above 5 % of its largest eigenvalue. Dashed: slope 1/2, the invariant parabola of the theory."
    )
    return finished(page, cells, remarks, notes=notes, stamp=stamp, dots=True)
