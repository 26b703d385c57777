"""Runs of others as values: columns by name, and curves where the source has them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from orchestrator.errors import UsageError

MOST_BYTES = 256 * 2**20
"""A larger file has more than runs in it."""
Curve = tuple[tuple[int, float], ...]
"""(step, value) pairs in the order of the steps."""


def no_curve(column: str) -> Curve:
    """The curves of a source that has none."""
    return ()


class Run(NamedTuple):
    """One run, or one line of a file."""

    place: str
    """Line or name, for messages."""
    values: Mapping[str, str | float]
    """By column; what the run does not have is absent."""
    curve: Callable[[str], Curve] = no_curve
    """The curve of a column, read when it is asked for."""


class Runs(NamedTuple):
    """What a source holds."""

    file: str
    """Its name, or its address without secrets."""
    sha256: str
    columns: tuple[str, ...]
    rows: tuple[Run, ...]


def columns_of(rows: Iterable[Run]) -> tuple[str, ...]:
    """Every column that a run has, in the order of their first mention."""
    return tuple(dict.fromkeys(column for row in rows for column in row.values))


def content_of(path: Path) -> bytes:
    """The content of a file that is no larger than files of runs are.

    Raises:
        UsageError: it is not there, cannot be read, or is larger.
    """
    try:
        if path.is_dir():
            raise UsageError(f"{path}: is a folder; expected a file")
        if (size := path.stat().st_size) > MOST_BYTES:
            raise UsageError(
                f"{path}: has {size >> 20} MiB, and at most {MOST_BYTES >> 20} MiB are read; leave out "
                "columns and lines that no table shows"
            )
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}; name a file that is there") from None


def digest(parts: Iterable[bytes]) -> str:
    """SHA-256 over these, which no other parts have in common."""
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()
