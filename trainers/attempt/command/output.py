"""What a command prints: kept up to a bound, its end in memory, its lines for who reads numbers in them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path

KEPT_BYTES = 10_000_000
"""Of the output, in a trial's folder."""
TAIL_BYTES, TAIL_LINES, LINE = 16_384, 40, 500
LONGEST_LINE = 10_000
"""Bytes of a line in which numbers are looked for; what is longer is no text."""
_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Output:
    """Takes in what a command prints, piece by piece."""

    def __init__(self, log: Path | None, on_line: Callable[[str], None] | None) -> None:
        """Keep it in the file `log`, and tell `on_line` each line."""
        self.on_line = on_line
        self.bytes = 0
        self._left, self._tail, self._line = KEPT_BYTES, b"", b""
        self._file = None
        if log is not None:
            with contextlib.suppress(OSError):  # an output that cannot be kept stops no training
                self._file = log.open("ab")

    def take(self, piece: bytes) -> None:
        """The next piece."""
        self.bytes += len(piece)
        self._tail = (self._tail + piece)[-TAIL_BYTES:]
        if self._file is not None and self._left > 0:
            with contextlib.suppress(OSError):
                self._file.write(piece[: self._left])
                self._file.flush()
        self._left -= len(piece)
        if self.on_line is not None:
            *lines, self._line = re.split(rb"[\r\n]", self._line + piece)
            for line in lines:
                self._tell(line)
            self._line = self._line[: LONGEST_LINE + 1]

    def close(self) -> None:
        """Nothing follows."""
        if self._line:
            self._tell(self._line)
            self._line = b""
        if self._file is not None:
            with contextlib.suppress(OSError):
                if self._left < 0:
                    self._file.write(
                        f"\n... {-self._left} more bytes, which end with\n".encode() + self._tail
                    )
                self._file.close()
            self._file = None

    @property
    def tail(self) -> list[str]:
        """Its last lines, as a person may see them: nothing in them steers a terminal."""
        text = _COLOURS.sub("", self._tail.decode("utf-8", "backslashreplace"))
        lines = (line.rpartition("\r")[2] or line for line in text.replace("\r\n", "\n").split("\n"))
        shown = (
            _STEERING.sub(lambda m: m[0].encode("unicode_escape").decode(), line)[:LINE] for line in lines
        )
        return [line for line in shown if line.strip()][-TAIL_LINES:]

    def _tell(self, line: bytes) -> None:
        if self.on_line is not None and 0 < len(line) <= LONGEST_LINE:
            self.on_line(_COLOURS.sub("", line.decode("utf-8", "replace")))
