"""Which cells of a table may be the best, as far as seeds show."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from orchestrator.answer.statistics.decision import is_shown, least_seeds
from orchestrator.answer.statistics.holm import holm
from orchestrator.answer.statistics.sign_flips import sign_flip_p
from orchestrator.answer.statistics.summary import differences

MOST = 200
"""Cells; of more, every pair is no comparison that anybody reads."""


def best(samples: Sequence[Mapping[int, float]], metric: str, *, highest: bool) -> tuple[frozenset[int], str]:
    """Places of those that no other is shown to beat, where some are beaten; and that in a line.

    Every pair is compared, paired by seed, by sign flips and Holm over all pairs: with 5 % for any wrong
    answer in the table, each place that is not among them is worse than another one. Several may remain:
    the seeds do not tell them apart. Where no place is beaten there is no best, and none is given.

    Args:
        samples: the values of each place by seed; empty where there are none, or trials diverged.
        metric: what is compared, as the line calls it.
        highest: whether more is better.
    """
    there = [place for place, values in enumerate(samples) if values]
    if not 2 <= len(there) <= MOST:
        of = f"{len(there)} cells that have numbers and no trial that diverged"
        return frozenset(), f"best by {metric}: not looked for among {of}"
    pairs = list(itertools.combinations(there, 2))
    between = [differences(samples[i], samples[j]) for i, j in pairs]
    adjusted = holm([sign_flip_p(values) for values in between])
    beaten = {
        (j if (sum(values) > 0) is highest else i)
        for (i, j), values, p in zip(pairs, between, adjusted, strict=True)
        if is_shown(p)
    }
    over = f"{len(pairs)} pairs" if len(pairs) > 1 else "the one pair"
    if not beaten:
        least = least_seeds(len(pairs))
        few = f"; fewer than {least} seeds cannot show it" if max(map(len, between)) < least else ""
        return (
            frozenset(),
            f"best by {metric}: undecided, no two cells are shown to differ (Holm over {over}){few}",
        )
    left = frozenset(there) - beaten
    what = f"best by {metric}" + (f": {len(left)} cells that are not told apart" if len(left) > 1 else "")
    told = f"★ {what}; each without it is shown to be worse than another (paired, Holm over {over})"
    if out := len(samples) - len(there):
        told += f", but for {out} without numbers or with trials that diverged, which are not compared"
    return left, told
