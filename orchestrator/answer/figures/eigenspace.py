"""Eigenvalues of F and W_p over training, how F and W_p align, W_p's asymmetry: one row per cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from orchestrator.answer.figures._bands import Band, CellCurves, seeds_note, since_first_spectrum
from orchestrator.answer.figures._eigenspace_columns import COLUMNS, FLOOR, Column, Ranks, ranks_with_band
from orchestrator.answer.figures._lines import set_epochs
from orchestrator.answer.figures._page import (
    FAINT,
    LABEL_PT,
    MARGIN_IN,
    SMALL_PT,
    WIDTH_IN,
    Page,
    line_in,
    set_numbers,
    wrapped,
)
from orchestrator.answer.figures.base import horizontal
from orchestrator.errors import UsageError
from orchestrator.language.figure_spec import FigureSpec
from orchestrator.language.hints import nearest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RANKED = frozenset({"F", "Wp", "alignment"})
"""Spectra whose ranks it draws; trials record others, such as of features, which have more."""
COMPARABLE = 8.0
"""Rows share an axis unless one of them would fill less than the 8th part of it."""


class Panel(NamedTuple):
    """One cell in one column."""

    axes: Axes
    bands: list[Band]


def check(figure: FigureSpec) -> None:
    """Check that its columns exist.

    Raises:
        UsageError: one does not.
    """
    _chosen(figure)


def draw(figure: FigureSpec, cells: Sequence[CellCurves], *, title: str, stamp: str) -> Figure:
    """One row of panels per cell."""
    names = _chosen(figure)
    cells, across = horizontal(figure, cells)
    cells = [since_first_spectrum(cell) for cell in cells]
    columns = [COLUMNS[name] for name in names]
    page = Page(figure.width or max(3.4, WIDTH_IN * len(columns) / len(COLUMNS)), title=title)
    ranks = _ranks(cells)
    headings_in = page.bottom_in + 0.05
    page.bottom_in += 2 * line_in(LABEL_PT)
    height = min(1.15, max(0.55, 8.0 / len(cells) - 0.3))  # many rows get lower, as far as ticks allow
    ticks = 5 if height > 0.8 else 3
    rows = [_draw_row(page, row, names, cell, ranks, height) for row, cell in enumerate(cells)]
    panels = [panel for row in rows for panel in row]
    set_epochs([panel.axes for panel in panels], [band for panel in panels for band in panel.bands])
    for panel in rows[-1]:
        panel.axes.tick_params(labelbottom=True)
        panel.axes.set_xlabel(across, labelpad=1.5)
    for index, column in enumerate(columns):
        remarks = [column.meaning, *_share_axis(column, [row[index] for row in rows], ticks=ticks)]
        x, width = _panel_in(page, index, len(columns))
        if figure.width and len(wrapped(column.heading, width, size=LABEL_PT)) > 1:
            raise UsageError(
                f"figure '{figure.file_name}': {len(columns)} columns have no room in "
                f"{figure.width:g} in; take a larger width, or fewer columns"
            )
        page.text(x, headings_in, column.heading, size=LABEL_PT, width=width, align="center")
        page.text(
            x - 0.18, headings_in + line_in(LABEL_PT), ", ".join(remarks),
            size=SMALL_PT, width=width + 0.36, align="center", color=FAINT,
        )  # fmt: skip
    page.bottom_in += 0.42
    _draw_keys(page, names, ranks)
    return page.finished(notes=_notes(names, cells), stamp=stamp)


def _chosen(figure: FigureSpec) -> tuple[str, ...]:
    """The columns to draw: those asked for, or all."""
    for column in figure.columns:
        if column not in COLUMNS:
            hint = nearest(column, COLUMNS)
            known = "" if hint.startswith("known") else f" known: {', '.join(COLUMNS)}"
            raise UsageError(
                f"figure '{figure.file_name}': no column '{column}' in an eigenspace figure; {hint}{known}"
            )
    return figure.columns or tuple(COLUMNS)


def _draw_row(
    page: Page, row: int, names: Sequence[str], cell: CellCurves, ranks: Ranks, height: float
) -> list[Panel]:
    top = page.bottom_in + 0.12
    remark = " · ".join(cell.remarks)
    label_in, remark_in = 0.6 * page.inner_in, 0.37 * page.inner_in
    used = page.text(MARGIN_IN, top, cell.label, size=LABEL_PT, width=label_in, weight="bold")
    left = MARGIN_IN + page.inner_in - remark_in
    remarked = page.text(left, top, remark, size=SMALL_PT, width=remark_in, align="right", color=FAINT)
    top += max(used, remarked) + 0.03
    panels = []
    for index, name in enumerate(names):
        x, width = _panel_in(page, index, len(names))
        axes = page.axes(x, top, width, height, label=f"{row}/{name}")
        axes.tick_params(labelbottom=False)
        panels.append(Panel(axes, COLUMNS[name].draw(axes, cell, ranks)))
        if not panels[-1].bands:
            spectra = {name for curves in cell.curves for name in curves.spectra}
            recorded = "not recorded" if "Wp" in spectra or "F" not in spectra else "no predictor matrix"
            reason = recorded if cell.reporting else cell.note or "nothing reported"
            page.no_data(axes, reason)
    page.bottom_in = top + height
    return panels


def _share_axis(column: Column, panels: Sequence[Panel], *, ticks: int) -> list[str]:
    """Give the rows one vertical axis where that keeps all of them readable; returns what to remark."""
    from matplotlib.ticker import LogLocator, NullLocator

    scaled = np.log10 if column.is_log else np.asarray
    filled = [panel for panel in panels if panel.bands]
    ranges = []
    for panel in filled:
        low = min(float(scaled(np.nanmin(band.low))) for band in panel.bands)
        high = max(float(scaled(np.nanmax(band.high))) for band in panel.bands)
        ranges.append((low, high))
    if not ranges:
        return []
    shown = [*ranges, column.limits] if column.limits else ranges
    least, most = min(low for low, _ in shown), max(high for _, high in shown)
    shared = bool(column.limits) or all((high - low) * COMPARABLE >= most - least for low, high in ranges)
    for panel, (low, high) in zip(filled, ranges, strict=True):
        low, high = (least, most) if shared else (low, high)
        room = 0.05 * (high - low) or 0.5
        low, high = low - room, high + room
        panel.axes.set_ylim((10**low, 10**high) if column.is_log else (low, high))
        if column.is_log:
            panel.axes.yaxis.set_major_locator(LogLocator(numticks=ticks))
            panel.axes.yaxis.set_minor_locator(NullLocator())
        else:
            set_numbers(panel.axes, ticks=ticks)
    is_clipped = column.is_log and any((band.low <= FLOOR).any() for panel in filled for band in panel.bands)
    remarks = ["clipped at $10^{-8}$"] if is_clipped else []
    return remarks if shared else [*remarks, "scale by row"]


def _panel_in(page: Page, index: int, count: int) -> tuple[float, float]:
    slot, ticks = page.inner_in / count, 0.37
    return MARGIN_IN + index * slot + ticks, slot - ticks - 0.07


def _ranks(cells: Sequence[CellCurves]) -> Ranks:
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap, LogNorm

    own = [
        curves.spectra[name]
        for cell in cells
        for curves in cell.curves
        for name in RANKED & {*curves.spectra}
    ]
    largest = max((np.shape(array)[1] for array in own), default=1)
    # viridis ends in a yellow that is too pale for thin lines on white
    colours = ListedColormap(colormaps["viridis"](np.linspace(0, 0.9, 256)))
    return Ranks(colours, LogNorm(1, max(largest, 2)), largest)


def _draw_keys(page: Page, names: Sequence[str], ranks: Ranks) -> None:
    """Below each column what its lines mean, and the colours of the ranks below the spectra."""
    spectra = [index for index, name in enumerate(names) if name in ("F", "Wp")]
    heights = [0.0]
    for index, name in enumerate(names):
        if COLUMNS[name].key:
            x, width = _panel_in(page, index, len(names))
            heights.append(page.key(x, page.bottom_in, COLUMNS[name].key, width=width))
    if spectra:
        run = [index for index in spectra if index - spectra[0] == spectra.index(index)]
        first, (last, width) = _panel_in(page, run[0], len(names))[0], _panel_in(page, run[-1], len(names))
        heights.append(_draw_rank_bar(page, page.bottom_in, first, last + width, ranks))
    elif "alignment" in names:
        first, width = _panel_in(page, names.index("alignment"), len(names))
        heights.append(
            max(heights) + _draw_rank_bar(page, page.bottom_in + max(heights), first, first + width, ranks)
        )
    page.bottom_in += max(heights) + 0.04


def _draw_rank_bar(page: Page, top: float, left: float, right: float, ranks: Ranks) -> float:
    from matplotlib.cm import ScalarMappable
    from matplotlib.ticker import FixedLocator, NullLocator

    word_in = 0.38
    page.text(left, top, "rank $j$", size=SMALL_PT, width=word_in)
    axes = page.axes(left + word_in, top + 0.03, right - left - word_in - 0.1, 0.08, label="rank colours")
    bar = page.figure.colorbar(ScalarMappable(ranks.scale, ranks.colours), cax=axes, orientation="horizontal")
    bar.ax.xaxis.set_major_locator(FixedLocator(ranks_with_band(ranks.largest)[::2]))
    bar.ax.xaxis.set_minor_locator(NullLocator())
    bar.ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0f}")
    return 0.28


def _notes(names: Sequence[str], cells: Sequence[CellCurves]) -> str:
    which = [words for words, drawn in (
        ("ranks 1, 2, 4, 8, …", {"F", "Wp"} & set(names)),
        ("the mean alignment", "alignment" in names),
        (r"the $\ell_1$ asymmetry", "asymmetry" in names),
    ) if drawn]  # fmt: skip
    return seeds_note(cells, of=f", for {', '.join(which)}")
