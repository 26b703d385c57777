"""Final spectra of all cells, overlaid over rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.answer.figures._bands import CellCurves, seeds_note, spectrum_band
from orchestrator.answer.figures._final_spectra import final, finished, row_of_axes
from orchestrator.answer.figures._lines import looks
from orchestrator.answer.figures._page import WIDTH_IN, Page
from orchestrator.answer.figures.base import refuse_over
from orchestrator.errors import UsageError
from orchestrator.language.figure_spec import FigureSpec
from orchestrator.language.hints import nearest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEADINGS = {
    "embedding": "eigenvalues of the embeddings' covariance / largest",
    "feature": "eigenvalues of the features' covariance / largest",
    "F": "eigenvalues of F / largest",
    "Wp": "eigenvalues of W_p / largest",
}
DEFAULT = ("embedding", "feature")
FLOOR = 1e-8  # of the largest: float32 knows nothing smaller


def check(figure: FigureSpec) -> None:
    """Check that its spectra exist.

    Raises:
        UsageError: one does not.
    """
    refuse_over(figure)
    _chosen(figure)


def draw(figure: FigureSpec, cells: Sequence[CellCurves], *, title: str, stamp: str) -> Figure:
    """One panel per spectrum, one line per cell: eigenvalues over their rank, after the last epoch."""
    spectra = _chosen(figure)
    page = Page(figure.width or max(3.6, WIDTH_IN * min(len(spectra), 2) / 2), title=title)
    for start in range(0, len(spectra), 2):
        row = spectra[start : start + 2]
        for name, axes in zip(
            row, row_of_axes(page, [HEADINGS[n] for n in row], across=min(len(spectra), 2)), strict=True
        ):
            _draw_ranks(page, axes, name, cells)
    notes = f"{seeds_note(cells)} Each spectrum is divided by its largest value.".lstrip()
    return finished(page, cells, ["" for _ in cells], notes=notes, stamp=stamp)


def _chosen(figure: FigureSpec) -> tuple[str, ...]:
    """The spectra to draw; embeddings and features where none is asked for."""
    for column in figure.columns:
        if column not in HEADINGS:
            known = ", ".join(HEADINGS)
            hint = nearest(column, HEADINGS)
            hint = f"{hint} " if hint.startswith("did") else ""
            raise UsageError(f"figure '{figure.file_name}': no spectrum '{column}'; {hint}available: {known}")
    return figure.columns or DEFAULT


def _draw_ranks(page: Page, axes: Axes, name: str, cells: Sequence[CellCurves]) -> None:
    axes.set_xlabel("rank", labelpad=1.5)
    least = 1.0
    for cell, look in zip(cells, looks(cells), strict=True):
        last = final(spectrum_band(cell, name))
        if last is None or not last[0][0] > 0:
            continue
        ranks = np.arange(1, len(last[0]) + 1)
        median, low, high = (np.clip(part / last[0][0], FLOOR, None) for part in last)
        axes.fill_between(ranks, low, high, color=look["color"], alpha=0.18, linewidth=0.4)
        axes.plot(ranks, median, **look)
        least = min(least, float(median.min()))
    if not axes.lines:
        page.no_data(axes, "no cell has recorded this spectrum")
        return
    axes.set_yscale("log")
    axes.set_ylim(max(FLOOR, least / 2), 2)
