"""A child process that may die without harm: started, spoken to in lines, and ended with all it started."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from orchestrator.execution.messages import Asked, GarbledError, Job, Told, asked_line, told
from orchestrator.execution.session import end_session

COMMAND = (sys.executable, "-P", "-m", "orchestrator.execution.child_process")
FLOW = 65536  # bytes in one read


class ChildLost(Exception):
    """The child has died, or says what is no message; in words for a person."""


class Child:
    """A process in a session of its own, which a signal to this one's group does not reach.

    Its two pipes are its only tie: when this process dies, however it does, the child reads the end of its
    pipe and ends with everything it has started.
    """

    def __init__(self, job: Job, *, log: Path | None, command: Sequence[str] = COMMAND) -> None:
        """Start it for `job`.

        Args:
            job: what it is for.
            log: file for whatever is written to its standard output and standard error; None: this process's.
            command: what is started; for tests.
        """
        self.log = log
        read, self._control = os.pipe()
        self._told, write = os.pipe()
        with contextlib.ExitStack() as stack:
            stack.callback(os.close, read)
            stack.callback(os.close, write)
            output = None
            if log is not None:
                log.parent.mkdir(parents=True, exist_ok=True)
                output = stack.enter_context(log.open("ab"))
            self._process = subprocess.Popen(
                [*command, str(read), str(write)],
                pass_fds=(read, write),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        os.set_blocking(self._control, False)
        self._unsent, self._received = bytearray(), bytearray()
        self._is_open = True
        self.tell(job)

    @property
    def pid(self) -> int:
        """Its number, and its session's."""
        return self._process.pid

    def tell(self, message: Asked) -> None:
        """Say something; it is sent on while this process listens, for a child that hangs reads nothing."""
        self._unsent += asked_line(message)
        self._send()

    def listen(self, wait_s: float) -> Told | None:
        """The next message, or None if there is none within `wait_s`.

        Raises:
            ChildLost: there will be none.
        """
        deadline = time.monotonic() + wait_s
        while True:
            end = self._received.find(b"\n")
            if end >= 0:
                line = bytes(self._received[:end])
                del self._received[: end + 1]
                try:
                    return told(line)
                except GarbledError as error:
                    raise ChildLost(f"it wrote what is no message ({error})") from None
            left = deadline - time.monotonic()
            if left < 0:
                return None
            readable, writable, _ = select.select(
                [self._told], [self._control] if self._unsent else [], [], left
            )
            if writable:
                self._send()
            if readable:
                content = os.read(self._told, FLOW)
                if not content:
                    raise ChildLost(self._fate())
                self._received += content

    def end(self, *, grace_s: float = 0.0) -> None:
        """End it and everything it has started; `grace_s` is for what it may still have to do."""
        if not self._is_open:
            return
        self._is_open = False
        deadline = time.monotonic() + grace_s
        while not self._has_exited() and time.monotonic() < deadline:
            time.sleep(0.02)
        end_session(self.pid)
        self._process.wait()
        os.close(self._control)
        os.close(self._told)

    def _send(self) -> None:
        try:
            del self._unsent[: os.write(self._control, self._unsent)]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._unsent.clear()  # it is dead, which the next `listen` tells

    def _has_exited(self) -> bool:
        # Not poll(): it would give the number, which is also the session's, back to the system.
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _fate(self) -> str:
        """How it ended, in words."""
        deadline = time.monotonic() + 1.0
        while not self._has_exited() and time.monotonic() < deadline:
            time.sleep(0.01)
        found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is None:
            return "it closed its pipe"
        if found.si_code == os.CLD_EXITED:
            return f"it ended with exit code {found.si_status}"
        return f"it was ended by {signal.Signals(found.si_status).name}"
