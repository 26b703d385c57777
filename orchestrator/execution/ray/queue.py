"""What Tune is handed: trials in their order, at a cost that does not grow with how many there are.

Tune's own grid search copies the whole grid for each trial that it makes of it, and its own order looks at
every trial of the sweep whenever a report arrives.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule
from ray.tune.search import Searcher

from orchestrator.language.sweep_spec import ScheduleSpec
from orchestrator.process.signals import Stop


class FixedListSearcher(Searcher):
    """A search that suggests a list of values, one after another, for one parameter."""

    def __init__(self, name: str, values: Sequence[str], stop: Stop) -> None:
        super().__init__()
        self.name, self._values, self._stop = name, iter(values), stop

    def suggest(self, trial_id: str) -> Any:
        """The next value."""
        value = None if self._stop.requested else next(self._values, None)
        return Searcher.FINISHED if value is None else {self.name: value}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing is learnt from it."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: an experiment is never restored."""


class _Stoppable(FIFOScheduler):
    """Begins no trial any more once it was asked to stop; those that run may end their epoch.

    Tune's own way would stop them all at once, and kill what has not ended after ten seconds.
    """

    stop: Stop

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The next trial."""
        if not self.stop.requested:
            return self._next(tune_controller)
        for trial in tune_controller.get_trials():
            if trial.status in (Trial.PENDING, Trial.PAUSED):
                tune_controller.stop_trial(trial)
        return None

    def _next(self, tune_controller: Any) -> Trial | None:
        chosen: Trial | None = super().choose_trial_to_run(tune_controller)
        return chosen


class _FifoScheduler(_Stoppable):
    """First come, first served."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._waiting: deque[Trial] = deque()

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """A trial waits: a new one, or one that lost its worker."""
        self._waiting.append(trial)

    def _next(self, tune_controller: Any) -> Trial | None:
        """The trial that has waited longest; none is ever paused."""
        while self._waiting and self._waiting[0].status != Trial.PENDING:
            self._waiting.popleft()
        return self._waiting[0] if self._waiting else None


class _Median(_Stoppable, MedianStoppingRule):
    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        if "epoch" in result:  # else it failed before its first epoch, and has nothing to compare
            super().on_trial_complete(tune_controller, trial, result)


class _Halving(_Stoppable, AsyncHyperBandScheduler):
    pass


def scheduler(spec: ScheduleSpec | None, stop: Stop, *, epochs: int) -> FIFOScheduler:
    """Tune's scheduler for that schedule; it counts in epochs, of which the longest trial has so many."""
    chosen: _Stoppable
    if spec is None:
        chosen = _FifoScheduler()
    else:
        watched: dict[str, Any] = {"time_attr": "epoch", "metric": spec.metric, "mode": spec.mode}
        if spec.name == "median":
            chosen = _Median(grace_period=spec.grace_epochs, **watched)
        else:
            chosen = _Halving(
                max_t=max(epochs, spec.grace_epochs),
                grace_period=spec.grace_epochs,
                reduction_factor=spec.reduction,
                stop_last_trials=False,
                **watched,
            )
    chosen.stop = stop
    return chosen
