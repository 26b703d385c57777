"""Statistics of a handful of seeds, as pure functions of a sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Summary(NamedTuple):
    """A sample in numbers."""

    n: int
    mean: float
    sd: float | None
    """Standard deviation with n - 1; None for a single value."""
    low: float | None
    high: float | None
    """95 % confidence interval of the mean by Student's t; None for a single value."""


def summarise(values: Sequence[float]) -> Summary | None:
    """Mean, spread and 95 % interval of `values`; None of none."""
    n = len(values)
    if n == 0:
        return None
    mean = math.fsum(values) / n
    if n == 1:
        return Summary(1, mean, None, None, None)
    sd = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    half = _student_t(n - 1) * sd / math.sqrt(n)
    return Summary(n, mean, sd, mean - half, mean + half)


def paired(values: dict[int, float], baseline: dict[int, float]) -> Summary | None:
    """Summary of the differences `values` - `baseline`, over the seeds that both have."""
    common = sorted(values.keys() & baseline.keys())
    return summarise([values[seed] - baseline[seed] for seed in common])


def _student_t(degrees: int) -> float:
    """The 97.5 % quantile of Student's t."""
    from scipy.special import stdtrit  # scipy takes half a second to import; --help needs none of it

    return float(stdtrit(degrees, 0.975))
