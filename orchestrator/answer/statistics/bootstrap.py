"""An interval of a mean that assumes no shape: the bias-corrected and accelerated bootstrap (BCa)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np

LEAST = 40
"""Fewest values that have an interval: of fewer, it covers the truth too rarely (docs/statistics.md)."""
DRAWS = 1_999


def bca_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """95 % interval of the mean by BCa over 1 999 resamples; None of fewer than 40 values, or too large ones.

    The resamples are drawn with a fixed seed: equal values give an equal interval. Assumes that the values
    are independent draws of one distribution, of any shape with a finite variance.

    Source: Efron 1987, J. Am. Stat. Assoc. 82, 171; scipy.stats.bootstrap.
    """
    from scipy.stats import bootstrap  # half a second more than scipy.special

    if len(values) < LEAST:
        return None
    if min(values) == max(values):  # where nothing varies, BCa is not defined
        return values[0], values[0]
    generator = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of resamples that are all equal
        found = bootstrap(
            (np.asarray(values),), np.mean, n_resamples=DRAWS, method="BCa", random_state=generator
        )
    low, high = map(float, found.confidence_interval)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None
