"""What `orch compare` prints: a comparison or the effects of axes, for people and for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from orchestrator.answer.comparison import cells, effects
from orchestrator.answer.comparison.cells import Comparison
from orchestrator.answer.comparison.effects import Effects
from orchestrator.answer.comparison.measured import Measured
from orchestrator.answer.formats.csv import shown
from orchestrator.answer.statistics import Summary
from orchestrator.answer.statistics.effect_size import EffectSize
from orchestrator.errors import UsageError
from orchestrator.process.words import in_columns

FORMATS = ("csv", "json", "text")


def written(found: Comparison | Effects, form: str) -> str:
    """The comparison, or the effects, in that format.

    Raises:
        UsageError: there is no such format.
    """
    if form not in FORMATS:
        raise UsageError(f"no format '{form}' of a comparison; known: {', '.join(FORMATS)}")
    if form == "text":
        return _text(found)
    rows = cells.records_of(found) if isinstance(found, Comparison) else effects.records_of(found)
    if form == "csv":
        return _csv(rows)
    return json.dumps(_everything(found, rows), indent=2, ensure_ascii=False) + "\n"


def _everything(found: Comparison | Effects, rows: list[dict[str, Any]]) -> dict[str, Any]:
    of = found.of
    head: dict[str, Any] = {
        "sweep": of.sweep,
        "profile": of.profile,
        "metric": of.metric,
        "unit": "share" if of.in_percent else "plain",
        "seeds": list(of.seeds),
    }
    if isinstance(found, Comparison):
        head |= {"against": found.against, "margin": found.margin, "cells": rows}
    else:
        head["effects"] = rows
    return head | {"notes": list(found.notes), "decision": found.decision}


def _csv(rows: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        plain = {k: " ".join(v) if isinstance(v, list) else v for k, v in row.items()}
        writer.writerow({k: shown(v) for k, v in plain.items()})
    return out.getvalue()


def _text(found: Comparison | Effects) -> str:
    of = found.of
    unit = " in %" if of.in_percent else ""
    profile = f", profile {of.profile}" if of.profile else ""
    if isinstance(found, Comparison):
        what, table = f"against {found.against}", _cells_table(found)
    else:
        what, table = "effects of axes", _effects_table(found)
    lines = in_columns([table[0], None, *table[1:]])
    brackets = (
        "[ ]: 95 % intervals; p: sign flips, two-sided; p Holm: all comparisons together; docs/statistics.md"
    )
    notes = [f"  {note}" for note in (brackets, *found.notes)]
    title = f"{of.sweep}: {of.metric}{unit}, {what}{profile}"
    return "\n".join([title, "", *lines, "", *notes, found.decision]) + "\n"


def _cells_table(found: Comparison) -> list[list[str]]:
    of, margin = found.of, found.margin
    partly = any(row.rates["dimensional"].hits for row in found.rows)
    rates = ["collapsed", *["dimensional"] * partly, "diverged"]
    alike = [f"p Holm inside ±{of.declared(margin, points=False)}"] if margin is not None else []
    head = ["", "n", "mean ± sd", "difference", "p", "p Holm", "d_z", *alike, "", *rates]
    body = []
    for row in found.rows:
        versus = row.versus
        shown = [row.cell, f"{row.summary.n if row.summary else 0}", _mean(of, row.summary)]
        if versus is None:
            shown += ["baseline", "", "", "", *[""] * len(alike), ""]
        else:
            shown += [_difference(of, versus.difference), _p(versus.p), _p(versus.p_holm)]
            shown += [_effect(versus.effect), *[_p(versus.equivalence_p_holm)] * len(alike), versus.verdict]
        found_rates = (row.rates[name] for name in rates)
        shown += [f"{r.hits}/{r.n} [{100 * r.low:.0f}, {100 * r.high:.0f} %]" for r in found_rates]
        body.append(shown)
    return [head, *body]


def _effects_table(found: Effects) -> list[list[str]]:
    head = ["", "n", "difference", "p", "p Holm", "d_z"]
    body = [
        [
            row.name,
            f"{row.difference.n if row.difference else 0}",
            _difference(found.of, row.difference),
            _p(row.p),
            _p(row.p_holm),
            _effect(row.effect),
        ]
        for row in found.rows
    ]
    return [head, *body]


def _mean(of: Measured, summary: Summary | None) -> str:
    if summary is None:
        return "-"
    spread = "" if summary.sd is None else f" ± {of.written(summary.sd, points=False)}"
    return of.written(summary.mean, points=False) + spread


def _difference(of: Measured, difference: Summary | None) -> str:
    if difference is None:
        return "-"
    bounds = [b for b in (difference.low, difference.high) if b is not None]
    return _with_bounds([of.written(v, signed=True, points=False) for v in (difference.mean, *bounds)])


def _effect(effect: EffectSize | None) -> str:
    return (
        "-"
        if effect is None
        else _with_bounds([f"{v:+.0f}" if abs(v) >= 10 else f"{v:+.2f}" for v in effect])
    )


def _with_bounds(numbers: Sequence[str]) -> str:
    return numbers[0] + (f" [{numbers[1]}, {numbers[2]}]" if numbers[1:] else "")


def _p(p: float | None) -> str:
    return "-" if p is None else f"{p:.3f}" if p >= 0.001 else "<0.001"
