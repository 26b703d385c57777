"""Reads what a command reports, and what it writes by itself, while it grows."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from trainers.attempt.command.event_files import EventFile

Found = tuple[int | None, dict[str, float]]
LONGEST_LINE = 1_000_000
MOST_BYTES = 100_000_000
"""Of a file that is read whole."""


class ReportError(Exception):
    """What was reported is no report; one line: file, place, what was expected."""


class Reader(Protocol):
    """Reads one thing that a command writes."""

    def new(self, *, is_over: bool) -> Iterator[Found]:
        """What was added, or all anew; `is_over`: nothing follows.

        Raises:
            ReportError: it cannot be understood.
        """


class JsonLines:
    """The report itself: a line of JSON for each {"epoch": 3, "loss": 0.1}."""

    def __init__(self, path: Path) -> None:
        self.path, self.read_to, self.line = path, 0, 0

    def new(self, *, is_over: bool) -> Iterator[Found]:
        """Whole lines that were added; a last one without its end counts if it is whole."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self.read_to)
            while line := file.readline(LONGEST_LINE):
                if not line.endswith(b"\n"):
                    if len(line) == LONGEST_LINE:
                        raise ReportError(f"report, line {self.line + 1}: longer than {LONGEST_LINE} bytes")
                    with contextlib.suppress(ReportError):
                        if is_over:
                            yield self._understood(line)
                    return
                self.read_to += len(line)
                self.line += 1
                if line.strip():
                    yield self._understood(line)

    def _understood(self, line: bytes) -> Found:
        at = f"report, line {self.line}"
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):
            raise ReportError(
                f'{at}: no JSON: {_shown(line)}; expected such as {{"epoch": 3, "loss": 0.1}}'
            ) from None
        if not isinstance(said, dict):
            raise ReportError(f"{at}: expected names and numbers, got {_shown(line)}")
        epoch = said.pop("epoch", None)
        epoch = said.pop("step", None) if epoch is None else epoch
        return _epoch(epoch, at), _numbers(said, at)


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
        for pattern in self.patterns:
            for match in pattern.finditer(line):
                said = {name: text for name, text in match.groupdict().items() if text is not None}
                at = f"printed {line.strip()[:80]!r}"
                if (epoch := said.pop("epoch", None)) is not None:
                    self.epoch = _epoch(_number(epoch, "epoch", at), at)
                self._found.append(
                    (self.epoch, {name: _number(text, name, at) for name, text in said.items()})
                )

    def new(self, *, is_over: bool) -> Iterator[Found]:
        """What was found since."""
        found, self._found = self._found, []
        yield from found
        if self._error is not None:
            raise self._error


class Csv:
    """A file of comma-separated values, read anew when it has changed: some loggers rewrite theirs."""

    def __init__(self, path: Path) -> None:
        self.path, self._seen = path, (0, 0)

    def new(self, *, is_over: bool) -> Iterator[Found]:
        """Every row, again and again."""
        if not self.path.exists() or self._seen == (seen := _state(self.path)):
            return
        self._seen = seen
        text = self.path.read_text(encoding="utf-8", errors="replace")
        whole = text if is_over else text[: text.rfind("\n") + 1]
        rows = csv.DictReader(io.StringIO(whole), skipinitialspace=True)
        key = next((one for one in ("epoch", "step") if one in (rows.fieldnames or ())), None)
        try:
            for row in rows:
                at = f"{self.path.name}, line {rows.line_num}"
                epoch = row.pop(key, None) if key else None
                numbers = {
                    n: v for n, t in row.items() if n and isinstance(t, str) and (v := _float(t)) is not None
                }
                if key and not (epoch or "").strip():
                    continue
                yield _epoch(_number(epoch, key, at) if key and epoch else None, at), numbers
        except csv.Error as error:
            raise ReportError(f"{self.path.name}, line {rows.line_num}: {error}") from None


class EventFiles:
    """TensorBoard's event files in a folder and below it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[Path, EventFile] = {}
        self._epochs: dict[int, int] = {}
        """Epoch by step, where a scalar says so."""

    def new(self, *, is_over: bool) -> Iterator[Found]:
        """Scalars that were added, step by step."""
        steps: dict[int, dict[str, float]] = {}
        for path in sorted(self.folder.rglob("*tfevents*")) if self.folder.is_dir() else ():
            try:
                for step, tag, value in self._files.setdefault(path, EventFile(path)).new():
                    steps.setdefault(step, {})[tag] = value
            except ValueError as error:
                raise ReportError(f"{path.name}: {error}") from None
        for step in sorted(steps):
            numbers = steps[step]
            if (epoch := numbers.pop("epoch", None)) is not None and math.isfinite(epoch):
                self._epochs[step] = int(epoch)
            yield self._epochs.get(step, step), numbers


class Tracked:
    """What a command logs into an MLflow database of its own."""

    def __init__(self, database: Path) -> None:
        self.database, self._read_to = database, -1

    def new(self, *, is_over: bool) -> Iterator[Found]:
        """Metrics that were added, by step."""
        if not self.database.exists():
            return
        steps: dict[int, dict[str, float]] = {}
        try:
            with contextlib.closing(
                sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=5)
            ) as base:
                rows = base.execute(
                    "SELECT rowid, key, value, is_nan, step FROM metrics WHERE rowid > ? ORDER BY rowid",
                    (self._read_to,),
                )
                for row, name, value, is_nan, step in rows:
                    self._read_to = row
                    steps.setdefault(int(step), {})[name] = math.nan if is_nan else float(value)
        except sqlite3.Error as error:  # it is being made, or written to
            if is_over and "no such table" not in str(error):
                raise ReportError(f"MLflow's {self.database.name} cannot be read: {error}") from None
        yield from sorted(steps.items())


def _state(path: Path) -> tuple[int, int]:
    there = path.stat()
    if there.st_size > MOST_BYTES:
        raise ReportError(f"{path.name}: larger than the {MOST_BYTES // 1_000_000} MB that are read")
    return there.st_mtime_ns, there.st_size


def _epoch(value: Any, at: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value) or value < 0:
        raise ReportError(f"{at}: epoch {value!r} is no whole number from 0")
    return int(value)


def _numbers(said: Mapping[str, Any], at: str) -> dict[str, float]:
    """Its numbers; null: not defined."""
    found: dict[str, float] = {}
    for name, value in said.items():
        if value is None:
            continue
        if not isinstance(value, int | float):
            raise ReportError(f"{at}: '{name}' is no number: {_shown(repr(value).encode())}")
        found[name] = _whole(value)
    return found


def _whole(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _number(text: str, name: str, at: str) -> float:
    found = _float(text)
    if found is None:
        raise ReportError(f"{at}: '{name}' is no number: {text[:40]!r}")
    return found


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _shown(content: bytes) -> str:
    return ascii(content[:60].decode("utf-8", "replace").strip())
