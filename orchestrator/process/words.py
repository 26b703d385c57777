"""Numbers and times as a person says them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence


def counted(number: int, what: str) -> str:
    """A number of things: 1 kind, 2 kinds."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def exact(number: float) -> str:
    """A number as it was written: in six digits where they are all that it has, else in all of them."""
    short = f"{number:g}"
    return short if float(short) == number else repr(float(number)).removesuffix(".0")


WHOLE = 1e15
"""Of larger numbers a float has not all digits before the point: fifteen are its own."""


def fixed(number: float, digits: int, how: str = "") -> str:
    """A number with so many digits after its point, a huge one as 1.235e+300; `how` is + or z of a format."""
    return f"{number:{how}.{digits}f}" if abs(number) < WHOLE else f"{number:{how}.{max(digits, 3)}e}"


def duration(seconds: float | None) -> str:
    """Seconds as "1h 05m", "3m 20s" or "12s"."""
    if seconds is None:
        return ""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{whole // 60}m {whole % 60:02d}s" if whole >= 60 else f"{whole}s"


def listed(names: Iterable[str], most: int = 4, between: str = ", ") -> str:
    """Names in a row, the first `most` of many: "a, b and 3 more"."""
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return between.join(every[:most]) + more


def in_columns(
    rows: Iterable[Sequence[str] | None],
    *,
    right: bool = False,
    within: int | None = None,
    groups: Sequence[int] = (),
) -> list[str]:
    """Rows of cells as lines, columns of one width; those for which a line has no room stand below again.

    Args:
        rows: cells each; None: a rule.
        right: whether all columns but the first are set to the right.
        within: characters of a line; None: as many as there are.
        groups: numbers of columns behind the first that stay together; each alone where none are given.
    """
    shown = list(rows)
    widths = [max(map(len, column)) for column in zip(*filter(None, shown), strict=True)]
    put = str.rjust if right else str.ljust
    lines = [row or ["─" * width for width in widths] for row in shown]
    made: list[str] = []
    for block in _blocks(widths, within, groups or [1] * (len(widths) - 1)):
        made += [""] * bool(made)
        for one in lines:
            cells = (put(one[place], widths[place]) for place in block)
            made.append("  ".join([one[0].ljust(widths[0]), *cells]).rstrip())
    return made


def _blocks(widths: Sequence[int], within: int | None, groups: Iterable[int]) -> list[list[int]]:
    """The columns behind the first that stand beside each other, at least a group each time."""
    blocks: list[list[int]] = [[]]
    length, first = widths[0], 1
    for number in groups:
        own = sum(widths[first : first + number]) + 2 * number
        if within is not None and blocks[-1] and length + own > within:
            blocks.append([])
            length = widths[0]
        blocks[-1] += range(first, first + number)
        length, first = length + own, first + number
    return blocks


def in_lines(words: str, within: int | None, *, indent: str = "") -> list[str]:
    """A note in lines of at most so many characters, what goes on further in; None: in one line."""
    if within is None:
        return [indent + words]
    return textwrap.wrap(
        words,
        within,
        initial_indent=indent,
        subsequent_indent=indent and indent + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def one_of(words: Sequence[str]) -> str:
    """A choice: "png or pdf", "md, tex or text"."""
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
