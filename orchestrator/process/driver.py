"""A driver, as others see it: the process of a command that trains."""

from __future__ import annotations

import functools
import os
import platform
from pathlib import Path
from typing import NamedTuple


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
