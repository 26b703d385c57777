"""The columns of the eigenspace figure: what each draws of a cell, and its key.

F [d, d] is the correlation of the embeddings, W_p [d, d] the predictor, u_j the eigenvectors of F in the
order of its eigenvalues, largest first; the rank of an eigenvalue is its place in that order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from orchestrator.answer.figures._bands import (
    Band,
    CellCurves,
    metric_band,
    spectrum_band,
    spectrum_mean_band,
)
from orchestrator.answer.figures._lines import draw_band
from orchestrator.answer.figures._page import FAINT, INK, KeyEntry

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize

FLOOR = 1e-8
"""Least eigenvalue of F on the log axis: float32 sums know nothing smaller, and noise there is negative."""
IID_ASYMMETRY = 2**0.5
"""Asymmetry of a random matrix with independent entries, in both norms."""
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


def clipped(values: Any) -> Any:
    """Eigenvalues of F as a log axis can show them."""
    return np.maximum(values, FLOOR)


def ranks_with_band(d: int) -> list[int]:
    """The ranks that show their seeds: 1, 2, 4, 8, ... up to d."""
    return [2**power for power in range(d.bit_length())]


def _draw_f(axes: Axes, cell: CellCurves, ranks: Ranks) -> list[Band]:
    band = spectrum_band(cell, "F")
    if band is None:
        return []
    axes.set_yscale("log")
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
    if l1 is not None or frobenius is not None:
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
        axes.fill_between(
            band.epochs, low, high, color=colour, alpha=0.25, linewidth=0.3, label=f"band {rank}"
        )


ALIGNMENT_KEY = (
    KeyEntry("mean", {"color": INK, "linewidth": 1.5}),
    KeyEntry("chance (random $u$)", {"color": CHANCE, "linewidth": 1.2, "linestyle": (0, (3, 1.5))}),
)
ASYMMETRY_KEY = (
    KeyEntry(r"$\ell_1$", {"color": L1, "linewidth": 1.2}),
    KeyEntry("Frobenius", {"color": FROBENIUS, "linewidth": 1.2, "linestyle": (0, (3, 1.5))}),
    KeyEntry("i.i.d. entries (1.41)", {"color": FAINT, "linewidth": 0.8, "linestyle": (0, (1, 1.2))}),
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
