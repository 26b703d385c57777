"""Mean, spread and 95 % interval of a sample, and of differences that are paired by seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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

    @property
    def varies(self) -> bool:
        """Whether there is a spread, and not only what rounding leaves of equal values."""
        return self.sd is not None and self.sd > 1e-12 * abs(self.mean)


def summarise(values: Sequence[float]) -> Summary | None:
    """Mean, spread and 95 % interval of `values`; None of none.

        mean ± t(n - 1, 0.975) · sd / √n

    Assumes that the values are independent draws of one normal distribution.

    Source: Student 1908, Biometrika 6, 1.
    """
    n = len(values)
    if n == 0:
        return None
    mean = math.fsum(values) / n
    if n == 1:
        return Summary(1, mean, None, None, None)
    sd = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    half = student_t(n - 1, 0.975) * sd / math.sqrt(n)
    return Summary(n, mean, sd, mean - half, mean + half)


def paired(values: Mapping[int, float], baseline: Mapping[int, float]) -> Summary | None:
    """Summary of the differences `values` - `baseline`, over the seeds that both have."""
    return summarise(differences(values, baseline))


def differences(values: Mapping[int, float], baseline: Mapping[int, float]) -> list[float]:
    """`values` - `baseline` for each seed that both have, in the order of the seeds."""
    return [values[seed] - baseline[seed] for seed in sorted(values.keys() & baseline.keys())]


def student_t(degrees: int, quantile: float) -> float:
    """That quantile of Student's t."""
    from scipy.special import stdtrit  # scipy takes half a second to import; --help needs none of it

    return float(stdtrit(degrees, quantile))
