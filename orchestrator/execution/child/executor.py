"""Any executor, in a child process: what happens to that process is an event, never the end of the driver.

The driver holds the journal, the screen and the table, and Ray ends the process it lives in whenever it
likes. So Ray lives in a child, whose death costs what any lost worker costs: an epoch. What it was training
goes on from the checkpoints in a new child.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from orchestrator.errors import ExecutionError, ExecutionLost, Interrupted
from orchestrator.events import Event, Finished, OnEvent, Progressed, Started
from orchestrator.execution.child import messages
from orchestrator.execution.child.conversation import LISTEN_S, Conversation, raise_unless_complete
from orchestrator.execution.child.messages import Ended, Go, Settings, Train
from orchestrator.execution.child.process import COMMAND, Child, ChildLost
from orchestrator.execution.child.trials import on_the_wire
from orchestrator.planning.trials import TrialSpec
from orchestrator.process.scratch import keep_logs, scratch_folder
from orchestrator.process.signals import EPOCHS_END, NOTHING_RUNS, Stop, stop_signals
from orchestrator.process.waiting import said_if_slow

LOSSES = 3  # children that may be lost in a row without an epoch in between
STARTS = 2  # and so many that no trial was heard of: what keeps one from starting keeps the next one, too
PAUSE_S = 5.0  # before another try to join a cluster, longer each time: its head may be starting again
GRACE_S = 10.0  # in which a child leaves the cluster that it has joined
KEPT_LOGS = 20


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
        self._scratch: Path | None = None
        self._after = contextlib.ExitStack()
        self._child: Child | None = None
        self._leaving: list[Child] = []
        """Children that have done everything."""
        self._attempts: Counter[str] = Counter()
        """Of each trial, as far as they were told."""
        self._epochs: dict[str, int] = {}
        """The last epoch that each trial was heard to have trained."""

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
        losses, begun = 0, False
        lost: ExecutionError
        with stop_signals() as stop, stop.polled(), stop.answered(NOTHING_RUNS):
            while left:
                heard = _Heard(left, on_event, self._attempts, self._epochs)
                try:
                    self._have_trained(heard, stop)
                    return
                except ChildLost as error:
                    lost = ExecutionLost(str(error))
                except ExecutionError as error:
                    if not (begun or isinstance(error, ExecutionLost)):
                        raise
                    lost = error  # if it is no loss by name: of a cluster that had let this driver in
                begun |= heard.anything
                losses = 1 if heard.went_on else losses + 1
                self._go_on(lost, losses, left, stop, most=LOSSES if begun else STARTS)

    def close(self) -> None:
        """End what is left of the child; it may leave a cluster in good order."""
        if self._child is not None:  # prepared, and not needed: it waits for trials, and has joined nothing
            self._child.end()
            self._child = None
        with said_if_slow("leaving the cluster", self._say):
            while self._leaving:
                child = self._leaving.pop()
                child.end(grace_s=GRACE_S if self.settings.address else 0.0)
        self._after.close()
        self._scratch = None
        if self._log is not None and not _is_written(self._log):
            with contextlib.suppress(OSError):
                self._log.unlink(missing_ok=True)

    def _have_trained(self, heard: _Heard, stop: Stop) -> None:
        """Have the trials that are left trained by one child."""
        child = self._child or self._started(certain=True)
        self._child = None
        talk = Conversation(child, say=self._say)
        told_to_stop = False
        try:
            child.tell(Go(trials=on_the_wire(heard.left.values())))
            while heard.left:
                stop.word = EPOCHS_END if heard.running else NOTHING_RUNS
                if stop.at_once or (stop.requested and not heard.running):
                    raise Interrupted
                if stop.requested and not told_to_stop:
                    told_to_stop = True
                    child.tell(messages.Stop())
                message = talk.next()
                if isinstance(message, Ended):
                    if message.how == "interrupted" and not stop.requested:
                        raise ChildLost("somebody else interrupted it")
                    raise_unless_complete(message)
                    raise ChildLost("it ended before all trials had")
                if isinstance(message, Event):
                    heard.take(message)
        except BaseException:
            child.end()
            raise
        self._leaving.append(child)  # it is ended when the results are shown

    def _started(self, *, certain: bool) -> Child:
        """A new child.

        Raises:
            ExecutionError: there is no room for one.
        """
        try:
            if self._scratch is None:
                self._scratch = self._after.enter_context(scratch_folder())
            job = Train(
                executor=self.executor, settings=self.settings, scratch=self._scratch, certain=certain
            )
            return Child(job, log=self._log, command=self._command)
        except OSError as error:
            raise ExecutionError(
                f"no process for the trials could be started: {error}", "or run with --executor serial"
            ) from None

    def _go_on(
        self, lost: ExecutionError, losses: int, left: dict[str, TrialSpec], stop: Stop, *, most: int
    ) -> None:
        """Say that a child was lost, and wait a little; or give up."""
        if self._log is not None and self._scratch is not None:
            keep_logs(self._scratch, self._log)
        what = f"the process that runs the trials was lost: {lost.reason}"
        log = f"; its log: {self._log}" if self._log is not None and _is_written(self._log) else ""
        if stop.requested:
            raise Interrupted
        if losses >= most:
            why = f"{what}, {losses} times without an epoch in between{log}"
            raise ExecutionLost(why, lost.next_step)
        number = "1 trial goes on" if len(left) == 1 else f"{len(left)} trials go on"
        self._say(f"orch: {what}; {number} in a new one{log}")
        pause_s = PAUSE_S * losses if self.settings.address else 0.0
        until = time.monotonic() + pause_s
        while time.monotonic() < until:
            if stop.requested:
                raise Interrupted
            time.sleep(LISTEN_S / 5)


class _Heard:
    """What was heard of the trials that one child trains."""

    def __init__(
        self,
        left: dict[str, TrialSpec],
        on_event: OnEvent,
        attempts: Counter[str],
        epochs: dict[str, int],
    ) -> None:
        self.left, self._on_event, self._attempts, self._epochs = left, on_event, attempts, epochs
        self.running: set[str] = set()
        self.anything = False
        """Whether any trial was heard of."""
        self.went_on = False
        """Whether any trial came further than it had ever been."""

    def take(self, event: Event) -> None:
        """Pass `event` on, unless it is of a trial that has had its end."""
        if event.trial_id not in self.left:
            return
        self.anything = True
        if isinstance(event, Started):
            self.running.add(event.trial_id)
            self._attempts[event.trial_id] += 1
            # The child counts its own attempts only.
            event = Started(event.trial_id, self._attempts[event.trial_id], event.worker)
        elif isinstance(event, Progressed):
            if event.report.epoch > self._epochs.get(event.trial_id, 0):
                self._epochs[event.trial_id] = event.report.epoch
                self.went_on = True
        else:
            self.running.discard(event.trial_id)
        if isinstance(event, Finished):
            self.went_on = True
            del self.left[event.trial_id]
        self._on_event(event)


def _is_written(log: Path) -> bool:
    try:
        return log.stat().st_size > 0
    except OSError:
        return False


def _new_log(folder: Path, name: str) -> Path:
    """Where a child's libraries write; older ones go."""
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    for old in sorted(folder.glob(f"{name}-*.log"))[:-KEPT_LOGS]:
        with contextlib.suppress(OSError):  # another user's
            old.unlink()
    return folder / f"{name}-{now}-{os.getpid()}.log"
