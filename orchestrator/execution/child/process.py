"""A child process that may die without harm: started, spoken to in lines, and ended with all it started."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from orchestrator.execution.child.messages import (
    FROM_CHILD,
    FROM_DRIVER,
    FromChild,
    FromDriver,
    GarbledError,
    Job,
)
from orchestrator.process.command import leave_removed_folder
from orchestrator.process.secrets import passed_on
from orchestrator.process.session import end_session
from orchestrator.process.streams import open_closed_streams
from trainers.attempt.command.process import signal_name

COMMAND = (sys.executable, "-P", "-m", "orchestrator.execution.child")
FLOW = 65536  # bytes in one read
REAP_S = 5.0  # in which a killed process must be gone; one that waits for a disk is left to itself


class ChildLost(Exception):
    """The child has died, or says what is no message; in words for a person."""


class Child:
    """A process in a session of its own, which a signal to this one's group does not reach.

    When this process dies, however it does, the child reads the end of its pipe, or sees that it has another
    parent, and ends with everything it has started.
    """

    def __init__(
        self,
        job: Job,
        *,
        log: Path | None,
        command: Sequence[str] = COMMAND,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start it for `job`.

        Args:
            job: what it is for.
            log: file for whatever is written to its standard output and standard error; None: this process's
                standard error.
            command: what is started; for tests.
            environment: settings beside this process's own.

        Raises:
            OSError: it cannot be started.
        """
        leave_removed_folder()
        open_closed_streams()
        with contextlib.ExitStack() as always, contextlib.ExitStack() as undo:
            read, self._control = os.pipe()
            always.callback(os.close, read)
            undo.callback(os.close, self._control)
            self._told, write = os.pipe()
            always.callback(os.close, write)
            undo.callback(os.close, self._told)
            os.set_blocking(self._control, False)
            self._process = subprocess.Popen(
                [*command, str(read), str(write), str(os.getpid())],
                pass_fds=(read, write),
                stdin=subprocess.DEVNULL,
                stdout=_output(log, always),
                stderr=subprocess.STDOUT,
                env=passed_on() | dict(environment or {}),
                start_new_session=True,
            )
            undo.pop_all()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._told, selectors.EVENT_READ)
        self._unsent, self._received = bytearray(), bytearray()
        self._is_open = True
        self.tell(job)

    @property
    def pid(self) -> int:
        """Its number, and its session's."""
        return self._process.pid

    def tell(self, message: FromDriver) -> None:
        """Say something; it is sent on while this process listens, for a child that hangs reads nothing."""
        self._unsent += FROM_DRIVER.line(message)
        self._send()

    def listen(self, wait_s: float) -> FromChild | None:
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
                    return FROM_CHILD.read(line)
                except GarbledError as error:
                    raise ChildLost(f"it wrote what is no message ({error})") from None
            left = deadline - time.monotonic()
            if left < 0:
                return None
            for key, _ in self._selector.select(left):
                if key.fd == self._control:
                    self._send()
                else:
                    content = os.read(self._told, FLOW)
                    if not content:
                        raise ChildLost(self._how_it_ended())
                    self._received += content

    def end(self, *, grace_s: float = 0.0) -> None:
        """End it and everything it has started; `grace_s` is for what it may still have to do."""
        if not self._is_open:
            return
        self._is_open = False
        deadline = time.monotonic() + grace_s
        while not self._has_exited() and time.monotonic() < deadline:
            time.sleep(0.02)
        if self._process.returncode is None:  # else its number may be another's
            end_session(self.pid)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(REAP_S)
        self._selector.close()
        os.close(self._control)
        os.close(self._told)

    def _send(self) -> None:
        try:
            del self._unsent[: os.write(self._control, self._unsent)]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._unsent.clear()  # it is dead, which the next `listen` tells
        watched = self._control in self._selector.get_map()
        if self._unsent and not watched:
            self._selector.register(self._control, selectors.EVENT_WRITE)
        elif watched and not self._unsent:
            self._selector.unregister(self._control)

    def _has_exited(self) -> bool:
        # Not poll(): it would give the number, which is also the session's, back to the system.
        try:
            return psutil.Process(self.pid).status() == psutil.STATUS_ZOMBIE
        except psutil.Error:
            return True

    def _how_it_ended(self) -> str:
        """How it ended, in words; it is over, and so is whatever it had started."""
        deadline = time.monotonic() + 1.0
        while not self._has_exited() and time.monotonic() < deadline:
            time.sleep(0.01)
        if not self._has_exited():
            return "it closed its pipe"
        end_session(self.pid)
        code = self._process.wait()
        return f"it ended with exit code {code}" if code >= 0 else f"it was ended by {signal_name(-code)}"


def _output(log: Path | None, after: contextlib.ExitStack) -> int:
    if log is None:
        return 2
    log.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    after.callback(os.close, file)
    return file
