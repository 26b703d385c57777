"""Seeds, from their number or a list of them; those of some cells, and those that do not count."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import Field, field_validator
from pydantic.config import JsonDict

from orchestrator.errors import UsageError
from orchestrator.language.hints import shown
from orchestrator.language.table_spec import LevelName
from trainers.config.base import Frozen

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


def as_typed(seeds: Iterable[int]) -> str:
    """Seeds as --seeds takes a list of them: the comma at its end makes a list of one, too."""
    return f"{','.join(map(str, seeds))},"


def in_ranges(seeds: Iterable[int]) -> str:
    """Seeds for a reader, as a list of them is typed: 0-4, 7."""
    runs: list[list[int]] = []
    for seed in sorted(seeds):
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def or_a_range(schema: JsonDict) -> None:
    """Seeds may be a text, too: 0-4."""
    forms = schema["anyOf"]
    assert isinstance(forms, list)
    forms.append({"type": "string", "pattern": r"^[0-9]+(-[0-9]+)?(,\s*[0-9]+(-[0-9]+)?)*$"})


Seeds = Annotated[int, Field(ge=1, le=MOST_SEEDS)] | tuple[Annotated[int, Field(ge=0)], ...]


def given_seeds(value: Any) -> int | tuple[int, ...]:
    """Their number or a list of them, as a file gives them; one error, not one for each of the forms."""
    given = seeds_in(value) if isinstance(value, str) else value
    listed = list(given) if isinstance(given, (list, tuple)) else [given]
    try:
        seeds = seed_list(None if any(isinstance(s, bool) for s in listed) else given, "seeds")
    except UsageError:
        wrong = "expected a number of seeds from 1 to 10000, or a list of different seeds from 0"
        raise ValueError(f"{wrong}, such as [0, 3, 5] or 0-4; got {shown(value)}") from None
    return given if isinstance(given, int) else tuple(seeds)


def seeds_listed(seeds: int | tuple[int, ...]) -> tuple[int, ...]:
    """The seeds themselves, as `given_seeds` leaves them."""
    return tuple(range(seeds)) if isinstance(seeds, int) else seeds


class CellSeeds(Frozen):
    """The seeds of some cells, where they have others than the sweep."""

    where: dict[str, LevelName] = Field(min_length=1)
    """The cells: {axis: level}."""
    seeds: Seeds = Field(json_schema_extra=or_a_range)
    """Number of seeds, from 0, a list of them, or 0-9."""

    _given = field_validator("seeds", mode="before")(given_seeds)


class Excluded(Frozen):
    """A trial that does not count; every table and the report say so."""

    cell: dict[str, LevelName]
    """The cell: {axis: level}; of every cell that fits."""
    seed: int = Field(ge=0)
    """Its seed."""
    reason: str = Field(min_length=1, max_length=500)
    """Why it does not count, in words."""
