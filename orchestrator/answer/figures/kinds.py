"""Figures of a sweep from the curves of its trials, and their bytes. No disk, no clock, no global state.

matplotlib takes half a second to import: only drawing loads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING

from orchestrator.answer.figures.bands import CellCurves, laid_over
from orchestrator.errors import UsageError
from orchestrator.language.sweep_spec import FigureSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["CellCurves", "draw", "to_pdf", "to_png"]


def draw(figure: FigureSpec, cells: Sequence[CellCurves], *, title: str, stamp: str) -> Figure:
    """The figure that `figure` asks for.

    Args:
        figure: kind and columns.
        cells: what to draw, in this order; cells without data show that they have none.
        title: printed above; may be empty.
        stamp: where the numbers come from: profile, n, versions, commit. Printed small, below.

    Raises:
        UsageError: a column does not exist, a metric was never reported, or there is no cell.
    """
    from orchestrator.answer.figures import curves as curves_figure
    from orchestrator.answer.figures import eigenspace as eigenspace_figure
    from orchestrator.answer.figures import phase as phase_figure
    from orchestrator.answer.figures import spectra as spectra_figure
    from orchestrator.answer.figures.page import styled

    name = figure.file_name
    if not cells:
        raise UsageError(f"figure '{name}': no cell to draw; check its `where`")
    with styled():
        across = curves_figure.EPOCHS
        if figure.over is not None:
            curves_figure.chosen((figure.over,), cells, name=name)
            cells, across = [laid_over(cell, figure.over) for cell in cells], figure.over
        if figure.kind == "eigenspace":
            columns = eigenspace_figure.chosen(figure.columns, name=name)
            return eigenspace_figure.draw(columns, cells, title=title, stamp=stamp, across=across)
        if figure.kind == "spectra":
            spectra = spectra_figure.chosen(figure.columns, name=name)
            return spectra_figure.draw_ranks(spectra, cells, title=title, stamp=stamp)
        if figure.kind == "slope":
            return spectra_figure.draw_slope(cells, title=title, stamp=stamp)
        if figure.kind == "phase":
            return phase_figure.draw_phase(cells, title=title, stamp=stamp)
        if figure.kind == "field":
            return phase_figure.draw_field(cells, title=title, stamp=stamp)
        metrics = curves_figure.chosen(figure.columns, cells, name=name)
        return curves_figure.draw(metrics, cells, title=title, stamp=stamp, across=across)


def check(figure: FigureSpec) -> None:
    """Nothing, if the figure's columns exist, as far as that is known before any result.

    Raises:
        UsageError: one does not.
    """
    if figure.columns and figure.kind in ("slope", "phase", "field"):
        name = figure.file_name
        raise UsageError(f"figure '{name}': kind {figure.kind} has no columns to choose; remove them")
    if figure.over is not None and figure.kind not in ("curves", "eigenspace"):
        raise UsageError(f"figure '{figure.file_name}': `over` is for curves and eigenspace; remove it")
    if figure.kind == "eigenspace":
        from orchestrator.answer.figures import eigenspace as eigenspace_figure

        eigenspace_figure.chosen(figure.columns, name=figure.file_name)
    elif figure.kind == "spectra":
        from orchestrator.answer.figures import spectra as spectra_figure

        spectra_figure.chosen(figure.columns, name=figure.file_name)


def to_png(figure: Figure, *, dpi: int = 150) -> bytes:
    """The figure as a PNG file; equal figures give equal bytes."""
    return _saved(figure, "png", {"Software": None}, dpi=dpi)


def to_pdf(figure: Figure) -> bytes:
    """The figure as a PDF file; equal figures give equal bytes."""
    return _saved(figure, "pdf", {"CreationDate": None, "Creator": None, "Producer": None}, dpi=150)


def _saved(figure: Figure, kind: str, without: Mapping[str, None], *, dpi: int) -> bytes:
    from orchestrator.answer.figures.page import styled

    file = BytesIO()
    with styled():
        figure.savefig(file, format=kind, dpi=dpi, metadata=dict(without))
    return file.getvalue()
