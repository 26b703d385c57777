"""Metrics by epoch: one panel per metric, one line per cell with a band over its seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.answer.figures._bands import CellCurves, metric_band, reported_metrics, seeds_note
from orchestrator.answer.figures._lines import draw_band, looks, set_epochs
from orchestrator.answer.figures._page import (
    LABEL_PT,
    MARGIN_IN,
    WIDTH_IN,
    KeyEntry,
    Page,
    line_in,
    set_numbers,
    wrapped,
)
from orchestrator.answer.figures.base import horizontal, in_words, reported
from orchestrator.language.figure_spec import FigureSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DEFAULT = ("train/loss", "F/rankme", "embedding/std")
COLUMNS_ARE_METRICS = True
LOG_FROM = 1000.0
"""Ratio of the largest to the least value from which an axis is logarithmic."""


def check(figure: FigureSpec) -> None:
    """Nothing is known of metrics before they are reported."""


def draw(figure: FigureSpec, cells: Sequence[CellCurves], *, title: str, stamp: str) -> Figure:
    """One panel per metric."""
    cells, across = horizontal(figure, cells)
    metrics = _chosen(figure, cells)
    words = [in_words(metric) for metric in metrics]
    # Metrics of several places, such as of a tree's depths, may have the same words.
    headings = {m: f"{w}: {m}" if words.count(w) > 1 else w for m, w in zip(metrics, words, strict=True)}
    columns = min(len(metrics), 2 if len(metrics) == 4 else 3)
    page = Page(figure.width or max(3.4, WIDTH_IN * columns / 3), title=title)
    for start in range(0, len(metrics), columns):
        row = metrics[start : start + columns]
        _draw_row(page, {metric: headings[metric] for metric in row}, cells, columns, across)
    page.bottom_in += (
        page.key(MARGIN_IN, page.bottom_in, _entries(metrics, cells), width=page.inner_in) + 0.06
    )
    return page.finished(notes=seeds_note(cells), stamp=stamp)


def _chosen(figure: FigureSpec, cells: Sequence[CellCurves]) -> tuple[str, ...]:
    """The metrics to draw: those asked for, or those of the default that were reported."""
    there = reported_metrics(cells)
    wanted = figure.columns or tuple(metric for metric in DEFAULT if metric in there) or DEFAULT
    return reported(wanted, cells, name=figure.file_name)


def _draw_row(
    page: Page, metrics: Mapping[str, str], cells: Sequence[CellCurves], columns: int, across: str
) -> None:
    slot, ticks, height = page.inner_in / columns, 0.42, 1.75
    width = slot - ticks - 0.12
    lines = [len(wrapped(words, width, size=LABEL_PT)) for words in metrics.values()]
    top = page.bottom_in + 0.06 + max(lines) * line_in(LABEL_PT)
    for column, ((metric, words), number) in enumerate(zip(metrics.items(), lines, strict=True)):
        left = MARGIN_IN + column * slot
        axes = page.axes(left + ticks, top, width, height, label=metric)
        above = top - number * line_in(LABEL_PT) - 0.03
        page.text(left + ticks, above, words, size=LABEL_PT, width=width)
        _draw_panel(axes, metric, cells, across)
    page.bottom_in = top + height + 0.42


def _draw_panel(axes: Axes, metric: str, cells: Sequence[CellCurves], across: str) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_xlabel(across, labelpad=1.5)
    drawn = []
    for cell, look in zip(cells, looks(cells), strict=True):
        band = metric_band(cell, metric)
        if band is not None:
            draw_band(axes, band, label=cell.label, **look)
            drawn.append(band)
    if not drawn:
        axes.text(0.5, 0.5, "no data", ha="center", va="center", transform=axes.transAxes)
        return
    low = min(np.nanmin(band.low) for band in drawn)
    high = max(np.nanmax(band.high) for band in drawn)
    if low > 0 and high >= LOG_FROM * low:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(numticks=6))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        set_numbers(axes, ticks=5)
    set_epochs([axes], drawn)


def _entries(metrics: Sequence[str], cells: Sequence[CellCurves]) -> list[KeyEntry]:
    entries = []
    for cell, look in zip(cells, looks(cells), strict=True):
        has_data = any(metric_band(cell, metric) is not None for metric in metrics)
        remarks = cell.remarks if has_data else [part for part in ("no data", cell.note) if part]
        entries.append(KeyEntry(f"{cell.label} ({'; '.join(remarks)})" if remarks else cell.label, look))
    return entries
