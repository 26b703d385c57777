"""Figures of a sweep from the curves of its trials, and their bytes. No disk, no clock, no global state.

matplotlib takes half a second to import: only drawing loads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from types import ModuleType
from typing import TYPE_CHECKING

from orchestrator.answer import plugged
from orchestrator.answer.figures._bands import CellCurves
from orchestrator.errors import UsageError
from orchestrator.language.figure_spec import FigureSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def load(kind: str) -> ModuleType:
    """What draws figures of that kind.

    Raises:
        UsageError: it is of another package, and cannot be used.
    """
    return plugged.load("figures", kind)


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
    from orchestrator.answer.figures._page import styled

    if not cells:
        raise UsageError(f"figure '{figure.file_name}': no cell to draw; check its `where`")
    kind = load(figure.kind)
    with styled(), plugged.blamed("figures", kind):
        drawn: Figure = kind.draw(figure, cells, title=title, stamp=stamp)
        before = drawn.get_figwidth()
        if figure.width is not None and abs(before - figure.width) > 1e-6:  # its kind takes no width
            drawn.set_size_inches(figure.width, drawn.get_figheight() * figure.width / before)
    return drawn


def check(figure: FigureSpec) -> None:
    """Check that the figure's columns exist, as far as that is known before any result.

    Raises:
        UsageError: one does not.
    """
    kind = load(figure.kind)
    if figure.axes and not getattr(kind, "TAKES_AXES", False):
        raise UsageError(f"figure '{figure.file_name}': kind {figure.kind} has no use for `axes`; remove it")
    with plugged.blamed("figures", kind):
        kind.check(figure)


def check_cells(figure: FigureSpec, cells: Sequence[CellCurves]) -> None:
    """Check that the figure can be drawn of these cells, as far as that is known before any result.

    Raises:
        UsageError: it cannot.
    """
    kind = load(figure.kind)
    if hasattr(kind, "check_cells"):
        with plugged.blamed("figures", kind):
            kind.check_cells(figure, cells)


def to_png(figure: Figure, *, dpi: int = 150) -> bytes:
    """The figure as a PNG file; equal figures give equal bytes."""
    return _saved(figure, "png", {"Software": None}, dpi=dpi)


def to_pdf(figure: Figure) -> bytes:
    """The figure as a PDF file; equal figures give equal bytes."""
    return _saved(figure, "pdf", {"CreationDate": None, "Creator": None, "Producer": None}, dpi=150)


def to_svg(figure: Figure) -> bytes:
    """The figure as an SVG file; equal figures give equal bytes."""
    return _saved(figure, "svg", {"Date": None, "Creator": None}, dpi=150)


WRITERS = {"png": to_png, "pdf": to_pdf, "svg": to_svg}
"""By format of the file."""


def _saved(figure: Figure, kind: str, without: Mapping[str, None], *, dpi: int) -> bytes:
    from matplotlib import rc_context

    from orchestrator.answer.figures._page import styled

    file = BytesIO()
    with styled(), rc_context({"svg.hashsalt": "orch"}):  # else ids in an SVG are random
        figure.savefig(file, format=kind, dpi=dpi, metadata=dict(without))
    return file.getvalue()
