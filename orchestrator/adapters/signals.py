"""Ctrl-C and SIGTERM as a request that is answered between two steps, not in the middle of one."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any

from orchestrator.errors import Interrupted

STOPPING = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether somebody asked for the end."""

    def __init__(self) -> None:
        self.asked = False
        self.waits = False
        """Whether a second request has to wait."""

    @contextlib.contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """Inside, no signal breaks off what is done, and nobody else can take the signals over.

        For Ray: it crashes the process if it is left while it starts or ends, and has SIGTERM end it at once.
        """

        def refused(signalnum: int, handler: Any) -> Any:
            return signal.getsignal(signalnum)

        there, signal.signal, self.waits = signal.signal, refused, True
        try:
            yield
        finally:
            signal.signal, self.waits = there, False
            with contextlib.suppress(ValueError):  # only the main thread may
                for number in STOPPING:  # Ray's core puts handlers below Python's, which abort
                    signal.signal(number, signal.getsignal(number))


_current: Stop | None = None


@contextlib.contextmanager
def stop_signals() -> Iterator[Stop]:
    """Inside, Ctrl-C and SIGTERM ask for a clean stop; a second Ctrl-C stops at once.

    One inside another shares what was asked, so nothing that was asked between two steps is forgotten.

    Raises:
        Interrupted: on the second Ctrl-C.
    """
    global _current
    if _current is not None:
        try:
            yield _current
        except KeyboardInterrupt:
            raise Interrupted from None
        return
    stop = _current = Stop()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.asked and not stop.waits and number == signal.SIGINT:
            raise KeyboardInterrupt
        first, stop.asked = not stop.asked, True
        if first:
            with contextlib.suppress(OSError):  # the terminal may be gone, and `tee` with it
                # Not print: it may be that which is interrupted.
                os.write(2, b"\norch: stopping after the epochs that run now; Ctrl-C (again) stops at once\n")

    previous = {}
    with contextlib.suppress(ValueError):  # only the main thread may set handlers
        for number in STOPPING:
            previous[number] = signal.signal(number, ask)
    try:
        yield stop
    except KeyboardInterrupt:
        raise Interrupted from None
    finally:
        _current = None
        for number, handler in previous.items():
            signal.signal(number, handler)
