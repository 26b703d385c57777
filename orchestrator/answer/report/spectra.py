"""Spectra of all cells at one epoch after another, as numbers that a page draws while a slider moves."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from orchestrator.answer.figures._bands import Band, CellCurves, spectrum_band
from orchestrator.answer.figures._lines import looks

NAMES = ("F", "Wp")
"""Eigenvalues of F, of the embeddings, and of the predictor, where they are recorded."""
MOST_EPOCHS, MOST_RANKS, DECADES = 60, 64, 6
WIDTH, HEIGHT = 220, 120  # of a panel, in units of its drawing
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class Panel(NamedTuple):
    """One cell's spectra."""

    label: str
    lines: tuple[tuple[str, str], ...]
    """Name, and points at the last epoch as SVG has them."""
    shown: tuple[int | None, ...]
    """Whose spectra it shows at each epoch: the last recorded until then; None: none was yet."""
    ranks: int
    """How many eigenvalues it has; 0 where none is recorded."""
    colour: str
    """The cell's in figures."""


class Spectra(NamedTuple):
    """What a page shows and moves."""

    panels: tuple[Panel, ...]
    epochs: tuple[int, ...]
    names: tuple[str, ...]
    low: float
    """Powers of ten at the lower and the upper edge of every panel."""
    high: float
    ticks: tuple[tuple[float, str], ...]
    """Height and words of each power of ten; some have none."""
    data: str
    """JSON: for each panel and name a list by epoch of heights [d] in a panel; null where there is none."""
    thinned: str
    """What was left out, in a sentence; may be empty."""


def spectra_of(cells: Sequence[CellCurves]) -> Spectra | None:
    """The spectra of these cells, median over seeds; None where none was recorded."""
    bands = [{name: band for name in NAMES if (band := spectrum_band(cell, name))} for cell in cells]
    names = tuple(name for name in NAMES if any(name in one for one in bands))
    every = sorted({int(e) for one in bands for band in one.values() for e in band.epochs})
    if not every:
        return None
    epochs = [every[i] for i in _evenly(len(every), MOST_EPOCHS)]
    top = max(float(np.nanmax(band.median)) for one in bands for band in one.values())
    high = math.ceil(math.log10(top)) if top > 0 else 0
    low = high - DECADES
    shown = [_shown(one, epochs) for one in bands]
    heights = [
        [_heights(one.get(name), own, low, high) for name in names]
        for one, own in zip(bands, shown, strict=True)
    ]
    own = [max((band.median.shape[1] for band in one.values()), default=0) for one in bands]
    panels = tuple(
        Panel(
            cell.label,
            tuple(
                (name, points(rows[-1] or ())) for name, rows in zip(names, drawn, strict=True) if any(rows)
            ),
            epochs_of,
            number,
            look["color"],
        )
        for cell, drawn, epochs_of, number, look in zip(cells, heights, shown, own, looks(cells), strict=True)
    )
    ranks = max(own)
    left = [f"{len(epochs)} of {len(every)} epochs"] if len(epochs) < len(every) else []
    left += [f"{MOST_RANKS} of {ranks} ranks"] if ranks > MOST_RANKS else []
    thinned = f"Shown: {' and '.join(left)}, evenly chosen." if left else ""
    return Spectra(
        panels=panels,
        epochs=tuple(epochs),
        names=names,
        low=low,
        high=high,
        ticks=_ticks(high),
        data=json.dumps(heights, separators=(",", ":")),
        thinned=thinned,
    )


def points(heights: Sequence[float]) -> str:
    """A line over ranks, as SVG has it."""
    step = WIDTH / max(1, len(heights) - 1)
    return " ".join(f"{i * step:.1f},{y}" for i, y in enumerate(heights))


def _ticks(high: int) -> tuple[tuple[float, str], ...]:
    """A line for each power of ten, every second one with its number."""
    told = [f"10{str(high - i).translate(_RAISED)}" if i % 2 == 0 else "" for i in range(DECADES + 1)]
    told[-1] = f"≤ {told[-1]}"
    return tuple((i * HEIGHT / DECADES, words) for i, words in enumerate(told))


def _shown(bands: Mapping[str, Band], epochs: Sequence[int]) -> tuple[int | None, ...]:
    """The last epoch of these bands until each of `epochs`."""
    recorded = sorted({int(epoch) for band in bands.values() for epoch in band.epochs})
    return tuple(max((own for own in recorded if own <= epoch), default=None) for epoch in epochs)


def _heights(band: Band | None, epochs: Sequence[int | None], low: float, high: float) -> list[Any]:
    """Heights [d] at each epoch, the largest value first; None where it has none."""
    if band is None:
        return [None] * len(epochs)
    there = {int(epoch): row for epoch, row in zip(band.epochs, band.median, strict=True)}
    chosen = _evenly(band.median.shape[1], MOST_RANKS)
    made: list[Any] = []
    for row in (None if epoch is None else there.get(epoch) for epoch in epochs):
        if row is None:
            made.append(None)
            continue
        values = np.sort(np.nan_to_num(row, nan=0.0))[::-1][chosen]
        logs = np.log10(np.maximum(values, 10.0**low))
        made.append([round(float(HEIGHT * (high - one) / (high - low)), 1) for one in logs])
    return made


def _evenly(number: int, most: int) -> list[int]:
    """Up to `most` places of so many, first and last among them."""
    if number <= most:
        return list(range(number))
    return sorted({round(i * (number - 1) / (most - 1)) for i in range(most)})
