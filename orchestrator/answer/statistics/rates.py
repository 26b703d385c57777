"""How often something happens, from a few trials."""

from __future__ import annotations

from typing import NamedTuple


class Rate(NamedTuple):
    """A share of trials with its 95 % interval, in [0, 1]."""

    hits: int
    n: int
    low: float
    high: float


def rate(count: int, n: int) -> Rate:
    """`count` of `n` trials, with the exact interval of Clopper and Pearson.

        low: the share under which `count` or more come with 2.5 %;  high: `count` or fewer

    Assumes independent trials with one probability. It covers the truth in at least 95 %, mostly more. Of no
    trial, anything from 0 to 1 is possible.

    Source: Clopper & Pearson 1934, Biometrika 26, 404.
    """
    from scipy.special import betaincinv

    low = float(betaincinv(count, n - count + 1, 0.025)) if count else 0.0
    high = float(betaincinv(count + 1, n - count, 0.975)) if count < n else 1.0
    return Rate(count, n, low, high)
