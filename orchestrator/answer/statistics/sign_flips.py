"""Whether paired differences could be chance: the exact sign-flip test."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from orchestrator.answer.statistics.summary import SQUARED

EXACT = 24
"""Up to so many differences every sign counts; of more, signs are drawn."""
DRAWS = 19_999
"""Drawn signs; a p of 0.05 then has a standard error of 0.0015."""
ROWS = 1_000  # drawn signs that are multiplied at once, which bounds memory


def sign_flip_p(differences: Sequence[float], *, greater: bool = False) -> float:
    """How often random signs give a sum at least as far from zero as the differences' own.

        p = #{s ∈ {-1, +1}ⁿ : |Σ s_i d_i| ≥ |Σ d_i|} / 2ⁿ

    Assumes that without an effect each difference is as likely to have either sign, as it is where the two
    cells do not differ in anything; nothing of their shape or of equal spread. Cells with one mean and
    different shapes have skewed differences: then p is only near. The smallest p is 2 / 2ⁿ: `smallest_p`.
    Beyond 24 differences 19 999 signs are drawn with a fixed seed, and p = (1 + hits) / (1 + draws), but for
    differences of one sign, which are counted.

    Args:
        differences: one per seed; none of them give p = 1.
        greater: count only sums at least as large as the differences' own: one-sided, against a mean of
            zero or less.

    Source: Fisher 1935, The Design of Experiments, § 21; draws: Phipson & Smyth 2010, Stat. Appl. Genet. Mol.
    Biol. 9, 39.
    """
    d = np.asarray(differences, dtype=float)
    if d.size == 0 or not np.isfinite(d).all():
        return 1.0
    if (largest := np.abs(d).max()) > SQUARED:  # their sum may be more than a number can hold
        d = d / largest
    # Sums that are equal on paper differ in their last digits, and shares of test images are often equal.
    own = (d.sum() if greater else abs(d.sum())) - 1e-12 * np.abs(d).sum()
    if d.size <= EXACT:
        return _sums_at_least(own, d) * (1 if greater else 2) / 2**d.size if own > 0 or greater else 1.0
    if own >= (1 - 2e-12) * np.abs(d).sum():
        return smallest_p(int(np.count_nonzero(d)), sides=1 if greater else 2)
    hits = 0
    for start in range(0, DRAWS, ROWS):
        sums = _drawn_signs(d.size)[start : start + ROWS] @ d
        hits += int(np.count_nonzero((sums if greater else np.abs(sums)) >= own))
    return (1 + hits) / (1 + DRAWS)


def smallest_p(n: int, *, sides: int = 2) -> float:
    """The smallest p that n differences can give: that of all signs equal, `sides` / 2ⁿ."""
    return min(1.0, sides * 0.5**n)


def _sums_at_least(least: float, d: np.ndarray) -> int:
    """How many of the 2ⁿ signed sums are at least `least`: each of one half of `d` with each of the other."""
    first, second = (_signed_sums(half) for half in np.array_split(d, 2))
    second.sort()
    return int((second.size - np.searchsorted(second, least - first)).sum())


def _signed_sums(d: np.ndarray) -> np.ndarray:
    sums = np.zeros(1)
    for value in d:
        sums = np.concatenate([sums + value, sums - value])
    return sums


@functools.lru_cache(maxsize=1)
def _drawn_signs(n: int) -> np.ndarray:
    """Signs, [draws, n]; the cells of a table share them."""
    return np.random.default_rng(0).choice(np.array([-1, 1], dtype=np.int8), size=(DRAWS, n))
