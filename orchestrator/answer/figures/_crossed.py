"""Panels in rows under headings, of one metric after another, with the words of the metric above its rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.answer.figures._page import LABEL_PT, MARGIN_IN, SMALL_PT, Page, line_in, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TICKS_IN = 0.5


class Slot(NamedTuple):
    """A panel and where it is on the page, in inches."""

    axes: Axes
    left: float
    width: float
    bottom: float


def rows_of_panels(
    page: Page,
    words: str,
    headings: Sequence[str],
    *,
    height: float,
    finish: Callable[[int, Slot], float],
) -> None:
    """Lay out a panel under each heading, at most three beside each other, below `words` of the metric.

    Args:
        page: which grows by them.
        words: what the panels' vertical axis shows.
        headings: one for each panel; all empty: there are none.
        height: of a panel, in inches.
        finish: draws the panel of that number and what stands below its ticks; returns how high that is.
    """
    page.bottom_in += (
        page.text(MARGIN_IN, page.bottom_in + 0.04, words, size=LABEL_PT, width=page.inner_in) + 0.06
    )
    across = 2 if len(headings) == 4 else min(3, len(headings))
    slot = page.inner_in / across
    width = slot - TICKS_IN - 0.1
    for start in range(0, len(headings), across):
        row = range(start, min(start + across, len(headings)))
        lines = max(len(wrapped(headings[n], width, size=SMALL_PT)) for n in row)
        top = page.bottom_in + lines * line_in(SMALL_PT) + 0.04
        below = 0.0
        for column, number in enumerate(row):
            left = MARGIN_IN + column * slot + TICKS_IN
            page.text(left, page.bottom_in, headings[number], size=SMALL_PT, width=width)
            axes = page.axes(left, top, width, height, label=f"{words}/{headings[number]}")
            below = max(below, finish(number, Slot(axes, left, width, top + height)))
        page.bottom_in = top + height + below + 0.08
