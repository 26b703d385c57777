"""Intervals of effects, rates and means without a shape, against values from books and from R."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from orchestrator.answer.statistics import Summary, summarise
from orchestrator.answer.statistics.bootstrap import LEAST, bca_interval
from orchestrator.answer.statistics.effect_size import effect_size
from orchestrator.answer.statistics.rates import rate

SLEEP = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]


def test_the_interval_of_a_mean_is_rs_t_test_of_students_sleep_data() -> None:
    summary = summarise(SLEEP)  # R: t.test(sleep$extra[11:20], sleep$extra[1:10], paired = TRUE)
    assert summary is not None
    assert (summary.mean, summary.low, summary.high) == pytest.approx((1.58, 0.7001142, 2.4598858), abs=1e-7)


def test_the_interval_of_d_z_is_that_of_the_noncentral_t() -> None:
    # R's MBESS: conf.limits.nct(ncp = 2.83, df = 126, conf.level = 0.95) gives 0.8337502 and 4.815359.
    found = effect_size(Summary(127, 2.83 / np.sqrt(127), 1.0, None, None))
    assert found is not None
    assert np.sqrt(127) * np.array(found) == pytest.approx([2.83, 0.8337502, 4.815359], abs=1e-5)


@pytest.mark.parametrize("sample", [[0.01, 0.02, 0.04], SLEEP, [-3.0, -2.9, -3.2, -3.1]])
def test_at_the_ends_of_its_interval_d_z_is_among_the_most_extreme_5_percent(sample: list[float]) -> None:
    found = effect_size(summarise(sample))
    assert found is not None
    n = len(sample)
    t = stats.ttest_1samp(sample, 0).statistic
    assert found.d_z == pytest.approx(t / np.sqrt(n))
    assert stats.nct.sf(t, n - 1, found.low * np.sqrt(n)) == pytest.approx(0.025, abs=1e-5)
    assert stats.nct.cdf(t, n - 1, found.high * np.sqrt(n)) == pytest.approx(0.025, abs=1e-5)


@pytest.mark.parametrize("sample", [[], [0.3], [0.2, 0.2, 0.2]])
def test_without_a_spread_there_is_no_effect_size(sample: list[float]) -> None:
    assert effect_size(summarise(sample)) is None


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        (682, 925, 0.7076683, 0.7654066),  # R's example of binom.test, from Conover 1971
        (0, 3, 0.0, 1 - 0.025 ** (1 / 3)),  # by hand
        (3, 3, 0.025 ** (1 / 3), 1.0),
        (0, 0, 0.0, 1.0),
    ],
)
def test_a_rate_has_the_interval_of_clopper_and_pearson(hits: int, n: int, low: float, high: float) -> None:
    assert rate(hits, n) == (hits, n, pytest.approx(low, abs=1e-7), pytest.approx(high, abs=1e-7))


def test_a_bootstrap_interval_leans_towards_the_long_tail_and_is_always_the_same() -> None:
    sample = list(np.random.default_rng(0).exponential(size=60))
    found = bca_interval(sample)
    assert found is not None and found == bca_interval(sample)
    assert found[1] - np.mean(sample) > 1.1 * (np.mean(sample) - found[0])


def test_a_bootstrap_interval_is_that_of_its_definition() -> None:
    sample = np.random.default_rng(1).normal(size=50)
    draws = np.random.default_rng(2).choice(sample, (100_000, 50)).mean(axis=1)
    out = np.array([np.delete(sample, i).mean() for i in range(50)])
    bias = stats.norm.ppf(np.mean(draws < sample.mean()))
    pull = ((out.mean() - out) ** 3).sum() / (6 * ((out.mean() - out) ** 2).sum() ** 1.5)
    ends = [bias + z for z in stats.norm.ppf([0.025, 0.975])]
    expected = np.quantile(draws, [stats.norm.cdf(bias + e / (1 - pull * e)) for e in ends])
    assert bca_interval(list(sample)) == pytest.approx(expected, abs=0.03)  # 1 999 draws: 0.01


def test_few_values_have_no_bootstrap_interval_and_equal_ones_one_without_width() -> None:
    assert bca_interval([0.1] * (LEAST - 1)) is None
    assert bca_interval([0.1] * LEAST) == (0.1, 0.1)
