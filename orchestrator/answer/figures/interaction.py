"""A final metric over the levels of one axis, a line per level of another: whether their effects add up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from orchestrator.answer.figures._bands import CellCurves
from orchestrator.answer.figures._crossed import Slot, rows_of_panels
from orchestrator.answer.figures._finals import (
    Final,
    averaged,
    interval_note,
    metrics_of,
    published_note,
)
from orchestrator.answer.figures._levels import check_axes, gap_in_grid, numeric
from orchestrator.answer.figures._page import (
    INK,
    LABEL_PT,
    MARGIN_IN,
    SMALL_PT,
    WIDTH_IN,
    KeyEntry,
    Page,
    line_in,
    wrapped,
)
from orchestrator.answer.figures._points import (
    Marks,
    View,
    draw_mean,
    draw_published,
    draw_seeds,
    key_of,
    level_look,
    show,
    view_of,
)
from orchestrator.answer.figures.base import refuse_over
from orchestrator.errors import UsageError
from orchestrator.language.figure_spec import FigureSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS_ARE_FINAL_METRICS = TAKES_AXES = True
MOST_LINES = 12
"""Levels of the axis of the lines; more are told apart by nobody."""


class Design(NamedTuple):
    """What part each axis has: one along, one a line per level, perhaps one a panel per level."""

    axes: dict[str, list[str]]
    """All that vary, with their levels."""
    along: str
    lines: str
    panels: str | None
    over: tuple[str, ...]
    """Axes over whose levels numbers are averaged."""


def check(figure: FigureSpec) -> None:
    """Check that it can have two axes.

    Raises:
        UsageError: it names one, or more than three.
    """
    refuse_over(figure)
    if figure.axes and len(figure.axes) not in (2, 3):
        raise UsageError(
            f"figure '{figure.file_name}': axes: expected the one along the figure, that of its lines, and "
            f"perhaps that of its panels; got {', '.join(figure.axes)}"
        )


def check_cells(figure: FigureSpec, cells: Sequence[CellCurves]) -> None:
    """Check that its cells are a full grid of two axes or more.

    Raises:
        UsageError: they are not.
    """
    _design(figure, cells)


def draw(figure: FigureSpec, cells: Sequence[CellCurves], *, title: str, stamp: str) -> Figure:
    """A panel per metric and level of a third axis; further axes are averaged, seed by seed."""
    metrics = metrics_of(figure, cells)
    design = _design(figure, cells)
    headings = [""]
    if design.panels is not None:
        headings = [f"{design.panels}: {level}" for level in design.axes[design.panels]]
    page = Page(figure.width or (5.0 if len(headings) == 1 else WIDTH_IN), title=title)
    signs, every = set[str](), list[Final]()
    for metric in metrics:
        finals = _finals(design, cells, metric)
        every += finals.values()
        view = view_of(finals.values())

        def finish(number: int, slot: Slot, finals: _Finals = finals, view: View = view) -> float:
            signs.update(_draw_panel(page, slot, design, finals, number, view))
            return _levels_below(page, slot, design)

        words = next(cell.finals[metric].words for cell in cells if metric in cell.finals)
        rows_of_panels(page, words, headings, height=2.1, finish=finish)
    looks = [level_look(index) | {"markevery": [1]} for index in range(len(design.axes[design.lines]))]
    levels = design.axes[design.lines]
    lines = [KeyEntry(f"{design.lines}: {level}", look) for level, look in zip(levels, looks, strict=True)]
    page.bottom_in += page.key(MARGIN_IN, page.bottom_in, lines, width=page.inner_in) + 0.04
    entries = key_of(every, signs, color=INK)
    page.bottom_in += page.key(MARGIN_IN, page.bottom_in, entries, width=page.inner_in) + 0.06
    notes = (_averaged_note(design), interval_note(every), published_note(every))
    return page.finished(notes=" ".join(filter(None, notes)), stamp=stamp)


_Finals = dict[tuple[str | None, str, str], Final]
"""By levels of panels, lines, and along."""


def _design(figure: FigureSpec, cells: Sequence[CellCurves]) -> Design:
    name, there = figure.file_name, check_axes(figure, cells)
    if len(there) < 2:
        have = "; ".join(f"{axis} has {len(levels)}" for axis, levels in there.items()) or "none has"
        raise UsageError(
            f"figure '{name}': an interaction needs two axes with two levels or more among its cells, and "
            f"{have}; draw kind dots"
        )
    if gap := gap_in_grid(cells, there):
        raise UsageError(
            f"figure '{name}': an interaction needs cells of every combination of levels, and {gap}; "
            "take a full part of them with `where`, or draw kind dots"
        )
    along, lines, *more = figure.axes or tuple(there)[:3]
    if len(there[lines]) > MOST_LINES:
        raise UsageError(
            f"figure '{name}': axis '{lines}' would be {len(there[lines])} lines, {MOST_LINES} are the most; "
            f"exchange the axes: [{lines}, {along}]"
        )
    panels = more[0] if more else None
    if along in numeric(cells):  # drawn ones come in any order
        number = {cell.levels[along]: cell.numbers[along] for cell in cells}
        there[along] = sorted(there[along], key=number.__getitem__)
    over = tuple(axis for axis in there if axis not in (along, lines, panels))
    return Design(there, along, lines, panels, over)


def _finals(design: Design, cells: Sequence[CellCurves], metric: str) -> _Finals:
    found: dict[tuple[str | None, str, str], list[Final]] = {}
    for cell in cells:
        panel = cell.levels[design.panels] if design.panels is not None else None
        place = (panel, str(cell.levels[design.lines]), str(cell.levels[design.along]))
        found.setdefault(place, []).append(cell.finals.get(metric, Final(metric, {}, {})))
    return {place: averaged(finals) for place, finals in found.items()}


def _draw_panel(page: Page, slot: Slot, design: Design, finals: _Finals, number: int, view: View) -> set[str]:
    panel = design.axes[design.panels][number] if design.panels is not None else None
    along, lines = design.axes[design.along], design.axes[design.lines]
    inside = [final for (own, _, _), final in finals.items() if own == panel]
    if not any(final.values or "diverged" in final.statuses.values() for final in inside):
        page.no_data(slot.axes, "no trial has reported it yet")
        return set()
    signs, marks = set[str](), Marks(slot.axes)
    dodge = min(0.16, 0.5 / len(lines))  # beside each other, so that intervals do not hide each other
    for index, line in enumerate(lines):
        look = level_look(index)
        own = {"color": look["color"], "marker": look["marker"]}
        places = [x + dodge * (index - (len(lines) - 1) / 2) for x in range(len(along))]
        means = []
        for x, level in zip(places, along, strict=True):
            final = finals[panel, line, level]
            has_mean = draw_mean(marks, final, x, along="y", view=view, **own)
            aside = 0.3 * dodge if has_mean else 0.0
            signs |= draw_seeds(marks, final, x + aside, along="y", view=view, **own)
            draw_published(marks, final, x - aside, along="y", color=look["color"])
            means.append(summary.mean if (summary := final.summary) else np.nan)
        slot.axes.plot(places, means, zorder=1, label=line, **(look | {"marker": None}))
    marks.draw()
    slot.axes.set_xlim(-0.5, len(along) - 0.5)
    slot.axes.set_xticks(range(len(along)), [""] * len(along))
    show(slot.axes, view, along="y")
    return signs


def _levels_below(page: Page, slot: Slot, design: Design) -> float:
    """The levels below their ticks and the name of their axis; returns their height."""
    levels = [_short(level) for level in design.axes[design.along]]
    each = slot.width / len(levels)
    lines = max(len(wrapped(level, each - 0.04, size=SMALL_PT)) for level in levels)
    for index, level in enumerate(levels):
        left = slot.left + index * each + 0.02
        page.text(left, slot.bottom + 0.06, level, size=SMALL_PT, width=each - 0.04, align="center")
    foot = 0.06 + lines * line_in(SMALL_PT) + 0.01
    named = page.text(
        slot.left, slot.bottom + foot, design.along, size=LABEL_PT, width=slot.width, align="center"
    )
    return foot + named


def _short(level: str) -> str:
    """A level as there is room for it below a tick: a long number in three digits."""
    try:
        return f"{float(level):.3g}" if len(level) > 6 else level
    except ValueError:
        return level


def _averaged_note(design: Design) -> str:
    if not design.over:
        return ""
    told = [f"{axis} ({', '.join(design.axes[axis])})" for axis in design.over]
    return f"Averaged, seed by seed, over the levels of {' and '.join(told)}."
