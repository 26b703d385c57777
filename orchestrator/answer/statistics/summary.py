"""Mean, spread and 95 % interval: of a sample, of differences paired by seed, of a line's slope."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

SQUARED = 1e150
"""Numbers up to this can be squared and summed."""
DOUBLED = 8e307
"""Numbers up to this have differences that a number can hold."""


class Summary(NamedTuple):
    """A sample in numbers."""

    n: int
    mean: float
    sd: float | None
    """Standard deviation with n - 1; None for a single value, and where no number can hold these."""
    low: float | None
    high: float | None
    """95 % confidence interval of the mean by Student's t; None as `sd` is."""

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
    largest = max(map(abs, values))
    if largest > SQUARED:  # a loss on its way to infinity: its square is no number
        part = summarise([v / largest for v in values])
        assert part is not None
        spread = [one * largest for one in part[2:] if one is not None]
        held = n > 1 and all(map(math.isfinite, spread))
        return Summary(n, part.mean * largest, *(spread if held else (None, None, None)))
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
    """`values` - `baseline` for each seed that both have, in the order of the seeds.

    A difference that no number can hold is left out, as tables say of numbers so large.
    """
    found = (values[seed] - baseline[seed] for seed in sorted(values.keys() & baseline.keys()))
    return [one for one in found if math.isfinite(one)]


def average(values: Sequence[float]) -> float:
    """The mean of `values`, also where their sum is more than a number can hold."""
    try:
        return math.fsum(values) / len(values)
    except OverflowError:
        return math.fsum(value / len(values) for value in values)


def student_t(degrees: int, quantile: float) -> float:
    """That quantile of Student's t."""
    from scipy.special import stdtrit  # scipy takes half a second to import; --help needs none of it

    return float(stdtrit(degrees, quantile))


class Line(NamedTuple):
    """A straight line through points."""

    n: int
    slope: float
    mean_x: float
    mean_y: float
    half_width: float | None
    """Half of the slope's 95 % confidence interval; None of two points, through which a line always goes."""

    def at(self, x: float) -> float:
        """Its value at `x`."""
        return self.mean_y + self.slope * (x - self.mean_x)


def least_squares(x: Sequence[float], y: Sequence[float]) -> Line | None:
    """The line through points that is nearest to them vertically; None where all `x` are alike.

        b = Σ (x - x̄)(y - ȳ) / Σ (x - x̄)²,   b ± t(n - 2, 0.975) · √(Σ r² / (n - 2) / Σ (x - x̄)²)

    with the residuals r. The interval assumes that they are independent draws of one normal distribution.
    Those of ordered eigenvalues are not, and there it is too narrow.

    Source: Montgomery, Peck & Vining 2012, Introduction to Linear Regression Analysis, § 2.4.
    """
    n = len(x)
    if n < 2:
        return None
    mean_x, mean_y = math.fsum(x) / n, math.fsum(y) / n
    spread = math.fsum((one - mean_x) ** 2 for one in x)
    if spread <= n * (1e-12 * abs(mean_x)) ** 2:  # what rounding leaves of equal values
        return None
    pairs = list(zip(x, y, strict=True))
    slope = math.fsum((a - mean_x) * (b - mean_y) for a, b in pairs) / spread
    line = Line(n, slope, mean_x, mean_y, None)
    if n == 2:
        return line
    error = math.fsum((b - line.at(a)) ** 2 for a, b in pairs) / (n - 2)
    return line._replace(half_width=student_t(n - 2, 0.975) * math.sqrt(error / spread))
