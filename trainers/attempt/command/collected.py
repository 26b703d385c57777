"""Makes reports of the numbers that a command tells one by one, and repeats those of former attempts."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from trainers.attempt.command.numbers import ReportError, name_fault
from trainers.attempt.command.spec import Metric
from trainers.attempt.folders import StorageError
from trainers.attempt.report import EpochReport, Report

SETTLED_S = (
    1.0  # without news of an epoch, after which it is reported: its numbers may be told in several lines
)
MOST_BYTES = 8 * 2**20
"""Of the arrays of an epoch, which travel to the driver."""


class DivergedError(Exception):
    """A number that is none; what and where, in words."""


class Collector:
    """What one attempt has told."""

    def __init__(
        self,
        report: Report,
        *,
        epochs: int | None,
        declared: Mapping[str, Metric],
        settles: bool,
        arrays: Path,
        past: Mapping[int, dict[str, float]],
        history: Path,
    ) -> None:
        """Report to `report`.

        Args:
            report: is told each epoch when its numbers are together.
            epochs: of the whole trial; None: nobody knows.
            declared: metrics that count; empty: all do.
            settles: whether an epoch of which nothing new comes is over; else it is when the next one begins.
            arrays: folder with files of arrays, which end in their epoch's number.
            past: numbers by epoch that former attempts have told.
            history: file that keeps what this one tells, for later ones.
        """
        self.report, self.epochs, self.declared, self.settles = report, epochs, declared, settles
        self.arrays, self.history, self._past = arrays, history, dict(past)
        self._former = {path: _when(path) for paths in _epochs_in(arrays).values() for path in paths}
        self.by_epoch: dict[int, dict[str, float]] = {}
        self.at_end: dict[str, float] = {}
        self.warnings: list[str] = []
        self._told: set[int] = set()
        self._open: int | None = None
        self._touched = 0.0

    def add(self, epoch: int | None, numbers: Mapping[str, float]) -> None:
        """Take in numbers of an epoch, or of the end.

        Raises:
            DivergedError: one that counts is not finite.
            ReportError: one is out of the range of its unit.
            StorageError: the disk is full.
        """
        refused = {name: why for name in numbers if (why := name_fault(name))}
        for name, why in refused.items():
            self._warn(f"{name[:60]!a} is left out, for it is no name of a metric: {why}")
        numbers = {name: value for name, value in numbers.items() if name not in refused}
        for name, value in numbers.items():
            if math.isfinite(value):
                continue
            if not self.declared or name in self.declared:
                raise DivergedError(f"{name} {value}" + (f" at epoch {epoch}" if epoch is not None else ""))
            self._warn(f"'{name}' was {value} at times, which is left out")
        for name in sorted(numbers.keys() & self.declared.keys()):
            if why := self.declared[name].fault(numbers[name]):
                raise ReportError(f"metric {name} {why}")
        finite = {name: value for name, value in numbers.items() if math.isfinite(value)}
        own = self.at_end if epoch is None else self.by_epoch.setdefault(epoch, {})
        if own.items() >= finite.items() and (epoch is None or epoch in self._told or epoch == self._open):
            return
        own |= finite
        if epoch is None:
            return
        for name in finite:  # what was told before the first epoch is not what stands at the end
            self.at_end.pop(name, None)
        try:
            with self.history.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"epoch": epoch, **finite}) + "\n")
        except OSError as error:
            why = f"{self.history}: cannot be written: {error.strerror}; free some space there, or mend it"
            raise StorageError(why) from None
        if self._open not in (None, epoch):
            self._tell()
        self._open, self._touched = epoch, time.monotonic()

    def settle(self) -> None:
        """Report an epoch of which nothing new has come for a moment."""
        if self.settles and self._open is not None and time.monotonic() - self._touched > SETTLED_S:
            self._tell()

    def finish(self) -> None:
        """Report what is left."""
        self._tell()
        written = {epoch for epoch, paths in _epochs_in(self.arrays).items() if any(map(self._is_new, paths))}
        for epoch in sorted(written - self._told):
            self.by_epoch.setdefault(epoch, {})
            self._open = epoch
            self._tell()
        if not self._told and self._past:  # it found itself at its end
            self._go_on(max(self._past) + 1)

    @property
    def final(self) -> dict[str, float]:
        """The numbers at the end: those of the last epoch, and those of none."""
        return self.by_epoch.get(self.last, {}) | self.at_end

    @property
    def last(self) -> int:
        """The last epoch that has numbers, not arrays alone; -1: none has."""
        return max((epoch for epoch, numbers in self.by_epoch.items() if numbers), default=-1)

    def last_of(self, name: str) -> int | None:
        """The last epoch that has a metric; None: none has."""
        return max((epoch for epoch, numbers in self.by_epoch.items() if name in numbers), default=None)

    def _tell(self) -> None:
        epoch, self._open = self._open, None
        if epoch is None:
            return
        if not self._told:
            self._go_on(epoch)
        self.report(self._report_of(epoch))

    def _go_on(self, epoch: int) -> None:
        """Repeat what former attempts have reported before this epoch; a trial that begins anew has none."""
        past, self._past = self._past, {}
        for before in sorted(past):
            if before < epoch:
                self.by_epoch[before] = past[before] | self.by_epoch.get(before, {})
                self.report(self._report_of(before, replayed=True))

    def _report_of(self, epoch: int, *, replayed: bool = False) -> EpochReport:
        self._told.add(epoch)
        return EpochReport(
            epoch=epoch,
            epochs=self.epochs or 0,
            metrics=self.by_epoch[epoch],
            arrays=self._arrays_of(epoch, replayed=replayed),
            replayed=replayed,
        )

    def _warn(self, line: str) -> None:
        if line not in self.warnings:
            self.warnings.append(line)

    def _is_new(self, path: Path) -> bool:
        """Whether it was written in this attempt."""
        return self._former.get(path) != _when(path)

    def _arrays_of(self, epoch: int, *, replayed: bool) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        for path in _epochs_in(self.arrays).get(epoch, ()):
            if not replayed and not self._is_new(path):
                continue
            try:
                with np.load(path, allow_pickle=False) as file:
                    own = {name: file[name] for name in file.files}
            except Exception as error:  # whatever NumPy and zipfile make of a file that is none
                self.warnings.append(f"arrays/{path.name} is left out: {' '.join(str(error).split())[:100]}")
                continue
            wrong = [name for name, array in own.items() if array.dtype.kind not in "fiub"]
            if wrong or sum(array.nbytes for array in (*found.values(), *own.values())) > MOST_BYTES:
                why = (
                    f"'{wrong[0]}' has no real numbers"
                    if wrong
                    else f"more than {MOST_BYTES // 2**20} MiB of an epoch"
                )
                self.warnings.append(f"arrays/{path.name} is left out: {why}")
                continue
            found |= own
        return found


def _epochs_in(folder: Path) -> dict[int, list[Path]]:
    """The files of arrays of each epoch."""
    found: dict[int, list[Path]] = {}
    for path in sorted(folder.glob("*.npz")) if folder.is_dir() else ():
        if path.is_file() and (match := re.search(r"(\d{1,9})\.npz$", path.name)):
            found.setdefault(int(match[1]), []).append(path)
    return found


def _when(path: Path) -> tuple[int, int]:
    there = path.stat()
    return there.st_mtime_ns, there.st_size


def listed(names: Iterable[str]) -> str:
    """Names for a person, not more than one reads."""
    known = sorted(" ".join(name.split()) for name in names)
    return ", ".join(known[:8]) + (f" and {len(known) - 8} more" if len(known) > 8 else "") or "nothing"
