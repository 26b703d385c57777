"""Runs trials one after another in this process: the twin of Ray, for debugging and tests."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from orchestrator.errors import Interrupted, UsageError
from orchestrator.events import Finished, OnEvent, Progressed, Started
from orchestrator.execution.child.messages import Train
from orchestrator.execution.options import Options
from orchestrator.language.resources import SweepResources
from orchestrator.language.sweep_spec import SweepSpec
from orchestrator.planning.trials import TrialSpec
from orchestrator.process.machine import has_gpu
from orchestrator.process.signals import EPOCHS_END, stop_signals
from orchestrator.process.waiting import said_if_slow
from orchestrator.recording.workspace import Workspace
from orchestrator.rehearsal.forecast import needs_of
from trainers.attempt.folders import Folder
from trainers.attempt.isolation import run_trial
from trainers.attempt.report import EpochReport
from trainers.config.base import Runtime

if TYPE_CHECKING:
    from orchestrator.execution.child.main import Driver

A_DAY_S = 86_400.0  # one epoch in this very process may take long, and nothing can be said meanwhile


class _ListenerError(BaseException):
    """Carries an error of the listener, such as a store that is away, past the trial: it is not its own."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class SerialExecutor:
    """One trial at a time, in this process; needs neither Ray nor a second process."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        folder: Folder | None,
        resources: SweepResources | None = None,
        gpus: float = 0.0,
    ) -> None:
        """Train under `runtime`, with each trial's checkpoints in a folder of its id below `folder`.

        Device and threads come from `resources`; `gpus` is what there is where they leave it open.
        """
        self.runtime, self.folder = runtime, folder
        self.resources, self.gpus = resources or SweepResources(), gpus

    def prepare(self, *, certain: bool) -> None:
        """There is nothing to prepare."""

    def close(self) -> None:
        """There is nothing to end."""

    def run(self, trials: Sequence[TrialSpec], on_event: OnEvent) -> None:
        """Run all `trials` in order."""
        needs = needs_of(trials, self.resources, gpus=self.gpus)
        with stop_signals() as stop, stop.answered(EPOCHS_END):
            for trial in trials:
                on_event(Started(trial.id, 1, f"{platform.node()}:{os.getpid()}"))

                def report(message: EpochReport, trial_id: str = trial.id) -> None:
                    try:
                        on_event(Progressed(trial_id, message))
                        if stop.requested:
                            raise Interrupted
                    except Exception as error:
                        raise _ListenerError(error) from error

                try:
                    outcome = run_trial(
                        trial.config,
                        runtime=needs[trial.id].runtime(self.runtime),
                        folder=self.folder / trial.id if self.folder else None,
                        report=report,
                    )
                except _ListenerError as raised:
                    raise raised.error from None
                on_event(Finished(trial.id, outcome))
                if stop.requested:
                    raise Interrupted


def make(
    spec: SweepSpec, space: Workspace, options: Options, *, say: Callable[[str], None]
) -> SerialExecutor:
    """The executor of a driver.

    Raises:
        UsageError: what is asked for needs trials side by side.
    """
    if options.pack:
        raise UsageError("--pack lets trials run side by side, which needs --executor ray")
    if spec.schedule is not None:
        raise UsageError(f"sweep '{spec.name}' has a schedule, which needs --executor ray")
    with said_if_slow("looking for a GPU", say):
        gpus = float(has_gpu())
    return SerialExecutor(
        runtime=Runtime(data_root=space.data_root, download=options.download, keep=options.keep),
        folder=space.checkpoints,
        resources=spec.resources,
        gpus=gpus,
    )


def address_in(text: str | None) -> None:
    """No cluster is asked for, whatever was typed."""


def check(spec: SweepSpec, options: Options, *, say: Callable[[str], None]) -> None:
    """Nothing but this process is needed."""


def train(job: Train, driver: Driver, after: contextlib.ExitStack) -> None:
    """What a child does that has it, which only tests ask for: the laws hold there, too."""
    own = job.settings
    serial = SerialExecutor(
        runtime=own.runtime, folder=own.checkpoints, resources=own.resources, gpus=own.gpus
    )
    driver.doing("", A_DAY_S)
    serial.run(driver.trials(), driver.event)
