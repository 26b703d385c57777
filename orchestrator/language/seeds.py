"""Seeds, from their number or a list of them."""

from __future__ import annotations

import operator
from collections.abc import Iterable

from orchestrator.errors import UsageError


def seed_list(seeds: int | Iterable[int] | None, shown: str) -> list[int]:
    """The seeds themselves, from their number or a list of them.

    Args:
        seeds: as they were given; None: what was given is neither.
        shown: what was given, in words.

    Raises:
        UsageError: they are no seeds.
    """
    try:
        numbers = [operator.index(seed) for seed in seeds] if isinstance(seeds, Iterable) else None
        number = None if numbers is not None else operator.index(seeds)  # type: ignore[arg-type]
    except TypeError:
        numbers, number = [], None
    if number is not None:
        numbers = list(range(number)) if 1 <= number <= 10_000 else []
    assert numbers is not None
    if numbers and not 0 <= min(numbers) <= max(numbers) < 2**31:
        numbers = []
    if not numbers or len(set(numbers)) < len(numbers):
        raise UsageError(
            f"{shown}: expected a number from 1 to 10000, or a list of different seeds from 0 to "
            "2147483647 such as 0,3,5"
        )
    return numbers
