"""What is trained goes on although nobody reads what is said of it any more."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import sys
from collections.abc import Iterator

LOST = (errno.EPIPE, errno.EIO)
"""A pipe that nobody reads any more; a terminal that was closed."""


@contextlib.contextmanager
def ignoring_closed_pipes() -> Iterator[None]:
    """Inside, it is no error that a reader of stdout or stderr has gone; its stream then goes nowhere."""
    try:
        yield
    except OSError as error:
        if error.errno not in LOST:
            raise
        forget_lost_readers()


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
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, number)
                os.close(nowhere)
