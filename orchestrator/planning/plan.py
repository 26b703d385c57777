"""What remains to be done: the trials a sweep asks for against the records a store has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from orchestrator.planning.expand import Expansion, TrialSpec
from orchestrator.records import TrialRecord


class Plan(NamedTuple):
    """A sweep's trials, each in exactly one group."""

    expansion: Expansion
    todo: tuple[TrialSpec, ...]
    """To be trained: new, interrupted, or failed before."""
    done: tuple[TrialSpec, ...]
    """In the store: completed, collapsed or diverged."""
    records: Mapping[str, TrialRecord]

    @property
    def failed_before(self) -> tuple[TrialSpec, ...]:
        """Those in `todo` that failed last time."""
        return tuple(t for t in self.todo if self._status(t) == "failed")

    @property
    def interrupted(self) -> tuple[TrialSpec, ...]:
        """Those in `todo` that were begun and not finished."""
        return tuple(t for t in self.todo if self._status(t) in ("running", "stopped"))

    def status(self, trial_id: str) -> str:
        """Status of one trial: its record's, or "missing"."""
        record = self.records.get(trial_id)
        return record.status if record else "missing"

    def _status(self, trial: TrialSpec) -> str:
        return self.status(trial.id)


def make_plan(expansion: Expansion, records: Mapping[str, TrialRecord]) -> Plan:
    """The plan that completes `expansion`, given the records of its trials."""
    done = tuple(t for t in expansion.trials if t.id in records and records[t.id].is_done)
    finished = {t.id for t in done}
    todo = tuple(t for t in expansion.trials if t.id not in finished)
    return Plan(expansion, todo, done, records)
