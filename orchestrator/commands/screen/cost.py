"""What `orch cost` prints: hours per cell, for people and for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence

from orchestrator.answer.comparison.costs import Cost, records_of
from orchestrator.answer.formats.csv import shown
from orchestrator.errors import UsageError, printable
from orchestrator.process.words import counted, duration, in_columns

FORMATS = ("csv", "json", "text")


def written(
    rows: Sequence[Cost],
    total: Cost,
    form: str,
    *,
    sweep: str,
    profile: str | None,
    evaluations: Sequence[Cost] = (),
) -> str:
    """The costs in that format.

    Args:
        rows: a cell each.
        total: all together, evaluations too.
        form: one of `FORMATS`.
        sweep: its name.
        profile: its profile, in words.
        evaluations: of each cell's encoders.

    Raises:
        UsageError: there is no such format.
    """
    if form not in FORMATS:
        raise UsageError(f"no format '{form}' of costs; known: {', '.join(FORMATS)}")
    if form == "json":
        told = {"sweep": sweep, "profile": profile, "unit": "h"} | records_of(rows, total, evaluations)
        return json.dumps(told, indent=2, ensure_ascii=False) + "\n"
    rows = [*rows, *(one._replace(name=f"evaluation {one.name}") for one in evaluations)]
    if form == "csv":
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["sweep", "profile", "cell", "trials", "timed", "hours", "gpu_hours"])
        writer.writerows(map(shown, [sweep, profile, *one]) for one in rows)
        return out.getvalue()
    return _text(rows, total, sweep=sweep, profile=profile)


def _text(rows: Sequence[Cost], total: Cost, *, sweep: str, profile: str | None) -> str:
    on_gpu = total.gpu_hours > 0
    head = ["", "trials", "wall time", "per trial", *["GPU hours"] * on_gpu]
    body = [_row(one, on_gpu=on_gpu) for one in rows]
    end = _row(total, on_gpu=on_gpu)
    lines = in_columns([head, None, *body, None, end])
    notes = ["  wall time: of the trials, one after another; it is shorter where several run at once"]
    if sum(one.trials for one in rows) > total.trials:
        notes.append("  trials that several cells share count in each of them, and once in the sum")
    if left := total.trials - total.timed:
        have = "has" if left == 1 else "have"
        notes.append(f"  {counted(left, 'trial')} {have} told no time and {have} not been counted")
    if on_gpu:
        notes.append("  GPU hours: wall time on a GPU times the share of one that the file gives a trial")
    named = f"{sweep}: hours spent" + (f", profile {profile}" if profile else "")
    return "\n".join([printable(named), "", *lines, "", *notes]) + "\n"


def _row(one: Cost, *, on_gpu: bool) -> list[str]:
    seconds = one.hours * 3600
    each = _time(seconds / one.timed) if one.timed else "—"
    shown = [one.name, f"{one.trials}", _time(seconds) if one.timed else "—", each]
    return shown + [f"{one.gpu_hours:.2f}"] * on_gpu


def _time(seconds: float) -> str:
    return duration(seconds) if seconds >= 10 else f"{seconds:.1f}s"
