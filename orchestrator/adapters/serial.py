"""Runs trials one after another in this process: the twin of ray_tune, for debugging and tests."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

from orchestrator.expand import TrialSpec
from orchestrator.ports import Finished, Interrupted, OnEvent, Progressed, Started
from trainers.config import Runtime
from trainers.isolation import run_trial


class SerialExecutor:
    """One trial at a time, in this process; needs neither Ray nor a second process."""

    def __init__(self, *, runtime: Runtime, folder: Path | None) -> None:
        """Train under `runtime`, with each trial's checkpoints in a folder of its id below `folder`."""
        self.runtime, self.folder = runtime, folder

    def run(self, trials: Sequence[TrialSpec], on_event: OnEvent) -> None:
        """Run all `trials` in order."""
        for trial in trials:
            on_event(Started(trial.id, 1, f"{platform.node()}:{os.getpid()}"))
            try:
                outcome = run_trial(
                    trial.config,
                    runtime=self.runtime,
                    folder=self.folder / trial.id if self.folder else None,
                    report=lambda report, i=trial.id: on_event(Progressed(i, report)),  # type: ignore[misc]
                )
            except KeyboardInterrupt:
                raise Interrupted from None
            on_event(Finished(trial.id, outcome))
