"""Whether a mean, or a share of trials, lies beyond a bound: one-sided tests."""

from __future__ import annotations

import math
from collections.abc import Sequence

from orchestrator.answer.statistics.sign_flips import sign_flip_p
from orchestrator.answer.statistics.summary import Summary, student_t, summarise


def above(values: Sequence[float], bound: float) -> float:
    """p of a mean at or below `bound`: small where the mean is above it.

    The larger of the one-sided p by Student's t, which assumes normal values, and by sign flips, which
    assumes symmetric ones: as for `equivalence`, so that few seeds show nothing by the assumption of
    normality alone. n values cannot give less than 1 / 2ⁿ. Of fewer than two, 1.
    """
    from scipy.special import stdtr

    summary = summarise(values)
    if summary is None or summary.sd is None:
        return 1.0
    error, distance = summary.sd / math.sqrt(summary.n), summary.mean - bound
    by_t = float(stdtr(summary.n - 1, -distance / error)) if summary.varies else float(distance <= 0)
    return max(by_t, sign_flip_p([value - bound for value in values], greater=True))


def below(values: Sequence[float], bound: float) -> float:
    """p of a mean at or above `bound`: small where the mean is below it."""
    return above([-value for value in values], -bound)


def interval_90(summary: Summary) -> tuple[float, float] | None:
    """90 % interval of the mean by Student's t, whose ends are one-sided bounds at 5 %."""
    if summary.sd is None:
        return None
    half = student_t(summary.n - 1, 0.95) * summary.sd / math.sqrt(summary.n)
    return summary.mean - half, summary.mean + half


def mostly(hits: int, n: int) -> tuple[float, float]:
    """One-sided p of a share of one half or less, and of one half or more, from `hits` of `n` trials.

    Exact, for independent trials with one probability: the chance of as many hits or more, or as many or
    fewer, of n fair coins.
    """
    from scipy.special import bdtr

    return (1.0 if hits == 0 else float(1 - bdtr(hits - 1, n, 0.5))), float(bdtr(hits, n, 0.5)) if n else 1.0
