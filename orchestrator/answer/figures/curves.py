"""Metrics by epoch: one panel per metric, one line per cell with a band over its seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.answer.figures.bands import Band, CellCurves, metric_band, reported_metrics
from orchestrator.answer.figures.page import (
    LABEL_PT,
    MARGIN_IN,
    WIDTH_IN,
    KeyEntry,
    Page,
    line_in,
    set_numbers,
)
from orchestrator.errors import UsageError
from orchestrator.language.hints import nearest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EPOCHS = "epochs trained"
DEFAULT = ("train/loss", "F/rankme", "embedding/std")
# Okabe and Ito's palette for every kind of colour vision, without its yellow, too pale on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)))
LOG_FROM = 1000.0
"""Ratio of the largest to the least value from which an axis is logarithmic."""


def chosen(columns: tuple[str, ...], cells: Sequence[CellCurves], *, name: str) -> tuple[str, ...]:
    """The metrics to draw: those asked for, or those of the default that were reported."""
    reported = reported_metrics(cells)
    wanted = columns or tuple(metric for metric in DEFAULT if metric in reported) or DEFAULT
    for metric in wanted:
        if metric not in reported:
            known = ", ".join(reported) or "nothing"
            hint = nearest(metric, reported)
            hint = f"{hint} " if hint.startswith("did") else ""
            raise UsageError(
                f"figure '{name}': metric '{metric}' was never reported; {hint}reported: {known}"
            )
    return wanted


def draw(
    metrics: Sequence[str], cells: Sequence[CellCurves], *, title: str, stamp: str, across: str = EPOCHS
) -> Figure:
    """One panel per metric; `across` names the horizontal axis."""
    columns = min(len(metrics), 2 if len(metrics) == 4 else 3)
    page = Page(max(3.4, WIDTH_IN * columns / 3), title=title)
    for start in range(0, len(metrics), columns):
        _draw_row(page, metrics[start : start + columns], cells, columns, across)
    page.bottom_in += (
        page.key(MARGIN_IN, page.bottom_in, _entries(metrics, cells), width=page.inner_in) + 0.06
    )
    notes = "Lines: median over seeds; bands: smallest to largest seed."
    return page.finished(notes=notes, stamp=stamp)


def look(index: int) -> dict[str, Any]:
    """Colour and dashes of the cell at `index`: first the colours run out, then the dashes."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": DASHES[index // len(COLOURS) % len(DASHES)],
        "linewidth": 1.1,
    }


def _draw_row(
    page: Page, metrics: Sequence[str], cells: Sequence[CellCurves], columns: int, across: str
) -> None:
    slot, ticks, height = page.inner_in / columns, 0.42, 1.75
    top = page.bottom_in + 0.06 + line_in(LABEL_PT)
    for column, metric in enumerate(metrics):
        left = MARGIN_IN + column * slot
        axes = page.axes(left + ticks, top, slot - ticks - 0.12, height, label=metric)
        page.text(left + ticks, top - line_in(LABEL_PT) - 0.03, metric, size=LABEL_PT, width=slot - ticks)
        _draw_panel(axes, metric, cells, across)
    page.bottom_in = top + height + 0.42


def _draw_panel(axes: Axes, metric: str, cells: Sequence[CellCurves], across: str) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_xlabel(across, labelpad=1.5)
    drawn = []
    for index, cell in enumerate(cells):
        band = metric_band(cell, metric)
        if band is not None:
            draw_band(axes, band, label=cell.label, **look(index))
            drawn.append(band)
    if not drawn:
        axes.text(0.5, 0.5, "no data", ha="center", va="center", transform=axes.transAxes)
        return
    low = min(np.nanmin(band.low) for band in drawn)
    high = max(np.nanmax(band.high) for band in drawn)
    if low > 0 and high / low >= LOG_FROM:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(numticks=6))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        set_numbers(axes, ticks=5)
    set_epochs([axes], drawn)


def draw_band(axes: Axes, band: Band, *, color: Any, shaded: bool = True, **line: Any) -> None:
    """Draw a median and, if shaded, its band; a single epoch as a dot with a bar."""
    lonely = np.isfinite(band.median).sum() == 1
    if shaded:
        # A band of one epoch has no area: only its outline shows.
        outline = 1.5 if lonely else 0.4
        axes.fill_between(band.epochs, band.low, band.high, color=color, alpha=0.18, linewidth=outline)
    axes.plot(band.epochs, band.median, color=color, marker="o" if lonely else None, markersize=3, **line)


def set_epochs(axes: Sequence[Axes], bands: Sequence[Band]) -> None:
    """Let the epochs of `bands` fill the horizontal axis of all of `axes`."""
    from matplotlib.ticker import MaxNLocator

    if not bands:
        return
    first = min(float(band.epochs[0]) for band in bands)
    last = max(float(band.epochs[-1]) for band in bands)
    room = 0.02 * (last - first) or 0.5
    for each in axes:
        each.set_xlim(first - room, last + room)
        each.xaxis.set_major_locator(
            MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10], integer=True, min_n_ticks=1)
        )


def _entries(metrics: Sequence[str], cells: Sequence[CellCurves]) -> list[KeyEntry]:
    entries = []
    for index, cell in enumerate(cells):
        has_data = any(metric_band(cell, metric) is not None for metric in metrics)
        remarks = [] if has_data else ["no data"]
        remarks += [cell.note] if cell.note else []
        remarks += [f"n={cell.reporting}"] if has_data else []
        entries.append(KeyEntry(f"{cell.label} ({'; '.join(remarks)})", look(index)))
    return entries
