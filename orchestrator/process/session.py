"""Everything that one process has started: found by its session, and ended at once."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator

import psutil

END_S = 5.0  # a killed process may be in the middle of writing to a disk
ENDED_LOOK_S = 0.02


def end_session(leader: int, *, but: int | None = None) -> None:
    """Kill every process of the session that `leader` has begun, at once, until none is left.

    Ray's processes stay in the session of whoever starts Ray, also when that process is dead; by themselves
    the agents among them would notice its death only after a minute.

    Args:
        leader: who began the session: this process, or a child that was not waited for yet, so that nobody
            else has its number.
        but: a process that is spared.
    """
    deadline = time.monotonic() + END_S
    while left := [pid for pid in _members(leader) if pid != but]:
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return
        time.sleep(ENDED_LOOK_S)


def _members(leader: int) -> Iterator[int]:
    """Those that still live."""
    for pid in psutil.pids():
        try:
            if os.getsid(pid) == leader and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                yield pid
        except (OSError, psutil.Error):
            continue  # it has ended, or is no business of this user
