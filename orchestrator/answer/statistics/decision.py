"""What the seeds at hand can decide, how many could decide more, and that in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from orchestrator.answer.statistics.sign_flips import smallest_p
from orchestrator.answer.statistics.summary import Summary, student_t
from orchestrator.process.words import counted, listed

ALPHA = 0.05
"""The chance of any false alarm among a table's comparisons."""
POWER = 0.8
MOST = 1_000
"""More seeds than this are not counted."""


def is_shown(p_holm: float | None) -> bool:
    """Whether a test among all of its comparisons shows what it looks for, at 5 %."""
    return p_holm is not None and p_holm <= ALPHA


class Compared(NamedTuple):
    """One comparison, with what was found."""

    name: str
    difference: Summary | None
    """Paired differences; None where no seed has both."""
    different: bool
    """Whether its adjusted p is at most 0.05."""
    equivalent: bool | None = None
    """Whether it was shown to be inside the margin; None where none is given."""


def least_seeds(comparisons: int, *, sides: int = 2) -> int:
    """The fewest seeds with which an exact test can find anything at 5 % after Holm over `comparisons`.

    The smallest n with comparisons · sides / 2ⁿ ≤ 0.05: 6 seeds for one comparison, 7 for three.
    """
    n = 1
    while comparisons * smallest_p(n, sides=sides) > ALPHA:
        n += 1
    return n


def seeds_needed(difference: Summary | None, comparisons: int) -> int | None:
    """How many seeds find this difference with a chance of 80 %, if its mean and sd are the true ones.

    The smallest n with a power of 0.8 at the level 0.05 / comparisons, and no fewer than `least_seeds`.
    Power is that of the two-sided paired t test, by the noncentral t; where only equal signs of all
    differences can be small enough, it is their chance Φ(d_z)ⁿ, the exact test's own. Mean and sd of few
    seeds are rough, and so is this number.

    Returns:
        None where more than 1 000 would be needed, or there is no difference to find. Without a spread (a
        single seed, or equal differences), `least_seeds`.

    Source: Cohen 1988, Statistical Power Analysis, ch. 2.
    """
    least = least_seeds(comparisons)
    if difference is None or difference.sd is None or not difference.varies:
        return least if difference is None or difference.n == 1 or difference.mean else None
    d_z = abs(difference.mean) / difference.sd
    if _power(d_z, least, comparisons) >= POWER:
        return least
    low, high = least + 1, MOST + 1  # from there on power grows with n
    while low < high:
        middle = (low + high) // 2
        if _power(d_z, middle, comparisons) >= POWER:
            high = middle
        else:
            low = middle + 1
    return None if low > MOST else low


def _power(d_z: float, n: int, comparisons: int) -> float:
    from scipy.special import nctdtr, ndtr

    level = ALPHA / comparisons
    if 2 * smallest_p(n) > level:
        return float(ndtr(d_z) ** n + ndtr(-d_z) ** n)
    shift, critical = math.sqrt(n) * d_z, student_t(n - 1, 1 - level / 2)
    if shift > critical + 10:
        return 1.0  # beyond where the noncentral t is computed well
    return float(1 - nctdtr(n - 1, shift, critical))  # the far side adds nothing at a power of 0.8


def words(compared: Sequence[Compared], *, margin: str | None = None) -> str:
    """What was decided, what was not, and how many seeds could, in a few sentences.

    It says "different" only of what an adjusted p of at most 0.05 shows, "equivalent" only of what was
    tested against a margin, and of everything else that it is undecided: never that there is none.

    Args:
        compared: all comparisons of the table.
        margin: the margin as it is written, where one was declared.
    """
    if not compared:
        return "Nothing to compare."
    sentences = []
    if found := [one.name for one in compared if one.different]:
        sentences.append(f"Different at 5 %, all comparisons together: {listed(found)}.")
    if margin and (alike := [one.name for one in compared if one.equivalent]):
        sentences.append(f"Equivalent within ±{margin}: {listed(alike)}.")
    if none := [one.name for one in compared if one.difference is None]:
        sentences.append(f"No seed to compare yet: {listed(none)}.")
    undecided = [one for one in compared if one.difference and not (one.different or one.equivalent)]
    for n in sorted({one.difference.n for one in undecided if one.difference}):
        some = [one for one in undecided if one.difference and one.difference.n == n]
        sentences += _undecided(some, n, len(compared))
    if (
        margin
        and undecided
        and max(one.difference.n for one in undecided if one.difference)
        < (least := least_seeds(len(compared), sides=1))
    ):
        sentences.append(f"Fewer than {least} seeds cannot show equivalence here.")
    if any(one.difference and not one.different for one in compared) and not margin:
        sentences.append("Undecided does not mean equal.")
    return " ".join(sentences)


def _undecided(some: Sequence[Compared], n: int, comparisons: int) -> list[str]:
    """The sentences on comparisons that `n` seeds leave undecided."""
    seeds = counted(n, "seed")
    names = listed([one.name for one in some])
    if n == 1:
        least = least_seeds(comparisons)
        return [f"{seeds} cannot decide {names}: it shows no spread; no fewer than {least} can decide."]
    floor = smallest_p(n)
    adjusted = min(1.0, comparisons * floor)
    if adjusted > ALPHA:
        holm = f", {adjusted:.2g} after Holm over {comparisons} comparisons" if comparisons > 1 else ""
        said = [f"{seeds} cannot decide {names}: the smallest p they can give is {floor:.2g}{holm}."]
    else:
        said = [f"{seeds} do not decide {names}."]
    needs: dict[int | None, list[str]] = {}
    for one in some:
        wanted = seeds_needed(one.difference, comparisons)
        needs.setdefault(None if wanted is None else max(wanted, n + 1), []).append(one.name)
    numbers = sorted(number for number in needs if number)
    could = [
        f"{number} could" + (f" ({listed(needs[number])})" if len(needs) > 1 else "") for number in numbers
    ]
    if len(could) > 3:
        could = [could[0], f"the others need {numbers[1]} to {numbers[-1]}"]
    if could:
        said.append(
            f"{', '.join(could)}, with a chance of {100 * POWER:.0f} %, if mean and spread are as seen."
        )
    if None in needs:
        which = "" if len(needs) == 1 else f" {listed(needs[None])}:"
        said.append(f"For{which} even {MOST} could not." if which else f"Even {MOST} could not.")
    return said
