"""Reads a file of comma-separated values while it grows, and anew when it is rewritten."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterator
from pathlib import Path

from trainers.attempt.command.numbers import Found, ReportError, as_float, epoch_of, number_of, opened

MOST_BYTES = 100_000_000
"""Of a file that is read."""
_LOOK = 4096
"""Bytes of its beginning, and before what is new, that tell a file that grows from one that is rewritten."""


class Csv:
    """A file with a line of names and a line for each epoch.

    Rows that a former attempt has left count up to the epoch at which new ones begin, and none do where the
    file is written anew.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.columns: list[str] = []
        self._anew()
        self._seen, self._former = (0, 0), list[Found]()
        with contextlib.suppress(OSError, ReportError):
            if path.exists():
                seen = _state(path)
                self._former = list(self._rows(self._added(is_over=False)))
                self._seen = seen

    def new(self, *, is_over: bool) -> Iterator[Found]:
        """Rows that were added, or all of a file that was rewritten."""
        if not self.path.exists():
            return
        seen = _state(self.path)
        if seen == self._seen and not (is_over and self._has_rest):
            return
        if (seen[1] <= self._seen[1] and seen != self._seen) or not self._only_grew():
            self._anew()
            self._former = []
        self._seen = seen
        for epoch, numbers in self._rows(self._added(is_over=is_over)):
            former, self._former = self._former, []
            yield from (one for one in former if epoch is not None and (one[0] is None or one[0] < epoch))
            yield epoch, numbers

    def _anew(self) -> None:
        self._read_to, self._line, self._has_rest = 0, 1, False
        self._begin = self._end = b""
        self.columns = []

    def _only_grew(self) -> bool:
        with opened(self.path) as file:
            begin = file.read(len(self._begin))
            file.seek(self._read_to - len(self._end))
            return begin == self._begin and file.read(len(self._end)) == self._end

    def _added(self, *, is_over: bool) -> str:
        """Whole lines that were added."""
        with opened(self.path) as file:
            file.seek(self._read_to)
            content = file.read(MOST_BYTES)
        whole = content if is_over else content[: content.rfind(b"\n") + 1]
        if whole.count(b'"') % 2 and not is_over:  # it ends within a text
            whole = b""
        self._has_rest = len(whole) < len(content)
        self._read_to += len(whole)
        self._begin = self._begin or whole[:_LOOK]
        self._end = (self._end + whole[-_LOOK:])[-_LOOK:]
        return whole.decode("utf-8-sig", errors="replace")

    def _rows(self, text: str) -> Iterator[Found]:
        rows, first = csv.reader(io.StringIO(text), skipinitialspace=True), self._line
        try:
            for row in rows:
                self._line = first + rows.line_num
                if not self.columns:
                    self.columns = row
                elif row and (found := self._found(row, f"{self.path.name}, line {self._line - 1}")):
                    yield found
        except csv.Error as error:
            raise ReportError(f"{self.path.name}, line {first + rows.line_num - 1}: {error}") from None

    def _found(self, row: list[str], at: str) -> Found | None:
        key = next((one for one in ("epoch", "step") if one in self.columns), None)
        said = dict(zip(self.columns, row, strict=False))
        epoch = said.pop(key, "").strip() if key else ""
        if key and not epoch:
            return None
        numbers = {
            name: value for name, text in said.items() if name and (value := as_float(text)) is not None
        }
        return epoch_of(number_of(epoch, key, at), at) if key else None, numbers


def _state(path: Path) -> tuple[int, int]:
    there = path.stat()
    if there.st_size > MOST_BYTES:
        raise ReportError(f"{path.name}: larger than the {MOST_BYTES // 1_000_000} MB that are read")
    return there.st_mtime_ns, there.st_size
