"""The edge at which words leave this process: for any encoding, any terminal, read or not.

What is trained goes on although nobody reads what is said of it any more.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import shutil
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

from orchestrator.errors import printable
from orchestrator.process.secrets import without_secret

LOST = (errno.EPIPE, errno.EIO)
"""A pipe that nobody reads any more; a terminal that was closed."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The disk below a file takes no more; it may later."""


def open_closed_streams() -> None:
    """Let stdin, stdout and stderr be open, if only to nowhere: else what is opened next takes their places.

    A library writes its errors to number 2 whatever that is, and a child's own would take a pipe's place.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
            if getattr(sys, name) is None:
                setattr(sys, name, os.fdopen(number, "w" if number else "r", errors="replace", closefd=False))


@contextlib.contextmanager
def ignoring_closed_pipes(*, ignoring_full_disks: bool = True) -> Iterator[None]:
    """Inside, it is no error that a reader of stdout or stderr has gone; its stream then goes nowhere.

    Nor is it, unless it is to be, that a disk is full; the stream stays, for there may be room again.
    """
    try:
        yield
    except OSError as error:
        if error.errno in LOST:
            forget_lost_readers()
        elif error.errno not in FULL or not ignoring_full_disks:
            raise


def to_stderr(line: str) -> None:
    """Say a line on standard error, as long as somebody reads it."""
    with ignoring_closed_pipes():
        print(line, file=sys.stderr, flush=True)


def not_written(error: OSError) -> str:
    """What to say of results that a full disk did not take, in a line."""
    where = printable(without_secret(str(error.filename or "standard output")))
    return f"{where}: {error.strerror}; make room, and ask for the results again"


def forget_lost_readers() -> None:
    """From here on a stream whose reader has gone goes nowhere."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None:  # closed before Python began
            continue
        with contextlib.suppress(OSError, io.UnsupportedOperation):  # a test's stream has no number
            number = stream.fileno()
            poll = select.poll()
            poll.register(number, select.POLLOUT)
            if any(state & (select.POLLERR | select.POLLHUP) for _, state in poll.poll(0)):
                _lead_nowhere(number)


def forget_what_cannot_be_written() -> None:
    """Let Python's own end, which writes what streams still hold, change no exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            _lead_nowhere(stream.fileno())


def _lead_nowhere(number: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


class _Outlet:
    """A stream as what is written to it sees it."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")  # as wide as what it replaces, so that columns line up

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":  # or typer writes past this where it takes the encoding for a mistake
            raise AttributeError(name)
        return getattr(self.stream, name)


class _Plain(_Outlet):
    """Shows every character that would steer a terminal, but for the ends of lines."""

    def write(self, text: str) -> int:
        kept = "\n\t\r" if text.startswith("\r") else "\n\t"  # a bar of progress is drawn over itself
        return self.stream.write(printable(text, keep=kept))


class _Lasting(_Outlet):
    """Takes what nobody reads any more."""

    def write(self, text: str) -> int:
        with ignoring_closed_pipes(ignoring_full_disks=False):
            return self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        with ignoring_closed_pipes(ignoring_full_disks=False):
            self.stream.flush()


def room() -> int | None:
    """Characters of a line of the terminal that shows standard output; None where none does."""
    with contextlib.suppress(AttributeError, ValueError):  # closed before Python began, or since
        return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    return None


def terminal(stream: TextIO) -> TextIO:
    """The stream behind `stream`, for what steers a terminal on purpose."""
    return stream.stream if isinstance(stream, _Outlet) else stream


@contextlib.contextmanager
def plain_words() -> Iterator[None]:
    """Inside, stdout and stderr show control characters, and question marks for what they cannot encode."""
    with _through(_Plain):
        yield


@contextlib.contextmanager
def help_for_nobody() -> Iterator[None]:
    """Inside, stdout and stderr take any character, and it is no error that their reader has gone."""
    with _through(_Lasting):
        yield


@contextlib.contextmanager
def _through(outlet: type[_Outlet]) -> Iterator[None]:
    before = sys.stdout, sys.stderr
    # None where it was closed before Python began.
    sys.stdout, sys.stderr = (s if s is None else cast(TextIO, outlet(terminal(s))) for s in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
