"""Errors a user may meet. Each prints as one line per problem: got, expected, next step.

OrchError
├── SpecError        the sweep file is wrong              exit code 2
├── UsageError       the command's words are wrong        exit code 2
├── StoreError       the store cannot be used             exit code 2 before a sweep, 4 in one
│   ├── StoreAway    it does not answer now               the journal waits for it
│   │   └── StoreLocked another process writes to it      a reader asks again for a while
│   └── StoreRefused it will never take this              the journal sets it aside
└── ExecutionError   trials cannot be scheduled           exit code 2
    └── ExecutionLost what runs them has died             exit code 4
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What no text shows as a sign of its own: C0, C1, line breaks, what turns the direction of reading, halves
of characters."""


def _as_python_has_it(sign: str) -> str:
    return sign.encode("unicode_escape").decode()


def printable(text: str, *, keep: str = "", written: Callable[[str], str] = _as_python_has_it) -> str:
    r"""`text` with whatever would steer a terminal, or break a line, written out: ESC as \x1b."""
    return _STEERING.sub(lambda m: m[0] if m[0] in keep else written(m[0]), text)


class OrchError(Exception):
    """Base of everything that is reported without a traceback."""


class UsageError(OrchError):
    """The command asks for something that does not exist or cannot be combined."""


class StoreError(OrchError):
    """The store cannot be reached, read or written."""


class StoreAway(StoreError):
    """The store does not answer, or answers that it cannot now: the same may succeed later."""


class StoreLocked(StoreAway):
    """The store is a file that another process writes to just now."""


class StoreRefused(StoreError):
    """The store answers and will not take what it was given, now or later."""


class ExecutionError(OrchError):
    """The executor cannot run the trials as asked, such as more CPUs than there are."""

    def __init__(self, reason: str = "", next_step: str = "") -> None:
        """Say why, and apart from it what a person may do, for whoever goes on by itself."""
        super().__init__("; ".join(filter(None, (reason, next_step))))
        self.reason, self.next_step = reason, next_step


class ExecutionLost(ExecutionError):
    """What runs the trials has died while they were trained; the same command goes on."""


class Problem(NamedTuple):
    """One thing wrong in a sweep file."""

    place: str
    """file:line"""
    path: str
    """Dotted path in the file or the config, such as "method.momentum"; may be empty."""
    message: str

    def __str__(self) -> str:
        """One line: place, path, message."""
        return printable(": ".join(part for part in (self.place, self.path, self.message) if part))


class SpecError(OrchError):
    """A sweep file is wrong; holds every problem found, not only the first."""

    SHOWN = 20

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Collect `problems`, equal ones once."""
        self.problems = list(dict.fromkeys(problems))
        lines = [str(problem) for problem in self.problems[: self.SHOWN]]
        if len(self.problems) > self.SHOWN:
            lines.append(f"... and {len(self.problems) - self.SHOWN} more problems")
        super().__init__("\n".join(lines))


class Interrupted(Exception):  # not an error: the user asked for it
    """The user stopped the sweep; trials that had not finished keep their checkpoints.

    Its text says what that leaves, where it is not that.
    """


class FirstCellsFailed(Exception):  # not an error of the sweep's driver
    """The first cells failed in their own code: the others would, too."""


@contextlib.contextmanager
def reworded(told: Callable[[str], str]) -> Iterator[None]:
    """Errors inside say what is `told` instead: who raises one does not know what was typed."""
    try:
        yield
    except OrchError as error:
        error.args = (told(str(error)),)
        raise
