"""A driver, as others see it: the process of a command that trains, and the locks by which it is seen."""

from __future__ import annotations

import fcntl
import functools
import os
import platform
import weakref
from pathlib import Path
from typing import IO, Any, NamedTuple

_locked: weakref.WeakSet[IO[Any]] = weakref.WeakSet()


class Owner(NamedTuple):
    """A driver, as others see it."""

    host: str
    pid: int
    command: str
    machine: str = ""
    """Where `pid` means something: this start of this machine, and the container's processes."""

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host} ({self.command})"

    @property
    def is_here(self) -> bool:
        """Whether it runs, or ran, where this process does; host names alone are shared by containers."""
        return bool(self.machine) and self.machine == this_machine()

    @property
    def is_gone(self) -> bool:
        """Whether it was a process of this machine that is no more; of one elsewhere nothing is known."""
        if not self.is_here:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):
            return False
        return False


@functools.cache
def this_machine() -> str:
    """A name of this start of this machine and of this container's processes; empty where none is known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return ""


def this_driver(command: str) -> Owner:
    """This process, as others see it."""
    return Owner(platform.node(), os.getpid(), command, this_machine())


def lock(file: IO[Any], operation: int = fcntl.LOCK_EX) -> None:
    """Lock `file` until it is closed or this process ends, be there forks of this process or not.

    A lock is freed when the last process that has the file open has closed it, and a process that is
    forked off (os.fork, multiprocessing) has it open, too.

    Raises:
        OSError: it is locked, and `operation` says not to wait.
    """
    _locked.add(file)  # first: a fork may happen while it is waited for
    fcntl.flock(file, operation)


def _let_go_of_locks() -> None:
    """In a fork: have no file open that its parent has locked."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for file in _locked:
        if not file.closed:
            # Not closed: their owners here may yet close them, and the number would be another file's.
            os.dup2(nowhere, file.fileno(), inheritable=False)
    os.close(nowhere)


os.register_at_fork(after_in_child=_let_go_of_locks)
