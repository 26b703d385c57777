"""Numbers and times as a person says them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def counted(number: int, what: str) -> str:
    """A number of things: 1 kind, 2 kinds."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def exact(number: float) -> str:
    """A number as it was written: in six digits where they are all that it has, else in all of them."""
    short = f"{number:g}"
    return short if float(short) == number else repr(float(number)).removesuffix(".0")


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


def in_columns(rows: Iterable[Sequence[str] | None], *, right: bool = False) -> list[str]:
    """Rows of cells as lines, columns of one width, all but the first perhaps to the right; None: a rule."""
    shown = list(rows)
    widths = [max(map(len, column)) for column in zip(*filter(None, shown), strict=True)]
    put = str.rjust if right else str.ljust
    lines = [row or ["─" * width for width in widths] for row in shown]
    return ["  ".join([one[0].ljust(widths[0]), *map(put, one[1:], widths[1:])]).rstrip() for one in lines]


def one_of(words: Sequence[str]) -> str:
    """A choice: "png or pdf", "md, tex or text"."""
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
