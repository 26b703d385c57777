"""How many seeds of each cell have reported: a toy that shows what a kind of figure takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator.answer.figures._bands import CellCurves
from orchestrator.answer.figures._page import MARGIN_IN, Page
from orchestrator.answer.figures.base import refuse_columns, refuse_over
from orchestrator.language.figure_spec import FigureSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def check(figure: FigureSpec) -> None:
    """Check that nothing is asked for that it has no use for."""
    refuse_columns(figure)
    refuse_over(figure)


def draw(figure: FigureSpec, cells: Sequence[CellCurves], *, title: str, stamp: str) -> Figure:
    """One bar per cell."""
    page = Page(4.0, title=title)
    axes = page.axes(MARGIN_IN + 0.5, page.bottom_in + 0.1, 3.0, 1.5, label="seeds")
    axes.bar([cell.label for cell in cells], [cell.reporting for cell in cells])
    page.bottom_in += 2.0
    return page.finished(notes="Seeds that have reported.", stamp=stamp)
