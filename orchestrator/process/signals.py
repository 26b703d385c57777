"""Ctrl-C, SIGTERM and a closed terminal as requests that are answered between two steps."""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

from orchestrator.errors import Interrupted
from orchestrator.process.command import is_command
from orchestrator.process.exit_codes import INTERRUPTED

WARNING = (signal.SIGUSR1, signal.SIGUSR2)
"""What batch systems send some time before they end a job: a request to stop, and never to stop at once."""
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, *WARNING)
SAME_S = 0.3  # signals so close together are one request: `timeout` and some shells send each one twice
NOTHING_RUNS = "stopping; Ctrl-C (again) stops at once"
AT_ONCE_S = 5.0  # a second signal must have ended what is waited for; twice that, and the process ends
EPOCHS_END = "stopping after the epochs that run now; Ctrl-C (again) stops at once"


class Stop:
    """Whether somebody asked for the end."""

    def __init__(self) -> None:
        self.requested = False
        """Whether what runs should come to a good end."""
        self.at_once = False
        """Whether nothing is waited for any more."""
        self.word = NOTHING_RUNS
        """What a first signal is answered with."""
        self.answers = True
        """Whether that is written at once; what draws on the terminal shows it itself."""
        self._polled = False
        self._requested_at = 0.0

    @contextlib.contextmanager
    def answered(self, word: str) -> Iterator[None]:
        """Inside, a first signal is answered with `word`."""
        before, self.word = self.word, word
        try:
            yield
        finally:
            self.word = before

    @contextlib.contextmanager
    def polled(self) -> Iterator[None]:
        """Inside, the second request only sets `at_once`, at which the caller looks again and again."""
        before, self._polled = self._polled, True
        try:
            yield
        finally:
            self._polled = before

    def take(self, number: int) -> None:
        """A signal arrived.

        Raises:
            KeyboardInterrupt: it is to break off whatever is done.
        """
        now, again = time.monotonic(), self.requested
        second = again and number not in WARNING and now - self._requested_at > SAME_S
        if number == signal.SIGHUP or second:
            patient = self._polled and not self.at_once
            self.requested = self.at_once = True
            if not patient:
                raise KeyboardInterrupt
        elif not again:
            self.requested, self._requested_at = True, now
            if not self.answers:
                return
            # Not print: it may be that which is interrupted. Nor a write that waits: nobody may read it.
            with contextlib.suppress(OSError, ValueError):  # the terminal may be gone, and `tee` with it
                if select.select([], [2], [], 0)[1]:
                    os.write(2, f"\norch: {self.word}\n".encode())


class _Current(threading.local):
    """What was asked of the run in each thread: only the main thread's hears signals."""

    stop: Stop | None = None


_current = _Current()


def heard() -> Stop:
    """What was asked of the run in this thread; of none where nothing runs."""
    return _current.stop or Stop()


@contextlib.contextmanager
def breaking_off(left: str) -> Iterator[None]:
    """Who breaks off what runs inside is told what that has `left`.

    Raises:
        Interrupted: so it was.
    """
    try:
        yield
    except (KeyboardInterrupt, Interrupted):
        raise Interrupted(left) from None


@contextlib.contextmanager
def stop_signals() -> Iterator[Stop]:
    """Inside, a signal asks for a clean stop, and a second one, or a closed terminal, for one at once.

    One inside another shares what was asked, so nothing that was asked between two steps is forgotten. What
    still waits a while after the second signal, for a disk or a reader of its output, is broken off; what
    then still waits ends with the process, if that is a command: its journal has what was learnt.

    Raises:
        Interrupted: on the second signal.
    """
    if _current.stop is not None:
        try:
            yield _current.stop
        except KeyboardInterrupt:
            raise Interrupted from None
        return
    stop = _current.stop = Stop()

    previous: dict[signal.Signals, Any] = {}
    late = 0

    def ask(number: int, frame: FrameType | None) -> None:
        try:
            stop.take(number)
        finally:
            if stop.at_once and signal.SIGALRM not in previous:
                previous[signal.SIGALRM] = signal.signal(signal.SIGALRM, end)
                signal.setitimer(signal.ITIMER_REAL, AT_ONCE_S, AT_ONCE_S)

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal late
        late += 1
        if late > 1 and is_command():
            os._exit(INTERRUPTED)
        raise KeyboardInterrupt

    with contextlib.suppress(ValueError):  # only the main thread may set handlers
        for number in STOPPING:
            if is_ours(number):
                previous[number] = signal.signal(number, ask)
    try:
        yield stop
    except KeyboardInterrupt:
        raise Interrupted from None
    finally:
        _current.stop = None
        if signal.SIGALRM in previous:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in previous.items():
            signal.signal(number, handler)


def is_ours(number: signal.Signals) -> bool:
    """Whether a signal asks this process to stop: not one that whoever started it ignores, as nohup does.

    A program that uses this one may mean something else by `WARNING`.
    """
    if number in WARNING:
        return is_command() and signal.getsignal(number) != signal.SIG_IGN
    return number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN


def ignore_signals() -> None:
    """From here on no signal changes how this process ends, for its exit code is known; unless it hangs."""
    known_at = time.monotonic()

    def take(number: int, frame: FrameType | None) -> None:
        if time.monotonic() - known_at > 2 * AT_ONCE_S:
            os._exit(INTERRUPTED)

    _answer_all_with(take)
    atexit.unregister(_answer_all_with)
    atexit.register(_answer_all_with, signal.SIG_IGN)  # Python forgets its own handlers before its end


def _answer_all_with(handler: Any) -> None:
    with contextlib.suppress(ValueError):  # only the main thread may set handlers
        for number in STOPPING:
            signal.signal(number, handler)


@contextlib.contextmanager
def stop_from_elsewhere() -> Iterator[Stop]:
    """Inside, nobody but the caller says that this process should stop; signals are left alone."""
    stop = _current.stop = Stop()
    try:
        yield stop
    finally:
        _current.stop = None
