"""Parallel coordinates: a line per cell through its level of each axis to its final metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from orchestrator.answer.figures._bands import CellCurves
from orchestrator.answer.figures._finals import metrics_of
from orchestrator.answer.figures._levels import check_axes, is_log, numeric, varied
from orchestrator.answer.figures._page import (
    FAINT,
    INK,
    LABEL_PT,
    MARGIN_IN,
    SMALL_PT,
    WIDTH_IN,
    Page,
    text_in,
)
from orchestrator.answer.figures.base import refuse_over
from orchestrator.errors import UsageError
from orchestrator.language.figure_spec import FigureSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS_ARE_FINAL_METRICS = TAKES_AXES = True
HEIGHT_IN = 2.4
NO_LEVEL = -0.12
"""Where an axis has the cells without a level of it: it does not apply to them, or it stays at the base."""
MOST_LABELS = 9
"""Levels that an axis names; of more, some."""


class Upright(NamedTuple):
    """A vertical axis: where each cell is (0 to 1, `NO_LEVEL` or NaN), and what it says at which height."""

    name: str
    places: list[float]
    labels: list[tuple[float, str]]


def check(figure: FigureSpec) -> None:
    """Check that nothing is asked for that it has no use for."""
    refuse_over(figure)


def check_cells(figure: FigureSpec, cells: Sequence[CellCurves]) -> None:
    """Check that some axis varies.

    Raises:
        UsageError: none does, or one that the figure names.
    """
    if not check_axes(figure, cells):
        raise UsageError(
            f"figure '{figure.file_name}': no axis has two levels among its cells; draw kind dots"
        )


def draw(figure: FigureSpec, cells: Sequence[CellCurves], *, title: str, stamp: str) -> Figure:
    """A panel per metric: the chosen axes from left to right, and the metric."""
    metrics = metrics_of(figure, cells)
    check_cells(figure, cells)
    page = Page(figure.width or WIDTH_IN, title=title)
    own = [_upright(axis, cells) for axis in figure.axes or varied(cells)]
    for metric in metrics:
        _draw_panel(page, metric, cells, own)
    notes = "A line is a cell, coloured by its mean over seeds, as the axis on the right has it."
    if any(
        cell.finals.get(name) is None or not cell.finals[name].values for cell in cells for name in metrics
    ):
        notes += " Grey, dashed: no number."
    if any(NO_LEVEL in upright.places for upright in own):
        notes += " No level: an axis does not apply, or stays at the base."
    return page.finished(notes=notes, stamp=stamp)


def _upright(axis: str, cells: Sequence[CellCurves]) -> Upright:
    """An axis of levels, and below them the place of the cells without one."""
    name, places, labels = _of_levels(axis, cells)
    if any(map(math.isnan, places)):
        places = [NO_LEVEL if math.isnan(place) else place for place in places]
        labels = [*labels, (NO_LEVEL, "no level")]
    return Upright(name, places, labels)


def _of_levels(axis: str, cells: Sequence[CellCurves]) -> Upright:
    values = numeric(cells).get(axis, [])
    if values and not (values[0] == 0 and is_log(values)):  # a logarithm of zero has no place
        return _scaled(axis, [cell.numbers.get(axis, math.nan) for cell in cells], ticks=values)
    levels = varied(cells)[axis]
    heights = {level: index / (len(levels) - 1) for index, level in enumerate(reversed(levels))}
    places = [math.nan if (own := cell.levels.get(axis)) is None else heights[own] for cell in cells]
    every = -(-len(levels) // MOST_LABELS)
    return Upright(axis, places, [(heights[level], level) for level in levels[::every]])


def _scaled(name: str, values: Sequence[float], *, ticks: Sequence[float] = ()) -> Upright:
    """An axis of numbers, logarithmic where they lie so; says these `ticks` if they are few."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return Upright(name, [math.nan] * len(values), [])
    logarithmic = min(known) > 0 and is_log(known)
    scaled = np.log10(values) if logarithmic else np.array(values)
    low, high = float(np.nanmin(scaled)), float(np.nanmax(scaled))
    span = (high - low) or 1.0
    shown = np.linspace(low, high, 3 if high > low else 1)
    if 0 < len(ticks) <= 5:
        shown = np.log10(ticks) if logarithmic else np.array(ticks)
    labels = [((at - low) / span, f"{10**at if logarithmic else at:.3g}") for at in shown.tolist()]
    return Upright(name, [float(one) for one in (scaled - low) / span], labels)


def _draw_panel(page: Page, metric: str, cells: Sequence[CellCurves], own: Sequence[Upright]) -> None:
    from matplotlib import colormaps

    finals = [cell.finals.get(metric) for cell in cells]
    means = [summary.mean if final and (summary := final.summary) else math.nan for final in finals]
    words = next(final.words for final in finals if final)
    uprights = [*own, _scaled(words, means)]
    slot = page.inner_in / len(uprights)
    top = page.bottom_in + 0.12
    axes = page.axes(MARGIN_IN + slot / 2, top, page.inner_in - slot, HEIGHT_IN, label=metric)
    lowest = min([0.0, *(height for upright in own for height, _ in upright.labels)])
    axes.set(xlim=(0, len(uprights) - 1), ylim=(lowest - 0.04, 1.04), xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
    colours = colormaps["viridis"]
    for index, cell in enumerate(cells):
        places = [upright.places[index] for upright in uprights]
        share = places[-1]
        # viridis ends in a yellow that is too pale for thin lines on white
        style: dict[str, Any] = {"color": colours(0.9 * share), "linewidth": 1.0, "zorder": 2 + share}
        if not math.isfinite(share):
            style = {"color": "#aaaaaa", "linewidth": 0.8, "linestyle": (0, (3, 2)), "zorder": 1}
            if len(own) == 1:  # no line goes through a single place
                style |= {"marker": "o", "markersize": 5}
        axes.plot(range(len(places)), places, label=cell.label, clip_on=False, **style)
    for x, upright in enumerate(uprights):
        _draw_upright(axes, x, upright, slot)
    below = [
        page.text(
            MARGIN_IN + x * slot + 0.03, top + HEIGHT_IN + 0.04, upright.name,
            size=LABEL_PT, width=slot - 0.06, align="center",
        )
        for x, upright in enumerate(uprights)
    ]  # fmt: skip
    page.bottom_in = top + HEIGHT_IN + 0.04 + max(below) + 0.08


def _draw_upright(axes: Axes, x: int, upright: Upright, slot: float) -> None:
    axes.plot([x, x], [0, 1], color=INK, linewidth=0.8, zorder=4, clip_on=False)
    for height, label in upright.labels:
        axes.plot([x], [height], marker="_", color=FAINT, markersize=5, zorder=4, clip_on=False)
        words = label
        while len(words) > 3 and text_in(words, size=SMALL_PT) > slot - 0.12:
            words = f"{words[:-2].rstrip('…')}…"
        axes.annotate(
            words, (x, height), xytext=(4, 0), textcoords="offset points", size=SMALL_PT, va="center",
            zorder=5,
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
            annotation_clip=False,
        )  # fmt: skip
