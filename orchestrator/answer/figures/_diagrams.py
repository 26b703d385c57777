"""A page with a panel per cell that has recorded a diagram."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.answer.figures._bands import CellCurves
from orchestrator.answer.figures._page import LABEL_PT, MARGIN_IN, WIDTH_IN, KeyEntry, Page, line_in

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Arrays = Mapping[str, np.ndarray]
RATIO = 0.85
"""Height of a panel by its width."""


def panels_of(
    cells: Sequence[CellCurves],
    title: str,
    draw: Callable[[Axes, Arrays], set[str]],
    nothing: str,
    *,
    width: float | None = None,
) -> tuple[Page, set[str]]:
    """A page with a panel per cell, and what their drawings contain; `width` in inches, if that is asked for.

    Cells of another trainer, which have reported something but no diagram, are left out.
    """
    cells = [cell for cell in cells if not cell.reporting or diagram(cell) is not None] or cells
    across = _columns(cells)
    page = Page(width or max(3.2, WIDTH_IN * across / 3), title=title)
    slot, ticks = page.inner_in / across, 0.5
    side = slot - ticks - 0.14
    seen: set[str] = set()
    for start in range(0, len(cells), across):
        top = page.bottom_in + 0.08 + line_in(LABEL_PT)
        for column, cell in enumerate(cells[start : start + across]):
            left = MARGIN_IN + column * slot + ticks
            axes = page.axes(left, top, side, side * RATIO, label=cell.label)
            heading = f"{cell.label} ({cell.note})" if cell.note else cell.label
            page.text(left, top - line_in(LABEL_PT) - 0.03, heading, size=LABEL_PT, width=slot - ticks)
            arrays = diagram(cell)
            if arrays is None:
                page.no_data(axes, nothing)
            else:
                seen |= draw(axes, {name: values[-1] for name, values in arrays.items()})
        page.bottom_in = top + side * RATIO + 0.42
    return page, seen


def _columns(cells: Sequence[CellCurves]) -> int:
    """How many panels stand beside each other: the levels of the last axis, where they fit."""
    rows = {len(list(row)) for _, row in itertools.groupby(cells, key=lambda cell: cell.row)}
    if len(rows) == 1 and 1 < (levels := rows.pop()) <= 4 and levels < len(cells):
        return levels
    return min(len(cells), 2 if len(cells) in (2, 4) else 3)


def diagram(cell: CellCurves) -> Arrays | None:
    """What the first seed recorded: the flow is the same for each."""
    found = next((curves.spectra for curves in cell.curves if "phase/s" in curves.spectra), None)
    return found if found is None or min(found["phase/s"].shape[1:]) > 1 else None  # one start is no diagram


def finish_key(page: Page, entries: Sequence[KeyEntry]) -> None:
    if entries:
        page.bottom_in += page.key(MARGIN_IN, page.bottom_in, entries, width=page.inner_in) + 0.06
