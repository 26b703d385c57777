"""How many seeds decide, and the words for it."""

from __future__ import annotations

import pytest

from orchestrator.answer.statistics import Summary, summarise
from orchestrator.answer.statistics.decision import Compared, least_seeds, seeds_needed, words


def seen(mean: float, *, sd: float = 1.0, n: int = 3) -> Summary:
    return Summary(n, mean, sd, None, None)


@pytest.mark.parametrize(("comparisons", "least"), [(1, 6), (2, 7), (3, 7), (7, 9), (99, 12)])
def test_an_exact_test_needs_so_many_seeds_to_find_anything(comparisons: int, least: int) -> None:
    assert least_seeds(comparisons) == least
    assert comparisons * 2 / 2**least <= 0.05 < comparisons * 2 / 2 ** (least - 1)


@pytest.mark.parametrize(("d_z", "n"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10)])
def test_seeds_needed_are_those_of_gpower(d_z: float, n: int) -> None:
    # G*Power 3.1, t tests, difference between two dependent means, two tails, α 0.05, power 0.8
    assert seeds_needed(seen(d_z), 1) == seeds_needed(seen(-d_z), 1) == n


def test_more_comparisons_need_more_seeds_and_a_clear_difference_no_fewer_than_the_least() -> None:
    assert seeds_needed(seen(0.5), 1) < seeds_needed(seen(0.5), 7)  # type: ignore[operator]
    assert seeds_needed(seen(1e6), 3) == seeds_needed(seen(0.1, sd=0.0), 3) == least_seeds(3)


def test_no_number_of_seeds_finds_what_is_not_there() -> None:
    assert seeds_needed(seen(0.0), 1) is None
    assert seeds_needed(seen(0.0, sd=0.0), 1) is None
    assert seeds_needed(seen(0.01), 1) is None


def test_three_seeds_decide_nothing_and_it_is_said_how_many_could() -> None:
    clear, small = summarise([0.40, 0.41, 0.42]), summarise([0.01, -0.02, 0.04])
    assert words([Compared("No EMA", clear, False)]) == (
        "3 seeds cannot decide No EMA: the smallest p they can give is 0.25. 6 could, with a chance of 80 %, "
        "if mean and spread are as seen. Undecided does not mean equal."
    )
    both = words([Compared("No EMA", clear, False), Compared("wide", small, False)])
    assert "3 seeds cannot decide No EMA, wide: the smallest p they can give is 0.25, 0.5 after Holm" in both
    assert "7 could (No EMA), 89 could (wide)" in both


def test_what_is_shown_is_said_and_what_is_not_is_undecided() -> None:
    told = words(
        [
            Compared("a", seen(2, n=8), True, False),
            Compared("b", seen(0.1, n=8), False, True),
            Compared("c", seen(0.9, n=8), False, False),
            Compared("d", None, False),
        ],
        margin="1.0 points",
    )
    assert "Different at 5 %, all comparisons together: a." in told
    assert "Equivalent within ±1.0 points: b." in told
    assert "No seed to compare yet: d." in told
    assert "8 seeds do not decide c. 17 could" in told
    assert "mean equal" not in told and "no difference" not in told


def test_a_number_of_seeds_that_did_not_do_is_not_said_to_do() -> None:
    assert "8 seeds do not decide a. 9 could" in words([Compared("a", seen(3, n=8), False)])


def test_one_seed_shows_no_spread_and_equal_values_no_difference() -> None:
    assert "no fewer than 6 can decide" in words([Compared("a", summarise([0.3]), False)])
    assert "Even 1000 could not" in words([Compared("a", summarise([0.0] * 3), False)])


def test_few_seeds_cannot_show_equivalence_and_that_is_said() -> None:
    told = words([Compared("a", seen(0.0), False, False)], margin="0.1")
    assert "Fewer than 5 seeds cannot show equivalence here." in told


def test_a_long_table_is_said_shortly() -> None:
    many = [Compared(f"cell {i}", seen(0.3 + i / 50), False) for i in range(99)]
    told = words(many)
    assert len(told) < 600 and "cell 0, cell 1, cell 2, cell 3 and 95 more" in told
    assert "the others need" in told
