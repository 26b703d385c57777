"""Final metrics, a row per cell: every seed, the mean with its 95 % interval, and what is published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.answer.figures._bands import CellCurves
from orchestrator.answer.figures._finals import Final, interval_note, metrics_of, published_note
from orchestrator.answer.figures._lines import looks
from orchestrator.answer.figures._page import (
    FAINT,
    INK,
    LABEL_PT,
    MARGIN_IN,
    SMALL_PT,
    WIDTH_IN,
    Page,
    line_in,
    text_in,
    wrapped,
)
from orchestrator.answer.figures._points import (
    Marks,
    View,
    draw_mean,
    draw_published,
    draw_seeds,
    key_of,
    show,
    view_of,
)
from orchestrator.answer.figures.base import refuse_over
from orchestrator.language.figure_spec import FigureSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS_ARE_FINAL_METRICS = True
ACROSS = 3
"""Panels beside each other; of more metrics the labels stand again."""


class Row(NamedTuple):
    """Where a cell stands, in inches below the first row's upper edge."""

    middle: float
    lines: list[str]
    remarks: list[str]
    rule: float | None
    """Where a line parts it from the cells above, which share other levels."""


def check(figure: FigureSpec) -> None:
    """Check that nothing is asked for that it has no use for."""
    refuse_over(figure)


def draw(figure: FigureSpec, cells: Sequence[CellCurves], *, title: str, stamp: str) -> Figure:
    """A row per cell in the file's order, a panel per metric."""
    metrics = metrics_of(figure, cells)
    across = min(len(metrics), ACROSS)
    page = Page(figure.width or (5.5 if across == 1 else WIDTH_IN), title=title)
    size = LABEL_PT if len(cells) <= 20 else SMALL_PT
    longest = max(text_in(words, size=points) for cell in cells for words, points in _lines_of(cell, size))
    labels_in = min(longest + 0.02, 0.4 * page.inner_in)
    rows, height = _rows(cells, labels_in, size=size)
    signs: set[str] = set()
    for start in range(0, len(metrics), across):
        top = page.bottom_in + 0.08
        _draw_labels(page, rows, top, labels_in, size=size)
        slot = (page.inner_in - labels_in) / across
        below = 0.0
        for column, metric in enumerate(metrics[start : start + across]):
            left = MARGIN_IN + labels_in + column * slot + 0.12
            axes = page.axes(left, top, slot - 0.26, height, label=metric)
            signs |= _draw_panel(page, axes, metric, cells, rows, height)
            words = next(cell.finals[metric].words for cell in cells if metric in cell.finals)
            foot = top + height + 0.2
            below = max(
                below, page.text(left - 0.1, foot, words, size=LABEL_PT, width=slot - 0.06, align="center")
            )
        page.bottom_in = top + height + 0.2 + below + 0.06
    finals = [final for cell in cells for name, final in cell.finals.items() if name in metrics]
    entries = key_of(finals, signs, color=INK)
    page.bottom_in += page.key(MARGIN_IN, page.bottom_in, entries, width=page.inner_in) + 0.06
    notes = " ".join(filter(None, (interval_note(finals), published_note(finals))))
    return page.finished(notes=notes, stamp=stamp)


def _lines_of(cell: CellCurves, size: float) -> tuple[tuple[str, float], ...]:
    """Its label, and what is remarked below it, with their sizes."""
    return (cell.label, size), (cell.note, SMALL_PT - 0.5)


def _rows(cells: Sequence[CellCurves], width: float, *, size: float) -> tuple[list[Row], float]:
    """The rows, as high as their labels need, and the height of all."""
    least = 0.3 if len(cells) <= 12 else 0.24 if len(cells) <= 20 else 0.19
    rows, top = list[Row](), 0.0
    several = len({cell.row for cell in cells}) < len(cells)
    for index, cell in enumerate(cells):
        rule = None
        if several and index and cell.row != cells[index - 1].row:
            rule, top = top + 0.03, top + 0.06
        lines = wrapped(cell.label, width, size=size)
        remarks = wrapped(cell.note, width, size=SMALL_PT - 0.5)
        height = max(least, len(lines) * line_in(size) + len(remarks) * line_in(SMALL_PT - 0.5) + 0.06)
        rows.append(Row(top + height / 2, lines, remarks, rule))
        top += height
    return rows, top


def _draw_labels(page: Page, rows: Sequence[Row], top: float, width: float, *, size: float) -> None:
    small = SMALL_PT - 0.5
    for row in rows:
        y = top + row.middle - (len(row.lines) * line_in(size) + len(row.remarks) * line_in(small)) / 2
        for lines, points, color in ((row.lines, size, INK), (row.remarks, small, FAINT)):
            for line in lines:
                page.text(MARGIN_IN, y, line, size=points, width=width + 0.05, align="right", color=color)
                y += line_in(points)


def _draw_panel(
    page: Page, axes: Axes, metric: str, cells: Sequence[CellCurves], rows: Sequence[Row], height: float
) -> set[str]:
    finals = [cell.finals.get(metric, Final(metric, {}, {})) for cell in cells]
    diverged = any("diverged" in one.statuses.values() for one in finals)
    if not diverged and not any(one.values or one.published is not None for one in finals):
        page.no_data(axes, "no trial has reported it yet")
        return set()
    view = view_of(finals)
    signs, marks, across = set[str](), Marks(axes), axes.get_yaxis_transform()
    for places, color, zorder in (
        ([row.rule for row in rows if row.rule is not None], "#bbbbbb", 0.5),
        ([row.middle for row in rows], "#e6e6e6", 0.4),
    ):
        axes.hlines(places, 0, 1, transform=across, colors=color, linewidths=0.5, zorder=zorder)
    for row, final, look in zip(rows, finals, looks(cells), strict=True):
        signs |= _draw_row(marks, final, row.middle, view, look["color"])
    marks.draw()
    axes.set_ylim(height, 0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    show(axes, view, along="x", ticks=4)
    return signs


def _draw_row(marks: Marks, final: Final, middle: float, view: View, color: str) -> set[str]:
    """Mean and interval on the line, its seeds below; what is published above."""
    has_mean = draw_mean(marks, final, middle - 0.03, along="x", view=view, color=color)
    draw_published(marks, final, middle - 0.03 * has_mean, along="x")
    return draw_seeds(marks, final, middle + (0.055 if has_mean else 0), along="x", view=view, color=color)
