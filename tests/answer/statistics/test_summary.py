from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from orchestrator.answer.statistics import paired, summarise
from orchestrator.answer.statistics.sign_flips import sign_flip_p
from orchestrator.answer.statistics.summary import average, differences, least_squares

SAMPLE = [0.71, 0.68, 0.74, 0.70]


def test_a_summary_equals_scipys() -> None:
    summary = summarise(SAMPLE)
    assert summary is not None
    low, high = stats.t.interval(0.95, 3, loc=np.mean(SAMPLE), scale=stats.sem(SAMPLE))
    assert (summary.mean, summary.sd) == pytest.approx((np.mean(SAMPLE), np.std(SAMPLE, ddof=1)))
    assert (summary.low, summary.high) == pytest.approx((low, high))


def test_one_value_has_no_spread_and_none_has_no_summary() -> None:
    assert summarise([0.5]) == (1, 0.5, None, None, None)
    assert summarise([]) is None


def test_numbers_whose_squares_overflow_have_a_summary_all_the_same() -> None:
    small, large = summarise([1.0, 2.0, -3.5]), summarise([1e300, 2e300, -3.5e300])
    assert small is not None and large is not None
    assert [one / 1e300 for one in large[1:] if one is not None] == pytest.approx(list(small[1:]))
    assert summarise([1e308] * 3) == pytest.approx((3, 1e308, 0, 1e308, 1e308))


def test_equal_values_have_no_spread() -> None:
    summary = summarise([0.3, 0.3, 0.3])
    assert summary is not None and summary.sd == pytest.approx(0, abs=1e-12)


def test_differences_are_taken_seed_by_seed() -> None:
    values, baseline = {0: 0.5, 1: 0.7, 2: 0.9}, {2: 0.8, 1: 0.6, 0: 0.4, 9: 0.0}
    difference = paired(values, baseline)
    assert difference is not None
    assert (difference.n, difference.mean) == (3, pytest.approx(0.1))
    assert difference.sd == pytest.approx(0, abs=1e-12)  # paired: the spread between seeds cancels


def test_seeds_that_only_one_side_has_do_not_count() -> None:
    assert paired({0: 1.0}, {1: 1.0}) is None


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    summaries = [summarise(list(generator.normal(size=3))) for _ in range(2000)]
    covered = np.mean([s.low <= 0 <= s.high for s in summaries])  # type: ignore[union-attr,operator]
    assert abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 2000)  # four standard errors


def test_a_line_by_least_squares_and_its_interval_equal_scipys() -> None:
    random = np.random.default_rng(0)
    x = list(random.normal(3, 2, 12))
    y = [0.5 * one - 7 + random.normal() for one in x]
    line, known = least_squares(x, y), stats.linregress(x, y)
    assert line is not None and line.n == 12
    assert (line.slope, line.at(0.0)) == pytest.approx((known.slope, known.intercept))
    assert line.half_width == pytest.approx(stats.t.ppf(0.975, 10) * known.stderr)


def test_through_two_points_goes_a_line_without_an_interval_and_through_fewer_none() -> None:
    line = least_squares([1.0, 3.0], [2.0, 8.0])
    assert line is not None and (line.slope, line.at(2.0), line.half_width) == (3.0, 5.0, None)
    assert least_squares([0.1 + 0.2, 0.3], [1.0, 2.0]) is None  # but for rounding one place
    assert least_squares([1.0], [2.0]) is None and least_squares([], []) is None


def test_what_no_number_can_hold_is_left_out_and_nothing_else() -> None:
    far = summarise([1.7e308, -1.7e308])  # the spread would be 2.4e308
    assert far == (2, 0.0, None, None, None)
    assert summarise([1.7e308]) == (1, 1.7e308, None, None, None)
    assert differences({0: 1.7e308, 1: 3.0}, {0: -1.7e308, 1: 1.0}) == [2.0]
    assert paired({0: 1.7e308}, {0: -1.7e308}) is None
    assert average([1.7e308, 1.7e308]) == pytest.approx(1.7e308) and average([1.0, 2.0]) == 1.5


@pytest.mark.parametrize("n", [6, 30])
def test_sign_flips_of_numbers_whose_sum_overflows_are_those_of_small_ones(n: int) -> None:
    small = [1.0 + 0.01 * i for i in range(n)]
    assert sign_flip_p([1e307 * one for one in small]) == sign_flip_p(small) < 0.05
    assert sign_flip_p([math.inf, 1.0]) == 1.0
