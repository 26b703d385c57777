"""The eigenspace of F and W_p over training, one row per cell: the report's Figures 2 and 3.

F [d, d] is the correlation of the embeddings, W_p [d, d] the predictor, u_j the eigenvectors of F in the
order of its eigenvalues, largest first; the rank of an eigenvalue is its place in that order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from orchestrator.curves_figure import draw_band, set_epochs
from orchestrator.errors import UsageError
from orchestrator.figure_page import (
    FAINT,
    INK,
    LABEL_PT,
    MARGIN_IN,
    SMALL_PT,
    WIDTH_IN,
    KeyEntry,
    Page,
    line_in,
)
from orchestrator.problems import nearest
from orchestrator.seed_bands import Band, CellCurves, metric_band, spectrum_band, spectrum_mean_band

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure

FLOOR = 1e-8
"""Least eigenvalue of F on the log axis: float32 sums know nothing smaller, and noise there is negative."""
IID_ASYMMETRY = 2**0.5
"""Asymmetry of a random matrix with independent entries, in both norms."""
COMPARABLE = 8.0
"""Rows share an axis unless one of them would fill less than the 8th part of it."""
CHANCE, L1, FROBENIUS = "#D55E00", "#0072B2", "#E69F00"


class Ranks(NamedTuple):
    """How ranks are coloured: by their logarithm, since the first few carry most of F."""

    colours: Colormap
    scale: Normalize
    largest: int

    def colour(self, rank: int) -> Any:
        """The colour of the eigenvalue of this rank; the largest has rank 1."""
        return self.colours(self.scale(rank))


class Column(NamedTuple):
    """A column of the figure."""

    heading: str
    meaning: str
    draw: Callable[[Axes, CellCurves, Ranks], list[Band]]
    """Draws a cell and returns what it drew; nothing if there is no data."""
    is_log: bool = False
    limits: tuple[float, float] | None = None
    """What the vertical axis shows at least; None: what the data fill."""
    key: tuple[KeyEntry, ...] = ()


class Panel(NamedTuple):
    """One cell in one column."""

    axes: Axes
    bands: list[Band]


def chosen(columns: tuple[str, ...], cells: Sequence[CellCurves], *, name: str) -> tuple[str, ...]:
    """The columns to draw: those asked for, or all."""
    for column in columns:
        if column not in COLUMNS:
            hint = nearest(column, COLUMNS)
            known = "" if hint.startswith("known") else f" known: {', '.join(COLUMNS)}"
            raise UsageError(f"figure '{name}': no column '{column}' in an eigenspace figure; {hint}{known}")
    return columns or tuple(COLUMNS)


def draw(names: Sequence[str], cells: Sequence[CellCurves], *, title: str, stamp: str) -> Figure:
    """One row of panels per cell."""
    columns = [COLUMNS[name] for name in names]
    page = Page(max(3.4, WIDTH_IN * len(columns) / len(COLUMNS)), title=title)
    ranks = _ranks(cells)
    headings_in = page.bottom_in
    page.bottom_in += 2 * line_in(LABEL_PT) + 0.02
    height = min(1.15, max(0.55, 8.0 / len(cells) - 0.3))  # twelve rows still fit a page of 11 inches
    rows = [_draw_row(page, row, names, cell, ranks, height) for row, cell in enumerate(cells)]
    panels = [panel for row in rows for panel in row]
    set_epochs([panel.axes for panel in panels], [band for panel in panels for band in panel.bands])
    for panel in rows[-1]:
        panel.axes.tick_params(labelbottom=True)
        panel.axes.set_xlabel("epochs trained", labelpad=1.5)
    for index, column in enumerate(columns):
        remarks = (column.meaning, *_share_axis(column, [row[index] for row in rows]))
        x, width = _panel_in(page, index, len(columns))
        page.text(x, headings_in, column.heading, size=LABEL_PT, width=width, align="center")
        page.text(
            x - 0.3, headings_in + line_in(LABEL_PT), ", ".join(remarks),
            size=SMALL_PT, width=width + 0.35, align="center", color=FAINT,
        )  # fmt: skip
    page.bottom_in += 0.42
    _draw_keys(page, names, ranks)
    return page.finished(notes=_notes(names), stamp=stamp)


def clipped(values: Any) -> Any:
    """Eigenvalues of F as a log axis can show them."""
    return np.maximum(values, FLOOR)


def ranks_with_band(d: int) -> list[int]:
    """The ranks that show their seeds: 1, 2, 4, 8, ... up to d."""
    return [2**power for power in range(d.bit_length())]


def _draw_row(
    page: Page, row: int, names: Sequence[str], cell: CellCurves, ranks: Ranks, height: float
) -> list[Panel]:
    top = page.bottom_in + 0.07
    remark = f"{cell.note} · n = {cell.reporting}" if cell.note else f"n = {cell.reporting}"
    label_in, remark_in = 0.6 * page.inner_in, 0.37 * page.inner_in
    used = page.text(MARGIN_IN, top, cell.label, size=LABEL_PT, width=label_in, weight="bold")
    left = MARGIN_IN + page.inner_in - remark_in
    remarked = page.text(left, top, remark, size=SMALL_PT, width=remark_in, align="right", color=FAINT)
    top += max(used, remarked) + 0.05
    panels = []
    for index, name in enumerate(names):
        x, width = _panel_in(page, index, len(names))
        axes = page.axes(x, top, width, height, label=f"{row}/{name}")
        axes.tick_params(labelbottom=False)
        panels.append(Panel(axes, COLUMNS[name].draw(axes, cell, ranks)))
        if not panels[-1].bands:
            reason = "not recorded" if cell.reporting else cell.note or "nothing reported"
            page.no_data(axes, x, top, width, height, reason)
    page.bottom_in = top + height
    return panels


def _draw_f(axes: Axes, cell: CellCurves, ranks: Ranks) -> list[Band]:
    axes.set_yscale("log")
    band = spectrum_band(cell, "F")
    if band is None:
        return []
    band = Band(band.epochs, clipped(band.median), clipped(band.low), clipped(band.high))
    _draw_spectrum(axes, band, ranks)
    _draw_rank_bands(axes, band, ranks)
    return [band]


def _draw_wp(axes: Axes, cell: CellCurves, ranks: Ranks) -> list[Band]:
    band = spectrum_band(cell, "Wp")
    if band is None:
        return []
    axes.axhline(0, color=FAINT, linewidth=0.4, zorder=0.5)
    _draw_spectrum(axes, band, ranks)
    _draw_rank_bands(axes, band, ranks)
    return [band]


def _draw_alignment(axes: Axes, cell: CellCurves, ranks: Ranks) -> list[Band]:
    band, mean = spectrum_band(cell, "alignment"), spectrum_mean_band(cell, "alignment")
    if band is None or mean is None:
        return []
    _draw_spectrum(axes, band, ranks, alpha=0.55)
    draw_band(axes, mean, label="mean", **ALIGNMENT_KEY[0].line)
    chance = metric_band(cell, "alignment/chance")
    if chance is not None:
        draw_band(axes, chance, label="chance", shaded=False, **ALIGNMENT_KEY[1].line)
    return [band]


def _draw_asymmetry(axes: Axes, cell: CellCurves, ranks: Ranks) -> list[Band]:
    l1, frobenius = metric_band(cell, "Wp/asymmetry_l1"), metric_band(cell, "Wp/asymmetry_fro")
    axes.axhline(IID_ASYMMETRY, label="iid", **ASYMMETRY_KEY[2].line)
    if l1 is not None:
        draw_band(axes, l1, label="l1", **ASYMMETRY_KEY[0].line)
    if frobenius is not None:
        draw_band(axes, frobenius, label="fro", shaded=False, **ASYMMETRY_KEY[1].line)
    return [band for band in (l1, frobenius) if band is not None]


def _draw_spectrum(axes: Axes, band: Band, ranks: Ranks, *, alpha: float = 1.0) -> None:
    """Draw one line per rank, the largest eigenvalue on top."""
    from matplotlib.collections import LineCollection

    d = band.median.shape[1]
    order = np.arange(d, 0, -1)
    style: dict[str, Any] = {"cmap": ranks.colours, "norm": ranks.scale, "alpha": alpha}
    lines = [np.column_stack((band.epochs, band.median[:, rank - 1])) for rank in order]
    collection = LineCollection(lines, linewidths=0.7 if d <= 32 else 0.45, label="ranks", **style)
    collection.set_array(order)
    axes.add_collection(collection)
    if len(band.epochs) == 1:  # a line of one point is invisible
        epochs = np.repeat(band.epochs, d)
        axes.scatter(epochs, band.median[0, order - 1], c=order, s=5, linewidths=0, label="dots", **style)


def _draw_rank_bands(axes: Axes, band: Band, ranks: Ranks) -> None:
    for rank in ranks_with_band(band.median.shape[1]):
        low, high, colour = band.low[:, rank - 1], band.high[:, rank - 1], ranks.colour(rank)
        axes.fill_between(band.epochs, low, high, color=colour, alpha=0.25, linewidth=0.3, label=f"band {rank}")


def _share_axis(column: Column, panels: Sequence[Panel]) -> list[str]:
    """Give the rows one vertical axis where that keeps all of them readable; returns what to remark."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    scaled = np.log10 if column.is_log else np.asarray
    filled = [panel for panel in panels if panel.bands]
    ranges = []
    for panel in filled:
        low = min(float(scaled(np.nanmin(band.low))) for band in panel.bands)
        high = max(float(scaled(np.nanmax(band.high))) for band in panel.bands)
        ranges.append((low, high))
    if not ranges:
        return []
    least, most = (column.limits or ranges[0])[0], (column.limits or ranges[0])[1]
    least, most = min(least, *(r[0] for r in ranges)), max(most, *(r[1] for r in ranges))
    shared = bool(column.limits) or all((high - low) * COMPARABLE >= most - least for low, high in ranges)
    for panel, (low, high) in zip(filled, ranges, strict=True):
        low, high = (least, most) if shared else (low, high)
        room = 0.05 * (high - low) or 0.5
        low, high = low - room, high + room
        panel.axes.set_ylim((10**low, 10**high) if column.is_log else (low, high))
        panel.axes.yaxis.set_major_locator(LogLocator(numticks=5) if column.is_log else MaxNLocator(nbins=4))
        panel.axes.yaxis.set_minor_locator(NullLocator())
    is_clipped = column.is_log and any((band.low <= FLOOR).any() for panel in filled for band in panel.bands)
    remarks = ["clipped at $10^{-8}$"] if is_clipped else []
    return remarks if shared else [*remarks, "scale by row"]


def _panel_in(page: Page, index: int, count: int) -> tuple[float, float]:
    slot, ticks = page.inner_in / count, 0.37
    return MARGIN_IN + index * slot + ticks, slot - ticks - 0.07


def _ranks(cells: Sequence[CellCurves]) -> Ranks:
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap, LogNorm

    spectra = [np.shape(array)[1] for cell in cells for curves in cell.curves for array in curves.spectra.values()]
    largest = max(spectra, default=1)
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
        heights.append(max(heights) + _draw_rank_bar(page, page.bottom_in + max(heights), first, first + width, ranks))
    page.bottom_in += max(heights) + 0.04


def _draw_rank_bar(page: Page, top: float, left: float, right: float, ranks: Ranks) -> float:
    from matplotlib.cm import ScalarMappable
    from matplotlib.ticker import FixedLocator, NullLocator

    word_in = 0.75
    page.text(left, top, "rank in spectrum", size=SMALL_PT, width=word_in + 0.2)
    axes = page.axes(left + word_in + 0.1, top + 0.03, right - left - word_in - 0.2, 0.08, label="rank colours")
    bar = page.figure.colorbar(ScalarMappable(ranks.scale, ranks.colours), cax=axes, orientation="horizontal")
    bar.ax.xaxis.set_major_locator(FixedLocator(ranks_with_band(ranks.largest)[::2]))
    bar.ax.xaxis.set_minor_locator(NullLocator())
    bar.ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0f}")
    return 0.28


def _notes(names: Sequence[str]) -> str:
    which = [words for words, drawn in (
        ("ranks 1, 2, 4, 8, …", {"F", "Wp"} & set(names)),
        ("the mean alignment", "alignment" in names),
        (r"the $\ell_1$ asymmetry", "asymmetry" in names),
    ) if drawn]  # fmt: skip
    return f"Lines: median over seeds; bands: smallest to largest seed, for {', '.join(which)}."


ALIGNMENT_KEY = (
    KeyEntry("mean", {"color": INK, "linewidth": 1.5}),
    KeyEntry("chance", {"color": CHANCE, "linewidth": 1.2, "linestyle": (0, (3, 1.5))}),
)
ASYMMETRY_KEY = (
    KeyEntry(r"$\ell_1$", {"color": L1, "linewidth": 1.2}),
    KeyEntry("Frobenius", {"color": FROBENIUS, "linewidth": 1.2, "linestyle": (0, (3, 1.5))}),
    KeyEntry(r"$\sqrt{2}$, i.i.d. entries", {"color": FAINT, "linewidth": 0.8, "linestyle": (0, (1, 1.2))}),
)
COLUMNS = {
    "F": Column("Eigenvalues of $F$", "log scale", _draw_f, is_log=True),
    "Wp": Column("Eigenvalues of $W_p$", "real part", _draw_wp),
    "alignment": Column(
        "Alignment of $F$ with $W_p$", r"$u_j^\top W_p u_j\,/\,\|W_p u_j\|$", _draw_alignment,
        limits=(-1.0, 1.0), key=ALIGNMENT_KEY,
    ),
    "asymmetry": Column(
        "Asymmetry of $W_p$", r"$\|W_p - W_p^\top\|\,/\,\|W_p\|$", _draw_asymmetry,
        limits=(0.0, 1.55), key=ASYMMETRY_KEY,
    ),
}  # fmt: skip
