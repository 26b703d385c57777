"""Seeds, from their number or a list of them."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable

from orchestrator.errors import UsageError

MOST_SEEDS = 10_000
_PART = re.compile(r"\s*([0-9]{1,10})\s*(?:-\s*([0-9]{1,10})\s*)?")


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
        numbers = list(range(number)) if 1 <= number <= MOST_SEEDS else []
    assert numbers is not None
    if len(numbers) > MOST_SEEDS or (numbers and not 0 <= min(numbers) <= max(numbers) < 2**31):
        numbers = []
    if not numbers or len(set(numbers)) < len(numbers):
        raise UsageError(
            f"{shown}: expected a number from 1 to 10000, or a list of different seeds from 0 to "
            "2147483647 such as 0,3,5 or 0-4"
        )
    return numbers


def seeds_in(text: str) -> int | list[int] | None:
    """Seeds from "3" (that many), "0,3,5" (these) or "0-4,7" (these, first and last included).

    None: the text says neither.
    """
    if re.fullmatch(r"\s*[0-9]{1,10}\s*", text):
        return int(text)
    found: list[int] = []
    for part in filter(str.strip, text.split(",")):
        match = _PART.fullmatch(part)
        if match is None:
            return None
        first, last = int(match[1]), int(match[2] or match[1])
        if len(found) + last - first >= MOST_SEEDS:
            return None
        found += range(first, last + 1)
    return found
