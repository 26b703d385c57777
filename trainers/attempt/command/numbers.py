"""What counts as an epoch, a name and a number of a command, wherever it was read."""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol

Found = tuple[int | None, dict[str, float]]
LAST_EPOCH = 10**9
"""Larger ones are a mistake, and no store takes all of them."""
LONGEST_NAME = 240
_NAME = re.compile(r"[\w.\-/: ]+")


class ReportError(Exception):
    """What was reported is no report; one line: file, place, what was expected."""


class Reader(Protocol):
    """Reads one thing that a command writes."""

    def new(self, *, is_over: bool) -> Iterator[Found]:
        """What was added, or all anew; `is_over`: nothing follows.

        Raises:
            ReportError: it cannot be understood.
            OSError: it cannot be read.
        """


def opened(path: Path) -> BinaryIO:
    """A file that a command writes, to be read.

    Raises:
        ReportError: it is a pipe, a device or a folder, of which reading may never end.
        OSError: it cannot be read.
    """
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise ReportError(f"{path}: no regular file; have numbers written to one")
    return os.fdopen(number, "rb")


def name_fault(name: str) -> str | None:
    """Why the store takes no metric of this name; None: it does.

    Source: mlflow/utils/validation.py.
    """
    parts = name.split("/")
    if not _NAME.fullmatch(name) or name[:2] == ".." or any(part in ("", ".", "..") for part in parts):
        return "expected letters, digits, blanks and _ - . : and / between them"
    return f"longer than {LONGEST_NAME} characters" if len(name) > LONGEST_NAME else None


def epoch_of(value: Any, at: str) -> int | None:
    """An epoch; None where there is none.

    Raises:
        ReportError: it is none.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LAST_EPOCH:
        raise ReportError(f"{at}: epoch {_short(value)} is no whole number from 0 to {LAST_EPOCH}")
    if value != int(value):
        raise ReportError(f"{at}: epoch {value!r} is no whole number from 0 to {LAST_EPOCH}")
    return int(value)


def numbers_of(said: Mapping[str, Any], at: str) -> dict[str, float]:
    """Its numbers; null: not defined.

    Raises:
        ReportError: one is none.
    """
    found: dict[str, float] = {}
    for name, value in said.items():
        if value is None:
            continue
        if not isinstance(value, int | float):
            raise ReportError(f"{at}: '{name}' is no number: {shown_of(repr(value).encode())}")
        found[name] = _whole(value)
    return found


def _whole(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def number_of(text: str, name: str, at: str) -> float:
    """The number that a text says.

    Raises:
        ReportError: it says none.
    """
    found = as_float(text)
    if found is None:
        raise ReportError(f"{at}: '{name}' is no number: {text[:40]!r}")
    return found


def as_float(text: str) -> float | None:
    """The number that a text says; None: it says none."""
    try:
        return float(text)
    except ValueError:
        return None


def shown_of(content: bytes) -> str:
    """The beginning of what was reported, for a person."""
    return ascii(content[:60].decode("utf-8", "replace").strip())


def _short(value: Any) -> str:
    try:
        return repr(value)[:40]
    except ValueError:  # Python prints no integer of thousands of digits
        return "of thousands of digits"
