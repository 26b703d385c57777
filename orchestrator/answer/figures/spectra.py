"""Spectra after the last epoch: overlaid over rank, and those of W_p over those of F."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.answer.figures.bands import Band, CellCurves, metric_band, spectrum_band
from orchestrator.answer.figures.curves import look
from orchestrator.answer.figures.page import LABEL_PT, MARGIN_IN, WIDTH_IN, KeyEntry, Page, line_in
from orchestrator.errors import UsageError
from orchestrator.language.hints import nearest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEADINGS = {
    "embedding": "eigenvalues of the embeddings' covariance / largest",
    "feature": "eigenvalues of the features' covariance / largest",
    "F": "eigenvalues of F / largest",
    "Wp": "eigenvalues of W_p / largest",
}
DEFAULT = ("embedding", "feature")
FLOOR = 1e-8  # of the largest: float32 knows nothing smaller


def chosen(columns: tuple[str, ...], *, name: str) -> tuple[str, ...]:
    """The spectra to draw; embeddings and features where none is asked for."""
    for column in columns:
        if column not in HEADINGS:
            known = ", ".join(HEADINGS)
            hint = nearest(column, HEADINGS)
            hint = f"{hint} " if hint.startswith("did") else ""
            raise UsageError(f"figure '{name}': no spectrum '{column}'; {hint}available: {known}")
    return columns or DEFAULT


def draw_ranks(spectra: Sequence[str], cells: Sequence[CellCurves], *, title: str, stamp: str) -> Figure:
    """One panel per spectrum, one line per cell: eigenvalues over their rank, after the last epoch."""
    page = Page(max(3.6, WIDTH_IN * min(len(spectra), 2) / 2), title=title)
    for start in range(0, len(spectra), 2):
        row = spectra[start : start + 2]
        for name, axes in zip(
            row, _row(page, [HEADINGS[n] for n in row], across=min(len(spectra), 2)), strict=True
        ):
            _draw_ranks(page, axes, name, cells)
    notes = (
        "Lines: median over seeds; bands: smallest to largest seed. Each spectrum is divided by its largest "
        "value."
    )
    return _finished(page, cells, ["" for _ in cells], notes=notes, stamp=stamp)


def draw_slope(cells: Sequence[CellCurves], *, title: str, stamp: str) -> Figure:
    """Eigenvalues of W_p over those of F, rank by rank, on logarithmic axes, with the theory's slope ½."""
    page = Page(WIDTH_IN * 0.62, title=title)
    (axes,) = _row(page, ["eigenvalues of W_p over eigenvalues of F"], across=1)
    axes.set_xlabel("eigenvalue of F", labelpad=1.5)
    remarks = []
    for index, cell in enumerate(cells):
        f, w = (_last(spectrum_band(cell, name)) for name in ("F", "Wp"))
        slope = metric_band(cell, "Wp/slope")
        remarks.append(
            "no W_p" if w is None else "no slope" if slope is None else f"slope {slope.median[-1]:.2f}"
        )
        if f is None or w is None:
            continue
        alive = (w[0] > 0.05 * w[0][0]) & (w[0] > 0) & (f[0] > 0)
        if not alive.any():
            continue
        style = {"color": look(index)["color"], "marker": "o", "markersize": 2.2, "linestyle": "none"}
        axes.plot(f[0][alive], w[0][alive], **style)
    if not axes.lines:
        page.no_data(axes, "no cell has a predictor and a recorded spectrum")
    else:
        axes.set_xscale("log")
        axes.set_yscale("log")
        low, high = axes.get_xlim()
        bottom, top = axes.get_ylim()
        middle = np.sqrt(bottom * top)
        x = np.array([low, high])
        axes.plot(
            x, middle * np.sqrt(x / np.sqrt(low * high)), color="#888888", linewidth=0.9, linestyle="--"
        )
        axes.set_xlim(low, high)
        axes.set_ylim(bottom, top)
    notes = (
        "Dots: median over seeds of each rank after the last epoch, where W_p is above 5 % of its largest "
        "eigenvalue. Dashed: slope 1/2, the invariant parabola of the theory."
    )
    return _finished(page, cells, remarks, notes=notes, stamp=stamp, dots=True)


def _row(page: Page, headings: Sequence[str], *, across: int) -> list[Axes]:
    slot, ticks, height = page.inner_in / across, 0.5, 2.3
    top = page.bottom_in + 0.06 + line_in(LABEL_PT)
    axes = []
    for column, heading in enumerate(headings):
        left = MARGIN_IN + column * slot + ticks
        axes.append(page.axes(left, top, slot - ticks - 0.12, height, label=heading))
        page.text(left, top - line_in(LABEL_PT) - 0.03, heading, size=LABEL_PT, width=slot - ticks)
    page.bottom_in = top + height + 0.42
    return axes


def _draw_ranks(page: Page, axes: Axes, name: str, cells: Sequence[CellCurves]) -> None:
    axes.set_xlabel("rank", labelpad=1.5)
    least = 1.0
    for index, cell in enumerate(cells):
        last = _last(spectrum_band(cell, name))
        if last is None or not last[0][0] > 0:
            continue
        ranks = np.arange(1, len(last[0]) + 1)
        median, low, high = (np.clip(part / last[0][0], FLOOR, None) for part in last)
        axes.fill_between(ranks, low, high, color=look(index)["color"], alpha=0.18, linewidth=0.4)
        axes.plot(ranks, median, **look(index))
        least = min(least, float(median.min()))
    if not axes.lines:
        page.no_data(axes, "no cell has recorded this spectrum")
        return
    axes.set_yscale("log")
    axes.set_ylim(max(FLOOR, least / 2), 2)


def _last(band: Band | None) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Median, least and largest spectrum after the last epoch, [d] each."""
    return None if band is None else (band.median[-1], band.low[-1], band.high[-1])


def _finished(
    page: Page,
    cells: Sequence[CellCurves],
    remarks: Sequence[str],
    *,
    notes: str,
    stamp: str,
    dots: bool = False,
) -> Figure:
    entries = []
    for index, (cell, remark) in enumerate(zip(cells, remarks, strict=True)):
        parts = [part for part in (remark, cell.note, f"n={cell.reporting}") if part]
        line = dict(look(index))
        if dots:
            line |= {"linestyle": "none", "marker": "o", "markersize": 2.5, "markevery": [1]}
        entries.append(KeyEntry(f"{cell.label} ({'; '.join(parts)})", line))
    page.bottom_in += page.key(MARGIN_IN, page.bottom_in, entries, width=page.inner_in) + 0.06
    return page.finished(notes=notes, stamp=stamp)
