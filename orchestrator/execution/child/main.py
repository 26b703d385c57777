"""The child process of a driver: does one job, says what happens, and ends with its driver.

What it may be for is in `messages`.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import BinaryIO

from orchestrator.errors import ExecutionError, ExecutionLost, Interrupted
from orchestrator.events import Event
from orchestrator.execution import executors
from orchestrator.execution.child import messages
from orchestrator.execution.child.messages import (
    Answer,
    Doing,
    Ended,
    FromChild,
    Go,
    Rehearse,
    Said,
    Submit,
    Train,
)
from orchestrator.planning.trials import TrialSpec
from orchestrator.process.session import end_session
from orchestrator.process.signals import WARNING, Stop, stop_from_elsewhere
from orchestrator.process.streams import ignoring_closed_pipes

LOAD_S = 180.0  # in which a library must have been imported, on a machine that is busy with much else
DRIVER_LOOK_S = 1.0  # between two looks at whether the driver lives
AGAIN_S = 1.0  # a child that does the same for long says so again


class Driver:
    """The driver, as its child sees it."""

    def __init__(self, control: BinaryIO, told: int, pid: int, stop: Stop) -> None:
        """Read from `control` and write to `told` of process `pid`; `stop` is set when it says so."""
        self.stop, self._told, self._control, self._pid = stop, told, control, pid
        self._scratch: Path | None = None
        self._trials: queue.SimpleQueue[Go] = queue.SimpleQueue()
        self._doing: tuple[str, float] = ("", 0.0)
        self._lock = threading.Lock()
        threading.Thread(target=self._watch, name="orch-driver", daemon=True).start()
        self.job = messages.FROM_DRIVER.read(control.readline())
        if isinstance(self.job, Train):
            self._scratch = self.job.scratch
        threading.Thread(target=self._hear, name="orch-control", daemon=True).start()

    def send(self, message: FromChild) -> None:
        """Tell the driver."""
        content = memoryview(messages.FROM_CHILD.line(message))
        with self._lock:
            while content:
                content = content[os.write(self._told, content) :]

    def event(self, event: Event) -> None:
        """Tell what happened to a trial."""
        self.send(event)

    def say(self, text: str) -> None:
        """Tell a person."""
        self.send(Said(text))

    def doing(self, what: str, limit_s: float) -> None:
        """Say what is done now; said often it is a sign of life."""
        now = time.monotonic()
        if what != self._doing[0] or now - self._doing[1] > AGAIN_S:
            self._doing = (what, now)
            self.send(Doing(what, limit_s))

    def give_up(self, reason: str) -> None:
        """End this process: what it needs has died."""
        self.send(Ended("lost", reason))
        os._exit(1)

    def trials(self) -> list[TrialSpec]:
        """The trials to train, once they are known."""
        return self._trials.get().trials.specs()

    def _hear(self) -> None:
        """Listen until the driver has closed its pipe."""
        with contextlib.suppress(Exception):
            for line in self._control:
                message = messages.FROM_DRIVER.read(line)
                if isinstance(message, messages.Stop):
                    self.stop.requested = True
                elif isinstance(message, Go):
                    self._trials.put(message)
        self._outlive_nothing()

    def _watch(self) -> None:
        """Look whether the driver lives: a process that was forked off it keeps its pipe open."""
        while os.getppid() == self._pid:
            time.sleep(DRIVER_LOOK_S)
        self._outlive_nothing()

    def _outlive_nothing(self) -> None:
        """The driver is dead: end this process and all it has started."""
        end_session(os.getpid(), but=os.getpid())
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
        os._exit(1)


def train(job: Train, driver: Driver, after: contextlib.ExitStack) -> None:
    """Train the trials that follow."""
    executors.load(job.executor).train(job, driver, after)


def rehearse(job: Rehearse, driver: Driver, after: contextlib.ExitStack) -> None:
    """Rehearse trials on a cluster."""
    driver.doing("loading Ray", LOAD_S)
    from orchestrator.execution.ray import rehearsal as ray_packing

    driver.send(Answer(ray_packing.rehearsed_on_cluster(job, driver, after)))


def submit(job: Submit, driver: Driver, after: contextlib.ExitStack) -> None:
    """Hand a command to a cluster."""
    driver.doing("loading Ray", LOAD_S)
    from orchestrator.execution.ray import submit as ray_jobs

    driver.doing("handing the sweep to the cluster", LOAD_S)
    driver.send(Answer(ray_jobs.submit(job.name, job.files, job.command, address=job.address)))


def main(control: int, told: int, pid: int) -> None:
    """Do the job that the first line on pipe `control` asks for, and tell process `pid` on pipe `told`."""
    for number in (control, told):
        os.set_inheritable(number, False)  # else what it starts would keep them open
    for number in (
        signal.SIGINT,
        signal.SIGHUP,
        *WARNING,
    ):  # the driver decides; what this process starts has its own
        signal.signal(number, lambda *_: None)
    with stop_from_elsewhere() as stop, contextlib.ExitStack() as after:
        driver = Driver(os.fdopen(control, "rb"), told, pid, stop)
        driver.send(_outcome(driver, after))
    with ignoring_closed_pipes():
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)  # Ray's own end may take seconds, or the process with it


def _outcome(driver: Driver, after: contextlib.ExitStack) -> Ended:
    """Do the job; how it ended."""
    try:
        match driver.job:
            case Train():
                train(driver.job, driver, after)
            case Rehearse():
                rehearse(driver.job, driver, after)
            case Submit():
                submit(driver.job, driver, after)
    except Interrupted:
        return Ended("interrupted")
    except ExecutionLost as error:
        return Ended("lost", error.reason, error.next_step)
    except ExecutionError as error:
        return Ended("refused", error.reason, error.next_step)
    except Exception as error:  # of our own making, or Ray's: the driver decides, the log has the details
        with ignoring_closed_pipes():
            traceback.print_exc()
        return Ended("lost", f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
    return Ended("complete")
