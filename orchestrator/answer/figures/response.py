"""A final metric over the values of axes of numbers: a panel per axis, a line per level of the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.answer.figures._bands import CellCurves
from orchestrator.answer.figures._crossed import Slot, rows_of_panels
from orchestrator.answer.figures._finals import (
    Final,
    averaged,
    interval_note,
    metrics_of,
    published_note,
)
from orchestrator.answer.figures._levels import check_axes, gap_in_grid, groups, named, numeric, varied
from orchestrator.answer.figures._page import INK, LABEL_PT, MARGIN_IN, WIDTH_IN, KeyEntry, Page
from orchestrator.answer.figures._points import (
    Marks,
    View,
    draw_mean,
    draw_published,
    draw_seeds,
    key_of,
    level_look,
    show,
    show_values,
    view_of,
)
from orchestrator.answer.figures.base import refuse_over
from orchestrator.errors import UsageError
from orchestrator.language.figure_spec import FigureSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS_ARE_FINAL_METRICS = TAKES_AXES = True
MOST_LINES = 8
"""Lines of a panel; of more combinations of other levels there are points alone."""


class Part(NamedTuple):
    """A panel: one axis of numbers, and what its points are told apart by."""

    axis: str
    by: tuple[str, ...]
    """The other axes that have a look for each of their levels."""
    groups: dict[tuple[str | None, ...], list[CellCurves]]
    """The cells that have the axis, by their levels of those."""
    is_joined: bool
    """Whether a line joins the points of a group, because nothing differs but this axis."""
    over: tuple[str, ...] = ()
    """Axes of numbers over whose values points are averaged, where a line for each would be too many."""


def check(figure: FigureSpec) -> None:
    """Check that nothing is asked for that it has no use for."""
    refuse_over(figure)


def check_cells(figure: FigureSpec, cells: Sequence[CellCurves]) -> None:
    """Check that some axis is one of numbers.

    Raises:
        UsageError: none is, or one that the figure names.
    """
    _axes(figure, cells)


def draw(figure: FigureSpec, cells: Sequence[CellCurves], *, title: str, stamp: str) -> Figure:
    """A row of panels per metric, one for each axis of numbers."""
    metrics = metrics_of(figure, cells)
    parts = [_part(axis, cells) for axis in _axes(figure, cells)]
    page = Page(figure.width or (4.6 if len(parts) == 1 else WIDTH_IN), title=title)
    looks = _looks(parts)
    signs, every = set[str](), list[Final]()
    for metric in metrics:
        finals = [cell.finals[metric] for cell in cells if metric in cell.finals]
        every += finals
        view = view_of(finals, intervals=False)

        def finish(number: int, slot: Slot, metric: str = metric, view: View = view) -> float:
            part = parts[number]
            signs.update(_draw_panel(page, slot, part, metric, view, looks))
            return 0.2 + page.text(
                slot.left, slot.bottom + 0.2, part.axis, size=LABEL_PT, width=slot.width, align="center"
            )

        rows_of_panels(page, finals[0].words, [""] * len(parts), height=1.9, finish=finish)
    lines = [KeyEntry(named(*pair), look | {"markevery": [1]}) for pair, look in looks.items() if pair[0]]
    if lines:
        page.bottom_in += page.key(MARGIN_IN, page.bottom_in, lines, width=page.inner_in) + 0.04
    page.bottom_in += (
        page.key(
            MARGIN_IN,
            page.bottom_in,
            key_of(every, signs, color=INK, intervals=False),
            width=page.inner_in,
        )
        + 0.06
    )
    notes = (_lines_note(parts), interval_note(every, intervals=False), published_note(every))
    return page.finished(notes=" ".join(filter(None, notes)), stamp=stamp)


_Looks = dict[tuple[tuple[str, ...], tuple[str | None, ...]], dict[str, Any]]
"""By axes and their levels."""


def _axes(figure: FigureSpec, cells: Sequence[CellCurves]) -> tuple[str, ...]:
    """The axes to draw: those asked for, or all of numbers."""
    there, numbers = check_axes(figure, cells), numeric(cells)
    for axis in figure.axes:
        if axis not in numbers:
            shown, step = ", ".join(there[axis][:3]), f"take one of {', '.join(numbers)}, or draw kind dots"
            raise UsageError(
                f"figure '{figure.file_name}': axis '{axis}' is none of numbers: {shown}; "
                f"{step if numbers else 'draw kind dots'}"
            )
    if not numbers:
        raise UsageError(
            f"figure '{figure.file_name}': no axis of its cells has two values that are numbers; "
            f"those that vary: {', '.join(there) or 'none'}; draw kind dots"
        )
    return figure.axes or tuple(numbers)


def _part(axis: str, cells: Sequence[CellCurves]) -> Part:
    """What tells points apart: all other axes where that leaves lines, else those that are no numbers."""
    having = [cell for cell in cells if cell.levels.get(axis) is not None]
    others = tuple(name for name in varied(having) if name != axis)
    found = groups(having, others)
    if len(found) <= MOST_LINES and all(len(own) > 1 for own in found.values()):
        return Part(axis, others, found, is_joined=True)
    labels = tuple(name for name in others if name not in numeric(having))
    found = groups(having, labels)
    if len(found) > MOST_LINES:
        labels, found = (), groups(having, ())
    if gap_in_grid(having, varied(having)) is None:
        over = tuple(name for name in others if name not in labels)
        return Part(axis, labels, found, is_joined=True, over=over)
    return Part(axis, labels, found, is_joined=False)


def _looks(parts: Sequence[Part]) -> _Looks:
    """A look for each level, which it has in every panel, and no other level has."""
    pairs = dict.fromkeys((part.by, levels) for part in parts for levels in part.groups)
    return {pair: level_look(index) for index, pair in enumerate(pairs)}


def _draw_panel(page: Page, slot: Slot, part: Part, metric: str, view: View, looks: _Looks) -> set[str]:
    inside = {
        cell.label: cell.finals[metric]
        for own in part.groups.values()
        for cell in own
        if metric in cell.finals
    }
    if not any(final.values or "diverged" in final.statuses.values() for final in inside.values()):
        page.no_data(slot.axes, "no trial has reported it yet")
        return set()
    signs, marks = set[str](), Marks(slot.axes)
    for levels, own in part.groups.items():
        look = looks[part.by, levels]
        drawn = {"color": look["color"], "marker": look["marker"]}
        means = []
        for x, final in _points(part, own, metric):
            signs |= draw_seeds(marks, final, x, along="y", view=view, **drawn)
            if part.is_joined:
                draw_mean(marks, final, x, along="y", view=view, interval=False, **drawn)
                draw_published(marks, final, x, along="y", color=look["color"])
            if (summary := final.summary) is not None:
                means.append((x, summary.mean))
        if part.is_joined and means:
            slot.axes.plot(*zip(*means, strict=True), zorder=1, label="line", **(look | {"marker": None}))
    marks.draw()
    show_values(slot.axes, [cell.numbers[part.axis] for own in part.groups.values() for cell in own])
    show(slot.axes, view, along="y")
    return signs


def _points(part: Part, cells: Sequence[CellCurves], metric: str) -> Iterator[tuple[float, Final]]:
    """Values of the axis, ascending, and what is drawn there: each cell, or their mean within each seed."""
    found: dict[float, list[Final]] = {}
    for cell in cells:
        if metric in cell.finals:
            found.setdefault(cell.numbers[part.axis], []).append(cell.finals[metric])
    for x in sorted(found):
        yield from ((x, final) for final in ([averaged(found[x])] if part.is_joined else found[x]))


def _lines_note(parts: Sequence[Part]) -> str:
    """What the lines are, and where there are none."""
    joined = [part.axis for part in parts if part.is_joined]
    apart = [part.axis for part in parts if not part.is_joined]
    told = ["Lines join means of cells that differ in the panel's axis alone."] if joined else []
    told += [
        f"Along {part.axis} numbers are averaged, seed by seed, over {' and '.join(part.over)}."
        for part in parts
        if part.over
    ]
    if apart:
        others = "Along " + ", ".join(apart) if joined else "Points"
        told.append(
            f"{others}{' points' if joined else ''} differ in further axes, too, so that no line joins them."
        )
    return " ".join(told)
