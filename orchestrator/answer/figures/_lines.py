"""Lines with bands, one per cell, in colours and dashes that tell cells apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.answer.figures._bands import Band, CellCurves

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette for every kind of colour vision, without its yellow, too pale on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)))


def look(index: int) -> dict[str, Any]:
    """Colour and dashes of the cell at `index`: first the colours run out, then the dashes."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": DASHES[index // len(COLOURS) % len(DASHES)],
        "linewidth": 1.1,
    }


def looks(cells: Sequence[CellCurves]) -> list[dict[str, Any]]:
    """Colour and dashes of each cell by its place in the sweep, so that all figures agree on them."""
    places = [index if cell.place is None else cell.place for index, cell in enumerate(cells)]
    different = len(COLOURS) * len(DASHES)
    if len({place % different for place in places}) < min(len(places), different):
        places = list(range(len(places)))  # cells that look alike must not stand in one figure
    return [look(place) for place in places]


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
    first = min(float(band.epochs.min()) for band in bands)
    last = max(float(band.epochs.max()) for band in bands)
    room = 0.02 * (last - first) or 0.5
    whole = last - first >= 3 or all((band.epochs % 1 == 0).all() for band in bands)
    for each in axes:
        each.set_xlim(first - room, last + room)
        each.xaxis.set_major_locator(
            MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10], integer=whole, min_n_ticks=1)
        )
