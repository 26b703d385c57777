from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from orchestrator.answer.statistics import paired, summarise

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
