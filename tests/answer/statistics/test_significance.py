"""The tests of differences, against values from books and from other code."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from orchestrator.answer.statistics.equivalence import equivalence
from orchestrator.answer.statistics.holm import holm
from orchestrator.answer.statistics.sign_flips import EXACT, sign_flip_p, smallest_p

# Darwin's maize, crossed minus self-fertilised, in eighths of an inch: Fisher 1935, The Design of
# Experiments, § 17.
MAIZE = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
# Student's sleep data (1908): hours gained by the second drug over the first; R's `sleep`.
SLEEP = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]


def test_sign_flips_give_fishers_own_count_for_darwins_maize() -> None:
    # § 21: 863 of the 32768 sums are as large as the observed one, and as many as small: 5.267 %.
    assert sign_flip_p(MAIZE) == 2 * 863 / 2**15
    assert sign_flip_p(MAIZE, greater=True) == 863 / 2**15


@pytest.mark.parametrize("n", [1, 2, 3, 7, 10])
def test_an_exact_p_counts_every_sign(n: int) -> None:
    d = np.random.default_rng(n).normal(0.5, 1, n)
    sums = [np.dot(signs, d) for signs in itertools.product([-1, 1], repeat=n)]
    assert sign_flip_p(list(d)) == np.mean(np.abs(sums) >= abs(d.sum()) - 1e-9)
    assert sign_flip_p(list(d), greater=True) == np.mean(np.array(sums) >= d.sum() - 1e-9)


def test_an_exact_p_is_scipys() -> None:
    found = stats.permutation_test((np.array(SLEEP),), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_p(SLEEP) == pytest.approx(found.pvalue, rel=1e-12)


def test_sums_that_are_equal_on_paper_count_as_equal() -> None:
    # 0.1 + 0.2 - 0.3 is not zero in a computer
    assert sign_flip_p([0.1, 0.2, -0.3]) == 1.0
    assert sign_flip_p([0.3, 0.3, 0.1, -0.1]) == sign_flip_p([3, 3, 1, -1]) == 6 / 16


@pytest.mark.parametrize("n", [1, 3, 6, EXACT])
def test_equal_signs_give_the_smallest_p_that_so_many_seeds_can(n: int) -> None:
    assert sign_flip_p([0.1] * n) == smallest_p(n) == min(1, 2 / 2**n)
    assert sign_flip_p([-0.1] * n, greater=True) == 1


def test_nothing_and_no_difference_show_nothing() -> None:
    assert sign_flip_p([]) == sign_flip_p([0.0, 0.0, 0.0]) == 1


def test_many_differences_are_tested_with_drawn_signs_that_are_always_the_same() -> None:
    d = list(np.random.default_rng(3).normal(0.35, 1, 40))
    assert sign_flip_p(d) == sign_flip_p(d)
    assert sign_flip_p(d) == pytest.approx(stats.ttest_1samp(d, 0).pvalue, abs=0.01)
    assert sign_flip_p([*range(1, 31), *[-1] * 10]) == 1 / 20_000  # never zero


def test_differences_of_one_sign_are_counted_however_many_they_are() -> None:
    d = list(np.random.default_rng(3).uniform(0.1, 1, 40))
    assert sign_flip_p(d) == smallest_p(40) and sign_flip_p(d, greater=True) == smallest_p(40, sides=1)
    assert sign_flip_p([*d, 0.0]) == smallest_p(40) and sign_flip_p([-x for x in d], greater=True) == 1
    assert sign_flip_p([0.0] * 40) == sign_flip_p([0.0] * 40, greater=True) == 1


def test_holm_is_rs_p_adjust() -> None:
    # R 4.4: p.adjust(c(0.01, 0.02, 0.03, 0.005), "holm")
    assert holm([0.01, 0.02, 0.03, 0.005]) == pytest.approx([0.03, 0.04, 0.04, 0.02])
    assert holm([0.4, 0.5]) == [0.8, 0.8]
    assert holm([]) == []


def test_equivalence_by_t_is_two_one_sided_t_tests() -> None:
    found = equivalence(SLEEP, 2.5)
    assert found is not None
    above = stats.ttest_1samp(SLEEP, -2.5, alternative="greater")
    below = stats.ttest_1samp(SLEEP, 2.5, alternative="less")
    assert found.p_by_t == pytest.approx(max(above.pvalue, below.pvalue))
    # R: t.test(extra ~ group, sleep, paired = TRUE) has the standard error 0.38896, and qt(0.95, 9) is 1.8331
    assert (found.low, found.high) == pytest.approx(
        (1.58 - 1.8331 * 0.38896, 1.58 + 1.8331 * 0.38896), abs=1e-4
    )


@pytest.mark.parametrize("shift", [0.0, 0.3, -0.7])
def test_equivalence_by_t_at_5_percent_is_a_90_percent_interval_inside_the_margin(shift: float) -> None:
    d = [x - 1.58 + shift for x in SLEEP]
    for margin in (0.5, 0.9, 1.2, 1.6):
        found = equivalence(d, margin)
        assert found is not None
        assert (found.p_by_t <= 0.05) == (-margin < found.low and found.high < margin)


def test_few_seeds_do_not_show_equivalence_however_equal_they_are() -> None:
    small = equivalence([0.001, -0.001, 0.0], 1.0)
    assert small is not None and small.p_by_t < 1e-5 and small.p == 1 / 8
    same = equivalence([0.0] * 6, 0.01)
    assert same is not None and (same.p_by_t, same.p) == (0.0, 1 / 64)
    assert equivalence([0.1], 1.0) is None
    beyond = equivalence([0.5] * 6, 0.5)
    assert beyond is not None and beyond.p == 1
