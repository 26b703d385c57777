"""Comparisons and effects as tables of words, for people: a terminal or a page may show them."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.answer.comparison.cells import Comparison
from orchestrator.answer.comparison.effects import Effects
from orchestrator.answer.comparison.measured import Measured
from orchestrator.answer.statistics import Summary
from orchestrator.answer.statistics.effect_size import EffectSize
from orchestrator.answer.statistics.rates import Rate

BRACKETS = "[ ]: 95 % intervals; p: sign flips, two-sided; p Holm: all comparisons together"


def cells_table(found: Comparison) -> list[list[str]]:
    """Head, and a row for each cell, against the baseline."""
    of, margin = found.of, found.margin
    partly = any(row.rates["dimensional"].hits for row in found.rows)
    rates = ["collapsed", *["dimensional"] * partly, "diverged"]
    alike = [f"p Holm inside ±{of.declared(margin, points=False)}"] if margin is not None else []
    head = ["", "n", "mean ± sd", "difference", "p", "p Holm", "d_z", *alike, "verdict", *rates]
    body = []
    for row in found.rows:
        versus = row.versus
        shown = [row.cell, f"{row.summary.n if row.summary else 0}", mean(of, row.summary)]
        if versus is None:
            shown += ["baseline", "", "", "", *[""] * len(alike), ""]
        else:
            shown += [difference(of, versus.difference), _p(versus.p), _p(versus.p_holm)]
            shown += [_effect(versus.effect), *[_p(versus.equivalence_p_holm)] * len(alike), versus.verdict]
        body.append(shown + [_rate(row.rates[name]) for name in rates])
    return [head, *body]


def effects_table(found: Effects) -> list[list[str]]:
    """Head, and a row for each effect."""
    head = ["", "n", "difference", "p", "p Holm", "d_z"]
    body = [
        [
            row.name,
            f"{row.difference.n if row.difference else 0}",
            difference(found.of, row.difference),
            _p(row.p),
            _p(row.p_holm),
            _effect(row.effect),
        ]
        for row in found.rows
    ]
    return [head, *body]


def mean(of: Measured, summary: Summary | None) -> str:
    """Mean ± sd."""
    if summary is None:
        return "-"
    spread = "" if summary.sd is None else f" ± {of.written(summary.sd, points=False)}"
    return of.written(summary.mean, points=False) + spread


def difference(of: Measured, summary: Summary | None) -> str:
    """A difference with its interval."""
    if summary is None:
        return "-"
    bounds = [b for b in (summary.low, summary.high) if b is not None]
    return _with_bounds([of.written(v, signed=True, points=False) for v in (summary.mean, *bounds)])


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


def _rate(rate: Rate) -> str:
    return f"{rate.hits}/{rate.n} [{100 * rate.low:.0f}, {100 * rate.high:.0f} %]"
