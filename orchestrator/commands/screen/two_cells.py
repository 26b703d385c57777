"""What `orch compare SPEC CELL CELL` prints: two cells side by side, for people and for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence

import numpy as np

from orchestrator.answer.comparison import two_cells
from orchestrator.answer.comparison.measured import Measured
from orchestrator.answer.comparison.two_cells import Curve, Final, TwoCells, records_of
from orchestrator.answer.comparison.written import difference, mean
from orchestrator.answer.figures._bands import Band
from orchestrator.answer.statistics import Summary
from orchestrator.commands.request import Request
from orchestrator.commands.screen.board import SPARKS, sparkline
from orchestrator.errors import UsageError, printable
from orchestrator.planning.difference import in_a_word
from orchestrator.process.streams import room
from orchestrator.process.words import in_columns

FORMATS = ("json", "text")
SIGNS = ("A", "B")
SHOWN_EPOCHS = 6
LONGEST_VALUE = 60


def side_by_side(request: Request, names: Sequence[str], metric: str | None, form: str) -> str:
    """Two cells of a sweep in that format.

    Raises:
        UsageError: these are not the names of two cells, or there is no such metric or format.
    """
    if len(names) != 2:
        raise UsageError(
            f"compare: expected two cells behind the file, got {len(names)}; put a label in quotes"
        )
    cells = two_cells.cells_named(request.expansion, *names)
    curves = request.store().curves(two_cells.trials_of(request.expansion, cells))
    found = two_cells.side_by_side(request.expansion, request.records(), curves, cells, metric=metric)
    text = written(found, form)
    return request.filled(text) if form == "text" else text


def written(found: TwoCells, form: str) -> str:
    """The two cells in that format.

    Raises:
        UsageError: there is no such format.
    """
    if form not in FORMATS:
        raise UsageError(f"no format '{form}' of two cells; known: {', '.join(FORMATS)}")
    if form == "json":
        return json.dumps(records_of(found), indent=2, ensure_ascii=False) + "\n"
    profile = f", profile {found.profile}" if found.profile else ""
    lines = [f"{found.sweep}: two cells side by side{profile}", *_named(found), "", *_settings(found)]
    lines += ["", *_finals(found)] if found.finals else ["", "after training: no number yet"]
    lines += ["", *_curves(found.curves)] if found.curves else ["", "by epoch: no curve yet"]
    lines += ["", *(f"  {note}" for note in found.notes)] if found.notes else []
    return "\n".join(printable(line) for line in lines) + "\n"


def _named(found: TwoCells) -> Iterator[str]:
    for sign, cell, remark in zip(SIGNS, found.cells, found.remarks, strict=True):
        yield f"  {sign}: {cell.label}" + (f" ({remark})" if remark else "")


def _settings(found: TwoCells) -> list[str]:
    if not found.different:
        return [f"settings: none differs, {found.alike} are alike"]
    rows = [[path, *map(_short, values)] for path, *values in found.different]
    alike = f"{found.alike} {'is' if found.alike == 1 else 'are'} alike"
    return [f"settings that differ ({alike}; -f json has all)", *_aligned([["", *SIGNS], *rows])]


def _short(value: object) -> str:
    text = in_a_word(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def _finals(found: TwoCells) -> list[str]:
    rows = []
    for one in found.finals:
        name = one.of.metric + " in %" * one.of.in_percent
        rows.append([name, *(_mean(one.of, summary) for summary in one.summaries), _difference(one)])
    head = ["", *SIGNS, "B - A, paired by seed [95 %]"]
    told = "whether a difference is real: `orch compare SPEC --against CELL`"
    return ["after training: mean ± sd (n)", *_aligned([head, *rows]), *[f"  {told}"] * found.tests]


def _mean(of: Measured, summary: Summary | None) -> str:
    return "—" if summary is None else f"{mean(of, summary)} ({summary.n})"


def _difference(one: Final) -> str:
    return "—" if one.difference is None else difference(one.of, one.difference)


def _curves(curves: Sequence[Curve]) -> list[str]:
    """Each metric of both cells at a few epochs, and all of its way as blocks between one low and one top."""
    known = [band.epochs for one in curves for band in one.bands if band is not None]
    every = np.unique(np.concatenate(known))
    epochs = every[np.unique(np.linspace(0, len(every) - 1, SHOWN_EPOCHS).round().astype(int))]
    rows = [["", *(f"{epoch:g}" for epoch in epochs), "all epochs"]]
    widest = max(len(one.metric) for one in curves)
    for one in curves:
        values = np.concatenate([band.median for band in one.bands if band is not None])
        low, top = float(np.nanmin(values)), float(np.nanmax(values))
        for sign, band in zip(SIGNS, one.bands, strict=True):
            name = f"{one.metric if sign == SIGNS[0] else '':{widest}}  {sign}"
            rows.append([name, *(_at(band, epoch) for epoch in epochs), _blocks(band, low, top)])
    return ["by epoch: median over seeds; blocks go from the least to the most of both", *_aligned(rows)]


def _at(band: Band | None, epoch: float) -> str:
    found = [] if band is None else band.median[band.epochs == epoch]
    return f"{found[0]:.4g}" if len(found) and math.isfinite(found[0]) else "—"


def _blocks(band: Band | None, low: float, top: float) -> str:
    if band is None:
        return ""
    known = band.median[np.isfinite(band.median)]
    chosen = np.unique(np.linspace(0, len(known) - 1, SPARKS).round().astype(int))
    return sparkline([float(value) for value in known[chosen]], low=low, top=top)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows below a head and a rule, in columns, two characters from the edge."""
    within = None if (line := room()) is None else line - 2
    return [f"  {line}".rstrip() for line in in_columns([rows[0], None, *rows[1:]], within=within)]
