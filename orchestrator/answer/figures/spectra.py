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
SHORT = {"embedding": "embeddings", "feature": "features", "F": "F", "Wp": "W_p"}
FLOOR = 1e-8  # of the largest: float32 knows nothing smaller
CLIPPED = "What is not above zero, or too small, lies on the lower edge."

Final = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Median, least and largest spectrum over seeds, [d] each."""


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
    missing: list[list[str]] = [["no data"] * (not cell.reporting) for cell in cells]
    notes = [seeds_note(cells), "Each spectrum is divided by its largest value."]
    for start in range(0, len(spectra), 2):
        row = spectra[start : start + 2]
        for name, axes in zip(
            row, row_of_axes(page, [HEADINGS[n] for n in row], across=min(len(spectra), 2)), strict=True
        ):
            if _draw_ranks(page, axes, name, cells, missing) and CLIPPED not in notes:
                notes.append(CLIPPED)
    notes += ["Of W_p the real parts are drawn."] * ("Wp" in spectra)
    told = ["; ".join(remarks) for remarks in missing]
    return finished(page, cells, told, notes=" ".join(filter(None, notes)), stamp=stamp)


def _chosen(figure: FigureSpec) -> tuple[str, ...]:
    """The spectra to draw; embeddings and features where none is asked for."""
    for column in figure.columns:
        if column not in HEADINGS:
            known = ", ".join(HEADINGS)
            hint = nearest(column, HEADINGS)
            hint = f"{hint} " if hint.startswith("did") else ""
            raise UsageError(f"figure '{figure.file_name}': no spectrum '{column}'; {hint}available: {known}")
    return figure.columns or DEFAULT


def _final(cell: CellCurves, name: str) -> Final | None:
    """A spectrum after the last epoch, of each seed by its largest value; None: there is none."""
    last = final(spectrum_band(cell, name, relative=True))
    return None if last is None or not np.isfinite(last[0]).any() else last


def _draw_ranks(
    page: Page, axes: Axes, name: str, cells: Sequence[CellCurves], missing: Sequence[list[str]]
) -> bool:
    """Whether some value lies on the lower edge; what is `missing` of cells is added to their remarks."""
    axes.set_xlabel("rank", labelpad=1.5)
    recorded = [any(name in curves.spectra for curves in cell.curves) for cell in cells]
    bands = [_final(cell, name) for cell in cells]
    there = [(band, look) for band, look in zip(bands, looks(cells), strict=True) if band is not None]
    if not there:
        none = "no cell has a value above zero" if any(recorded) else "no cell has recorded this spectrum"
        page.no_data(axes, none)
        return False
    for cell, band, some, remarks in zip(cells, bands, recorded, missing, strict=True):
        if band is None and cell.reporting:
            remarks.append(f"{SHORT[name]}: none above zero" if some else f"no {SHORT[name]}")
    shown = [part[part >= FLOOR].min(initial=1.0) for band, _ in there for part in band]
    edge = max(FLOOR, min(shown) / 2)
    for band, look in there:
        ranks = np.arange(1, len(band[0]) + 1)
        median, low, high = (np.maximum(part, edge) for part in band)  # what is NaN stays so
        axes.fill_between(ranks, low, high, color=look["color"], alpha=0.18, linewidth=0.4)
        axes.plot(ranks, median, **look)
    axes.set_yscale("log")
    axes.set_ylim(edge, 2)
    return any((part < edge).any() for band, _ in there for part in band)
