"""A word about what is waited for, if it takes more than a moment."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from orchestrator.errors import StoreLocked

WORD_S = 3.0  # nobody waits longer without knowing for what
LOCKED_S = 60.0  # another process writes to a store's file no longer, unless it hangs
Answer = TypeVar("Answer")


@contextlib.contextmanager
def said_if_slow(what: str, say: Callable[[str], None]) -> Iterator[None]:
    """Inside, `what` is said once it has taken a while."""
    timer = threading.Timer(WORD_S, say, [f"{what} …"])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def unlocked(ask: Callable[[], Answer], doing: str, say: Callable[[str], None]) -> Answer:
    """The answer, asked for again for a while where another process writes to the store's file."""
    until = time.monotonic() + LOCKED_S
    with said_if_slow(doing, say):
        while True:
            try:
                return ask()
            except StoreLocked:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
