"""Every process that a sweep starts, also after its driver has died: found, reaped, counted. Linux only."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

BECOME_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER: orphans become this process's children, so none is lost
EVERY_S = 0.25


class Process(NamedTuple):
    """A process, told apart from a later one with the same number by when it was born."""

    pid: int
    born: int
    parent: int
    session: int
    state: str
    name: str

    @property
    def title(self) -> str:
        """What it calls itself."""
        try:
            return Path(f"/proc/{self.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except OSError:
            return ""

    def send(self, number: signal.Signals) -> bool:
        """Send it a signal if it is still there."""
        now = _read(self.pid)
        if now is None or now.born != self.born or now.state == "Z":
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
            return True
        return False


class Family(threading.Thread):
    """All descendants of this process by the command that started them, which a number stands for."""

    def __init__(self, *, patience_s: float) -> None:
        """Count as left behind what outlives its command by `patience_s`, and kill it then."""
        super().__init__(name="family", daemon=True)
        if ctypes.CDLL(None).prctl(BECOME_SUBREAPER, 1, 0, 0, 0):
            raise OSError("this system has no child subreaper; Linux 3.4 or later is needed")
        self.left_behind: Counter[str] = Counter()
        """Names of processes that had to be killed."""
        self.slowest_s = 0.0
        """The longest that a process outlived its command and then ended by itself."""
        self._patience_s = patience_s
        self._commands: dict[int, int] = {}  # number by pid of a command
        self._belongs: dict[tuple[int, int], int] = {}
        self._died: dict[int, float] = {}
        self._last = 0
        self._lock = threading.Lock()

    def launch(self, number: int, command: list[str], **how: Any) -> subprocess.Popen[bytes]:
        """Start a command in a session of its own; the caller waits for it.

        Nobody looks meanwhile: it would be taken for an orphan of the last command, and be killed as such.
        """
        with self._lock:
            process = subprocess.Popen(command, start_new_session=True, **how)
            # The number of an earlier one may be that of another process by now.
            self._commands = {pid: one for pid, one in self._commands.items() if one != number}
            self._commands[process.pid] = self._last = number
        return process

    def died(self, number: int) -> None:
        """A command has ended, and everything of it should."""
        with self._lock:
            self._died[number] = time.monotonic()
            # Its number may soon be that of another process.
            self._commands = {pid: one for pid, one in self._commands.items() if one != number}

    def of(self, number: int) -> list[Process]:
        """What lives of a command, itself included."""
        with self._lock:
            return [one for one in self._look() if self._belongs.get(one[:2]) == number]

    def outlived(self) -> bool:
        """Whether anything of a command that has ended is still there."""
        with self._lock:
            return any(self._belongs[one[:2]] in self._died for one in self._look())

    def run(self) -> None:
        """Look again and again."""
        while True:
            time.sleep(EVERY_S)
            with self._lock:
                self._tend(self._look())

    def _tend(self, living: list[Process]) -> None:
        for one in living:
            number = self._belongs[one[:2]]
            if number not in self._died:
                continue
            age = time.monotonic() - self._died[number]
            if age <= self._patience_s:
                self.slowest_s = max(self.slowest_s, age)
            else:
                called = one.title[:60] or one.name
                if one.send(signal.SIGKILL):
                    self.left_behind[f"{called} of call {number}"] += 1

    def _look(self) -> list[Process]:
        """Everything alive below this process; orphans that have ended are reaped, as init would."""
        found = {int(path.name): path for path in Path("/proc").glob("[0-9]*")}
        there = {pid: one for pid in found if (one := _read(pid)) is not None}
        children: dict[int, list[Process]] = {}
        for one in there.values():
            children.setdefault(one.parent, []).append(one)
        living: list[Process] = []
        ahead: list[tuple[Process, int | None]] = [(one, None) for one in children.get(os.getpid(), [])]
        while ahead:
            one, inherited = ahead.pop()
            if one.pid in self._commands:
                self._belongs[one[:2]] = self._commands[one.pid]
            elif one.parent == os.getpid() and one.session == os.getsid(0):
                continue  # started by this process for itself
            elif one.parent == os.getpid() and one.state == "Z":
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(one.pid, os.WNOHANG)
            # An orphan that was never seen below its parent: of the newest command that has ended.
            newest = max(self._died, default=self._last)
            number = self._belongs.setdefault(one[:2], newest if inherited is None else inherited)
            if one.state != "Z":
                living.append(one)
            ahead.extend((child, number) for child in children.get(one.pid, []))
        return living


def _read(pid: int) -> Process | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    head, _, tail = text.rpartition(")")
    fields = tail.split()
    name = head.partition("(")[2]
    return Process(pid, int(fields[19]), int(fields[1]), int(fields[3]), fields[0], name)
