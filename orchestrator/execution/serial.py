"""Runs trials one after another in this process: the twin of Ray, for debugging and tests."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

from orchestrator.errors import Interrupted
from orchestrator.events import Finished, OnEvent, Progressed, Started
from orchestrator.language.resources import SweepResources
from orchestrator.planning.expand import TrialSpec
from orchestrator.process.signals import stop_signals
from trainers.attempt.folders import Folder
from trainers.attempt.isolation import run_trial
from trainers.attempt.report import EpochReport
from trainers.config.base import Runtime


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
        with stop_signals() as stop:
            for trial in trials:
                on_event(Started(trial.id, 1, f"{platform.node()}:{os.getpid()}"))

                def report(message: EpochReport, trial_id: str = trial.id) -> None:
                    try:
                        on_event(Progressed(trial_id, message))
                        if stop.asked:
                            raise Interrupted
                    except Exception as error:
                        raise _ListenerError(error) from error

                needs = self.resources.of(dict(trial.cell.choice), gpus=self.gpus)
                try:
                    outcome = run_trial(
                        trial.config,
                        runtime=needs.runtime(self.runtime),
                        folder=self.folder / trial.id if self.folder else None,
                        report=report,
                    )
                except _ListenerError as raised:
                    raise raised.error from None
                on_event(Finished(trial.id, outcome))
                if stop.asked:
                    raise Interrupted
