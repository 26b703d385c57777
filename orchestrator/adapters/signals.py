"""Ctrl-C and SIGTERM as a request that is answered between two steps, not in the middle of one."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from orchestrator.ports import Interrupted


class Stop:
    """Whether somebody asked for the end."""

    def __init__(self) -> None:
        self.asked = False


@contextlib.contextmanager
def stop_signals() -> Iterator[Stop]:
    """Inside, Ctrl-C and SIGTERM ask for a clean stop; a second Ctrl-C stops at once."""
    stop = Stop()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True

    previous = {}
    with contextlib.suppress(ValueError):  # only the main thread may set handlers
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, ask)
    try:
        yield stop
    except KeyboardInterrupt:
        raise Interrupted from None
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
