"""Whether a trial that was begun before goes on from a checkpoint, or starts anew for it finds none."""

from __future__ import annotations

from orchestrator.events import Event, Progressed, Started
from orchestrator.planning.plan import Plan
from trainers.attempt.folders import Folder


class ResumeNotes:
    """Listens to what is told of trials, and says of each where it goes on.

    Where nodes share no folder a trial may have trained for hours and find nothing where it runs next: its
    numbers are the same, but its user should know.
    """

    def __init__(self, plan: Plan, folder: Folder) -> None:
        """Trials of `plan`, with their checkpoints in `folder`."""
        self.folder = folder
        self._begun = {trial.id for trial in plan.interrupted}
        self._workers: dict[str, str] = {}
        self._repeated: dict[str, int] = {}  # last epoch that came from a checkpoint, until training goes on

    def note(self, event: Event) -> str | None:
        """What `event` tells of where its trial goes on."""
        identity = event.trial_id
        if isinstance(event, Started):
            self._workers[identity] = event.worker
            if event.attempt > 1:
                self._begun.add(identity)
        if not isinstance(event, Progressed):
            return None
        if event.report.replayed:
            self._repeated[identity] = event.report.epoch
            return None
        begun = identity in self._begun
        self._begun.discard(identity)
        where = f"{self.folder / identity}"
        if (epoch := self._repeated.pop(identity, None)) is not None:
            return f"goes on from its checkpoint after epoch {epoch}, in {where}"
        if begun and event.report.epoch == 0:
            return (
                f"starts anew on {self._workers.get(identity, 'its worker')}: no checkpoint there in {where}"
            )
        return None
