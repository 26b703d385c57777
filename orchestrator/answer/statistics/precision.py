"""How narrow an interval is, and how many seeds would make it narrow enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator.answer.statistics.summary import Summary, student_t
from orchestrator.process.words import listed

if TYPE_CHECKING:
    from orchestrator.answer.tables.entries import Entry

LEAST = 3
"""Fewer seeds are never called enough: two of them are often close together by chance."""


def half_width(sample: Summary | None) -> float | None:
    """Half of the 95 % interval; None of fewer than two values."""
    if sample is None or sample.low is None or sample.high is None:
        return None
    return sample.high / 2 - sample.low / 2  # their difference may be more than a number can hold


def is_narrow(sample: Summary | None, half: float) -> bool:
    """Whether half of the 95 % interval is at most `half`, of no fewer than three values."""
    own = half_width(sample)
    return sample is not None and own is not None and sample.n >= LEAST and own <= half * (1 + 1e-9)


def next_number(sample: Summary | None, have: int, half: float, *, most: int) -> int:
    """How many seeds to go to from `have` of them, at most `most`.

    Half of the way to the smallest n with t(n - 1, 0.975) · sd / √n ≤ half: sd of few seeds is rough, and
    a step to the end would often be too long.
    """
    if sample is None or sample.sd is None:
        return min(most, max(have + 1, LEAST))
    wanted = have + 1
    while wanted < most and student_t(wanted - 1, 0.975) * sample.sd / math.sqrt(wanted) > half:
        wanted += 1
    return min(most, have + max(1, math.ceil((wanted - have) / 2)))


def told(
    written: str, places: Sequence[tuple[str, Entry]], *, paired: bool, half: float, most: int, unit: float
) -> str:
    """How seeds were added, and whether that was enough, in a line.

    Args:
        written: the half-width that is asked for, as a person reads it.
        places: name and entry of each place of a table.
        paired: whether differences from a baseline are looked at, or means.
        half: the half-width in the unit of the numbers.
        most: the most seeds of a cell.
        unit: by what numbers are multiplied for a person.
    """
    what = "Δ" if paired else "the mean"
    line = (
        f"seeds were added until half the 95 % interval of {what} is at most {written}, by width and never "
    )
    line += f"by p, {most} seeds at most"
    judged = [(name, one) for name, one in places if one.asked and not (paired and one.is_baseline)]
    wide = []
    for name, one in judged:
        sample = one.against if paired else one.summary
        if not is_narrow(sample, half):
            own = half_width(sample)
            width = "no interval" if own is None else f"± {own * unit:.3g}"
            wide.append(f"{name} ({width}, {one.asked} seeds)")
    return f"{line}; " + (f"not reached: {listed(wide)}" if wide else "reached in every cell")
