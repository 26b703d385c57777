"""Reads what a command reports, and what it writes by itself, while it grows."""

from __future__ import annotations

import contextlib
import json
import math
import re
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from trainers.attempt.command.event_files import EventFile
from trainers.attempt.command.numbers import (
    Found,
    Reader,
    ReportError,
    epoch_of,
    number_of,
    numbers_of,
    opened,
    shown_of,
)

LONGEST_LINE = 1_000_000


class JsonLines:
    """The report itself: a line of JSON for each {"epoch": 3, "loss": 0.1}."""

    def __init__(self, path: Path) -> None:
        self.path, self.read_to, self.line = path, 0, 0
        self._end = b""
        """Of what was read."""

    def new(self, *, is_over: bool) -> Iterator[Found]:
        """Whole lines that were added; a last one without its end counts if it is whole."""
        if not self.path.exists():
            return
        with opened(self.path) as file:
            file.seek(self.read_to - len(self._end))
            if file.read(len(self._end)) != self._end:
                raise ReportError(
                    f"report: was written anew after line {self.line}, so that numbers may be lost; add "
                    'lines at its end, as open(..., "a") does'
                )
            while line := file.readline(LONGEST_LINE):
                if not line.endswith(b"\n"):
                    if len(line) == LONGEST_LINE:
                        raise ReportError(f"report, line {self.line + 1}: longer than {LONGEST_LINE} bytes")
                    with contextlib.suppress(ReportError):
                        if is_over:
                            yield self._understood(line)
                    return
                self.read_to += len(line)
                self.line, self._end = self.line + 1, line[-100:]
                if line.strip():
                    yield self._understood(line)

    def _understood(self, line: bytes) -> Found:
        at = f"report, line {self.line}"
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):
            raise ReportError(
                f'{at}: no JSON: {shown_of(line)}; expected such as {{"epoch": 3, "loss": 0.1}}'
            ) from None
        if not isinstance(said, dict):
            raise ReportError(f"{at}: expected names and numbers, got {shown_of(line)}")
        epoch = said.pop("epoch", None)
        epoch = said.pop("step", None) if epoch is None else epoch
        return epoch_of(epoch, at), numbers_of(said, at)


class Printed:
    """Numbers in what a command prints, found by regular expressions."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self.patterns = [re.compile(pattern) for pattern in patterns]
        self.epoch: int | None = None
        self._found: list[Found] = []
        self._error: ReportError | None = None

    def take(self, line: str) -> None:
        """Look into a line; where a number should be and is none is told by `new`."""
        try:
            self._look_into(line)
        except ReportError as error:
            self._error = self._error or error

    def _look_into(self, line: str) -> None:
        # In the order of the text: an epoch is that of the numbers after it, in whichever patterns; the only
        # one of a line is that of the whole line, so it comes first.
        found = sorted((m for p in self.patterns for m in p.finditer(line)), key=_position)
        epochs = [match for match in found if match.groupdict().get("epoch") is not None]
        for match in [*epochs, *(m for m in found if m is not epochs[0])] if len(epochs) == 1 else found:
            said = {name: text for name, text in match.groupdict().items() if text is not None}
            at = f"printed {line.strip()[:80]!r}"
            if (epoch := said.pop("epoch", None)) is not None:
                self.epoch = epoch_of(number_of(epoch, "epoch", at), at)
            numbers = {name: number_of(text, name, at) for name, text in said.items()}
            self._found.append((self.epoch, numbers))

    def new(self, *, is_over: bool) -> Iterator[Found]:
        """What was found since."""
        found, self._found = self._found, []
        yield from found
        if self._error is not None:
            raise self._error


def _position(match: re.Match[str]) -> int:
    """Where a match says its epoch, or else its first number."""
    starts = {name: match.start(name) for name, text in match.groupdict().items() if text is not None}
    return starts.get("epoch", min(starts.values(), default=match.start()))


class EventFiles:
    """TensorBoard's event files in a folder and below it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = {path: EventFile(path, behind=True) for path in self._there()}
        self._epochs: dict[int, int] = {}
        """Epoch by step, where a scalar says so."""

    def new(self, *, is_over: bool) -> Iterator[Found]:
        """Scalars that were added, step by step."""
        steps: dict[int, dict[str, float]] = {}
        for path in self._there():
            try:
                for step, tag, value in self._files.setdefault(path, EventFile(path)).new():
                    steps.setdefault(step, {})[tag] = value
            except ValueError as error:
                raise ReportError(f"{path.name}: {error}") from None
        for step in sorted(steps):
            numbers = steps[step]
            at = f"event files, step {step}"
            if (epoch := numbers.pop("epoch", None)) is not None and math.isfinite(epoch):
                self._epochs[step] = int(epoch)
            yield epoch_of(self._epochs.get(step, step), at), numbers

    def _there(self) -> list[Path]:
        found = self.folder.rglob("*tfevents*") if self.folder.is_dir() else ()
        return sorted(path for path in found if not path.is_dir())


class Tracked:
    """What a command logs into an MLflow database of its own."""

    def __init__(self, database: Path) -> None:
        self.database, self._read_to = database, -1

    def new(self, *, is_over: bool) -> Iterator[Found]:
        """Metrics that were added, by step."""
        if not self.database.is_file():
            return
        steps: dict[int, dict[str, float]] = {}
        try:
            with contextlib.closing(
                sqlite3.connect(f"{self.database.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
            ) as base:
                rows = base.execute(
                    "SELECT rowid, key, value, is_nan, step FROM metrics WHERE rowid > ? ORDER BY rowid",
                    (self._read_to,),
                )
                for row, name, value, is_nan, step in rows:
                    self._read_to = row
                    number = math.nan if is_nan else float(value)
                    if abs(number) >= sys.float_info.max:  # MLflow's infinity
                        number = math.copysign(math.inf, number)
                    steps.setdefault(int(step), {})[name] = number
        except sqlite3.Error as error:  # it is being made, or written to
            if is_over and "no such table" not in str(error):
                raise ReportError(f"MLflow's {self.database.name} cannot be read: {error}") from None
        for step in sorted(steps):
            yield epoch_of(step, f"MLflow, step {step}"), steps[step]


def found(reader: Reader, *, is_over: bool) -> Iterator[Found]:
    """What a reader has found.

    Raises:
        ReportError: it cannot be understood, or read.
    """
    try:
        yield from reader.new(is_over=is_over)
    except OSError as error:
        raise ReportError(f"{error.filename}: cannot be read: {error.strerror}") from None
