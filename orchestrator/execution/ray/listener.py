"""Turns what Tune tells into events, and decides what a lost worker or a full GPU costs a trial."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from orchestrator.errors import ExecutionError, ExecutionLost
from orchestrator.events import Deferred, Event, Finished, OnEvent, Progressed, Started
from orchestrator.execution.child.messages import EVENTS
from orchestrator.execution.ray import nodes as ray_nodes
from orchestrator.execution.ray.cluster import Doing, nobody_waits
from orchestrator.execution.ray.worker import name_of
from orchestrator.language.resources import Bundle
from orchestrator.process.signals import Stop
from trainers.attempt.report import EpochReport, Outcome

SILENT_S = 45.0  # in which Tune takes its next step; without Ray's head it takes none
ROOM_LOOK_S = 30.0  # between two looks at whether what waits fits any node that lives
NO_ROOM_S = 1800.0  # in which a node may come back that all that is left waits for
STARTING = "starting workers, which load torch"
_KEPT_FOR_NOBODY = ("time_since_restore", "iterations_since_restore", "time_this_iter_s", "time_total_s")


class Listener(tune.Callback):
    """Turns what Tune tells into events, in the thread that runs Tune."""

    def __init__(
        self,
        on_event: OnEvent,
        stop: Stop,
        *,
        retries: int,
        doing: Doing = nobody_waits,
        say: Callable[[str], None] = lambda note: None,
    ) -> None:
        self.on_event, self.stop, self.retries, self.doing, self.say = on_event, stop, retries, doing, say
        self.bundles: dict[str, Bundle] = {}
        """What each trial asks of a node."""
        self._looked_at = time.monotonic()
        self._no_room_since: float | None = None
        self._no_room_told = False
        self.gpus: dict[str, float] = {}
        """Share of a GPU that each trial has."""
        self.deferred: set[str] = set()
        """Trials that need a larger share."""
        self.last: dict[str, EpochReport] = {}
        self.error: Exception | None = None
        self.attempts: dict[str, int] = {}
        self.finished: set[str] = set()
        self.running: set[str] = set()
        """Trials that have a worker, as Tune sees it."""
        self._furthest: dict[str, int] = {}
        """The last epoch that each trial was ever heard to have trained."""

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks to restore an experiment, which we never do; a display has locks."""
        return {}

    def setup(self, *_: Any, **__: Any) -> None:
        """Take back the signal on which Tune would end as if all were done: batch systems send it to all."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGUSR1, lambda *_: None)

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Say that Tune goes on."""
        self.doing("" if self.attempts else STARTING, SILENT_S)
        if time.monotonic() - self._looked_at >= ROOM_LOOK_S:
            self._looked_at = time.monotonic()
            self._look_for_room([name_of(trial) for trial in trials if trial.status == Trial.PENDING])

    def _look_for_room(self, waiting: list[str]) -> None:
        """Say what waits for a node that is gone; give up if nothing else is left for long."""
        try:
            ray_nodes.check([self.bundles[identity] for identity in waiting])
        except ExecutionError as error:
            now = time.monotonic()
            if self._no_room_since is None:
                self._no_room_since = now  # said if the next look, too, finds none: nodes come back
                return
            if not self._no_room_told:
                self._no_room_told = True
                self.say(f"{error.reason}; it waits for a node that has it")
            if self.running:
                self._no_room_since = now
            elif now - self._no_room_since >= NO_ROOM_S and self.error is None:
                self.error = ExecutionLost(error.reason, "add such a node, and run the sweep again")
                self.stop.requested = True
        else:
            self._no_room_since, self._no_room_told = None, False

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self.running.add(name_of(trial))

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self.running.discard(name_of(trial))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        # Tune keeps the last result of every trial, and statistics of each number in it, until the end of
        # the experiment: of thousands of trials that is hundreds of megabytes.
        for name in _KEPT_FOR_NOBODY:
            result.pop(name, None)
        for event in EVENTS.read(result.pop("events")):
            if event.trial_id in self.finished:
                continue  # its worker was lost after its end was told, and Tune began it again
            if isinstance(event, Started):
                self.attempts[event.trial_id] = self.attempts.get(event.trial_id, 0) + 1
                event = Started(event.trial_id, self.attempts[event.trial_id], event.worker)
            elif isinstance(event, Finished):
                trial.max_failures = trial.num_failures  # nothing is left to begin again for
                share = self.gpus.get(event.trial_id, 0.0)
                if event.outcome.error == "memory" and 0 < share < 1:
                    self.deferred.add(event.trial_id)
                    more = self.gpus[event.trial_id] = min(1.0, 2 * share)
                    reason = f"out of GPU memory with {share:g} of a GPU; tried again with {more:g}"
                    self._tell(Deferred(event.trial_id, reason))
                    continue
                self.finished.add(event.trial_id)
                self.last.pop(event.trial_id, None)
            elif isinstance(event, Progressed):
                self.last[event.trial_id] = event.report
                if event.report.epoch > self._furthest.get(event.trial_id, 0):
                    self._furthest[event.trial_id] = event.report.epoch
                    # Losing a worker counts only while the trial does not go forward in between: a node
                    # that is taken away now and then costs time, and never the trial.
                    trial.max_failures = trial.num_failures + self.retries
            self._tell(event)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        identity = name_of(trial)
        self.running.discard(identity)
        trial.run_metadata.metric_analysis.clear()
        trial.run_metadata.metric_n_steps.clear()
        if self._is_told(identity) or self.stop.requested or identity not in self.last:
            return
        last = self.last[identity]  # it ended without saying so: the schedule ended it
        self.finished.add(identity)
        reason = "ended by the schedule after epoch " + last.stage.replace("/", " of ")
        self._tell(Finished(identity, Outcome(status="pruned", reason=reason, metrics=last.metrics)))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        identity = name_of(trial)
        self.running.discard(identity)
        if identity not in self.finished:
            self.finished.add(identity)
            tries = self.retries + 1
            times = f"{tries} times without an epoch in between" if tries > 1 else "once"
            reason = f"worker lost {times}: {_cause(trial)}"
            self._tell(Finished(identity, Outcome(status="failed", reason=reason, error="worker")))

    def _tell(self, event: Event) -> None:
        """Pass `event` on; what it raises ends the experiment and is kept, for Tune would wrap it."""
        if self.error is not None:
            return
        try:
            self.on_event(event)
        except Exception as error:
            self.error, self.stop.requested = error, True

    def _is_told(self, identity: str) -> bool:
        return identity in self.finished or identity in self.deferred

    def untold(self, trial_ids: list[str]) -> list[str]:
        """Those of which neither an end nor a delay was told, now that Tune has ended."""
        return [identity for identity in trial_ids if not self._is_told(identity)]

    def give_up(self, trial_ids: list[str]) -> None:
        """Trials that Tune does not run must not vanish."""
        reason = "Ray Tune ended without running it to its end, again and again; run the sweep again"
        for identity in trial_ids:
            self.finished.add(identity)
            self._tell(Finished(identity, Outcome(status="failed", reason=reason, error="worker")))


def _cause(trial: Trial) -> str:
    error = trial.get_error() if hasattr(trial, "get_error") else None
    text = " ".join(str(error or "unknown").split())
    return text[:200]
