"""Any executor, in a child process: what happens to that process is an event, never the end of the driver.

The driver holds the journal, the screen and the table, and Ray ends the process it lives in whenever it
likes. So Ray lives in a child, whose death costs what any lost worker costs: an epoch. What it was training
goes on from the checkpoints in a new child.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from orchestrator.adapters.signals import Stop, stop_signals
from orchestrator.errors import ExecutionError, ExecutionLost, Interrupted
from orchestrator.events import Event, Finished, OnEvent, Progressed, Started
from orchestrator.execution import messages
from orchestrator.execution.child import COMMAND, Child, ChildLost
from orchestrator.execution.messages import Answer, Doing, Ended, Go, Job, Said, Settings, Told, Train
from orchestrator.execution.scratch import scratch_folder
from orchestrator.expand import TrialSpec

LISTEN_S = 0.5  # at most so long a signal waits for its answer
WORD_S = 3.0  # after which is said what is waited for
BEGIN_S = 60.0  # in which a child must have said its first word
LOSSES = 3  # children that may be lost in a row without an epoch in between
PAUSE_S = 2.0  # before the next one, longer each time: a cluster's head may be starting again
GRACE_S = 10.0  # in which a child leaves the cluster that it has joined
KEPT_LOGS = 20


class Conversation:
    """What a child says, waited for with a bound and a word."""

    def __init__(self, child: Child, *, say: Callable[[str], None]) -> None:
        """Listen to `child`; `say` is told what it says to a person, and what is waited for."""
        self.child, self._say = child, say
        self._doing = Doing("starting a process", BEGIN_S)
        self._since, self._silent_s, self._is_told = time.monotonic(), 0.0, False

    def next(self) -> Told | None:
        """The next message that is not for a person, or None after a moment.

        Raises:
            ChildLost: the child is dead, or hangs.
        """
        begun = time.monotonic()
        message = self.child.listen(LISTEN_S)
        if message is None:
            # Only waiting counts: a driver that was suspended itself has not waited.
            self._silent_s += min(time.monotonic() - begun, 2 * LISTEN_S)
            if self._silent_s > self._doing.limit_s:
                while_ = f" while {self._doing.what}" if self._doing.what else ""
                raise ChildLost(f"it has not said a word for {self._silent_s:.0f} s{while_}")
        else:
            self._silent_s = 0.0
        if isinstance(message, Doing):
            if message.what != self._doing.what:
                self._since, self._is_told = time.monotonic(), False
            self._doing = message
        elif isinstance(message, Said):
            self._say(message.text)
        elif message is not None:
            return message
        if self._doing.what and not self._is_told and time.monotonic() - self._since > WORD_S:
            self._is_told = True
            self._say(f"{self._doing.what} …")
        return None


class ChildExecutor:
    """Runs trials with an executor of that name in a child process."""

    def __init__(
        self,
        executor: str,
        settings: Settings,
        *,
        logs: Path,
        say: Callable[[str], None] = lambda line: None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        """Train under `settings`.

        Args:
            executor: which one, as in a sweep command.
            settings: what it is made from.
            logs: folder for what the child's libraries write.
            say: is told what a person should know.
            command: what is started; for tests.
        """
        self.executor, self.settings, self._say, self._command = executor, settings, say, command
        self._log = None if settings.verbose else _new_log(logs, executor)
        self._stack = contextlib.ExitStack()
        self._scratch: Path | None = None
        self._child: Child | None = None
        self._leaving: list[Child] = []
        """Children that have done everything and leave a cluster."""
        self._begun: Counter[str] = Counter()  # attempts of each trial that were told

    def prepare(self, *, certain: bool) -> None:
        """Let the child begin to start while there is something else to do.

        Args:
            certain: whether trials are sure to follow, so that Ray may be started.
        """
        if self._child is None:
            self._child = self._started(certain=certain)

    def run(self, trials: Sequence[TrialSpec], on_event: OnEvent) -> None:
        """Run all `trials`, telling `on_event` in this process and thread.

        Raises:
            Interrupted: the user wants to stop.
            ExecutionError: the trials cannot be scheduled.
            ExecutionLost: one child after the other died without an epoch in between.
        """
        left = {trial.id: trial for trial in trials}
        losses, first = 0, True
        with stop_signals() as stop, stop.polled():
            while left:
                heard = _Heard(left, on_event, self._begun)
                try:
                    self._drive(heard, stop)
                    return
                except ChildLost as error:
                    lost = str(error)
                except ExecutionError as error:
                    if first and not isinstance(error, ExecutionLost):
                        raise
                    lost = str(error)
                first = False
                losses = 1 if heard.went_on else losses + 1
                self._go_on(lost, losses, left, stop)

    def close(self) -> None:
        """End what is left of the child; it may leave a cluster in good order."""
        if self._child is not None:  # prepared, and not needed
            self._child.end()
            self._child = None
        while self._leaving:
            self._leaving.pop().end(grace_s=GRACE_S)
        self._stack.close()
        self._scratch = None
        if self._log is not None and self._log.exists() and not self._log.stat().st_size:
            self._log.unlink()

    def _drive(self, heard: _Heard, stop: Stop) -> None:
        """Have the trials that are left trained by one child."""
        child = self._child = self._child or self._started(certain=True)
        talk = Conversation(child, say=self._say)
        told_to_stop = whole = False
        try:
            child.tell(Go(trials=messages.on_the_wire(heard.left.values())))
            while heard.left:
                if stop.at_once or (stop.asked and not heard.running):
                    raise Interrupted
                if stop.asked and not told_to_stop:
                    told_to_stop = True
                    child.tell(messages.Stop())
                message = talk.next()
                if isinstance(message, Ended):
                    _judge(message)
                    raise ChildLost("it ended before all trials had")
                if isinstance(message, Event):
                    heard.take(message)
            whole = True
        finally:
            self._child = None
            if whole and self.settings.address:
                self._leaving.append(child)
            else:
                child.end()

    def _started(self, *, certain: bool) -> Child:
        if self._scratch is None:
            self._scratch = self._stack.enter_context(scratch_folder())
        job = Train(executor=self.executor, settings=self.settings, scratch=self._scratch, certain=certain)
        try:
            return Child(job, log=self._log, command=self._command)
        except OSError as error:
            raise ExecutionError(f"no process for the trials could be started: {error}") from None

    def _go_on(self, lost: str, losses: int, left: dict[str, TrialSpec], stop: Stop) -> None:
        """Say that a child was lost, and wait a little; or give up."""
        what = f"the process that runs the trials was lost: {lost}"
        log = f"; its log: {self._log}" if self._log else ""
        if losses >= LOSSES:
            raise ExecutionLost(f"{what}, {losses} times without an epoch in between{log}")
        if stop.asked:
            raise Interrupted
        number = "1 trial goes on" if len(left) == 1 else f"{len(left)} trials go on"
        self._say(f"orch: {what}; {number} in a new one{log}")
        until = time.monotonic() + PAUSE_S * (losses - 1)
        while time.monotonic() < until:
            if stop.asked:
                raise Interrupted
            time.sleep(LISTEN_S / 5)


class _Heard:
    """What was heard of the trials that one child trains."""

    def __init__(self, left: dict[str, TrialSpec], on_event: OnEvent, begun: Counter[str]) -> None:
        self.left, self._on_event, self._begun = left, on_event, begun
        self.running: set[str] = set()
        self.went_on = False
        """Whether any trial went forward."""

    def take(self, event: Event) -> None:
        """Pass `event` on, unless it is of a trial that has had its end."""
        if event.trial_id not in self.left:
            return
        if isinstance(event, Started):
            self.running.add(event.trial_id)
            self._begun[event.trial_id] += 1
            # The child counts its own attempts only.
            event = Started(event.trial_id, self._begun[event.trial_id], event.worker)
        elif isinstance(event, Progressed):
            self.went_on |= not event.report.replayed and event.report.epoch > 0
        else:
            self.running.discard(event.trial_id)
        if isinstance(event, Finished):
            self.went_on = True
            del self.left[event.trial_id]
        self._on_event(event)


def ask(job: Job, *, say: Callable[[str], None]) -> object:
    """What a child answers to `job`.

    Raises:
        Interrupted: the user does not want to wait.
        ExecutionError: it cannot be done as asked.
        ExecutionLost: the child died.
    """
    number, name = tempfile.mkstemp(prefix="orch-ray-", suffix=".log")
    os.close(number)
    log = Path(name)
    child = Child(job, log=log)
    talk, answer = Conversation(child, say=say), None
    try:
        with stop_signals() as stop, stop.polled():
            while True:
                if stop.asked:
                    raise Interrupted
                message = talk.next()
                if isinstance(message, Answer):
                    answer = message.value
                elif isinstance(message, Ended):
                    _judge(message)
                    return answer
    except (ChildLost, ExecutionLost) as error:
        kept, log = log, Path()
        raise ExecutionLost(f"the process that asks the cluster was lost: {error}; its log: {kept}") from None
    finally:
        child.end()
        if log.name:
            log.unlink(missing_ok=True)


def _judge(ended: Ended) -> None:
    """Raise what the end of a child means."""
    match ended.how:
        case "interrupted":
            raise Interrupted
        case "refused":
            raise ExecutionError(ended.reason)
        case "lost":
            raise ExecutionLost(ended.reason)


def _new_log(folder: Path, name: str) -> Path:
    """Where a child's libraries write; older ones go."""
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    for old in sorted(folder.glob(f"{name}-*.log"))[:-KEPT_LOGS]:
        old.unlink(missing_ok=True)
    return folder / f"{name}-{now}-{os.getpid()}.log"
