"""Panels beside each other about spectra after the last epoch, and the key below them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.answer.figures._bands import Band, CellCurves
from orchestrator.answer.figures._lines import looks
from orchestrator.answer.figures._page import LABEL_PT, MARGIN_IN, KeyEntry, Page, line_in

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def row_of_axes(page: Page, headings: Sequence[str], *, across: int) -> list[Axes]:
    slot, ticks, height = page.inner_in / across, 0.5, 2.3
    top = page.bottom_in + 0.06 + line_in(LABEL_PT)
    axes = []
    for column, heading in enumerate(headings):
        left = MARGIN_IN + column * slot + ticks
        axes.append(page.axes(left, top, slot - ticks - 0.12, height, label=heading))
        page.text(left, top - line_in(LABEL_PT) - 0.03, heading, size=LABEL_PT, width=slot - ticks)
    page.bottom_in = top + height + 0.42
    return axes


def final(band: Band | None) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Median, least and largest spectrum after the last epoch, [d] each."""
    return None if band is None else (band.median[-1], band.low[-1], band.high[-1])


def finished(
    page: Page,
    cells: Sequence[CellCurves],
    remarks: Sequence[str],
    *,
    notes: str,
    stamp: str,
    dots: bool = False,
    more: Sequence[KeyEntry] = (),
) -> Figure:
    entries = []
    for cell, remark, look in zip(cells, remarks, looks(cells), strict=True):
        parts = [part for part in (remark, *cell.remarks) if part]
        line = dict(look)
        if dots:
            line |= {"marker": "o", "markersize": 2.5, "markevery": [1]}
        entries.append(KeyEntry(f"{cell.label} ({'; '.join(parts)})" if parts else cell.label, line))
    page.bottom_in += page.key(MARGIN_IN, page.bottom_in, [*entries, *more], width=page.inner_in) + 0.06
    return page.finished(notes=notes, stamp=stamp)
