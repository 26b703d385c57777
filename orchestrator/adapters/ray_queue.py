"""What Tune is handed: trials in their order, at a cost that does not grow with how many there are.

Tune's own grid search copies the whole grid for each trial that it makes of it, and its own order looks at
every trial of the sweep whenever a report arrives. Imported after ray_cluster, which says how Ray starts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher


class Given(Searcher):
    """A search that suggests a list of values, one after another, for one parameter."""

    def __init__(self, name: str, values: Sequence[str]) -> None:
        super().__init__()
        self.name, self._values = name, iter(values)

    def suggest(self, trial_id: str) -> Any:
        """The next value."""
        value = next(self._values, None)
        return Searcher.FINISHED if value is None else {self.name: value}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing is learnt from it."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: an experiment is never restored."""


class InOrder(FIFOScheduler):
    """First come, first served."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._waiting: deque[Trial] = deque()

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """A trial waits: a new one, or one that lost its worker."""
        self._waiting.append(trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The trial that has waited longest; none is ever paused."""
        while self._waiting and self._waiting[0].status != Trial.PENDING:
            self._waiting.popleft()
        return self._waiting[0] if self._waiting else None
