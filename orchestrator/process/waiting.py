"""A word about what is waited for, if it takes more than a moment."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

WORD_S = 3.0  # nobody waits longer without knowing for what


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
