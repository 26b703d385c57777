"""Which trials are done, as far as this home knows: for a sweep that starts while its tracker is away.

While the tracker answers, it says what is true: an index of records could not tell what was deleted or tagged
anew there, for MLflow tells nobody what has changed. Only the names of runs are taken from here, which it is
then asked for.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Iterable
from pathlib import Path

from pydantic import ValidationError

from orchestrator.records import TrialRecord


class FinishedTrials:
    """A file of records of done trials, one per line; what cannot be read counts as not known."""

    def __init__(self, folder: Path, *, store: str, writes: bool = True) -> None:
        """The file in `folder` for the store of that name; where it is only read, `add` does nothing."""
        self._writes = writes
        name = hashlib.sha256(store.encode()).hexdigest()[:12]
        self.path = folder / f"known-{name}.jsonl"
        self._records: dict[str, TrialRecord] | None = None

    def add(self, records: Iterable[TrialRecord]) -> None:
        """Keep these records if they are of done trials that are not known yet."""
        if not self._writes:
            return
        there = self._read()
        new = [one for one in records if one.is_done and there.get(one.trial_id) != one]
        if not new:
            return
        with contextlib.suppress(OSError):  # a help for later, which must not stop anything now
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                # A line begins on its own also where the last one was torn.
                file.write(b"".join(b"\n" + one.model_dump_json().encode() for one in new) + b"\n")
            there.update((one.trial_id, one) for one in new)

    def discard(self, trial_ids: Collection[str]) -> None:
        """Know these trials no more."""
        there = self._read()
        if not there.keys().isdisjoint(trial_ids):
            self._records = {}
            self.path.unlink(missing_ok=True)
            self.add(record for trial_id, record in there.items() if trial_id not in trial_ids)

    def records(self, trial_ids: Collection[str]) -> dict[str, TrialRecord]:
        """What is known of these trials."""
        there = self._read()
        return {trial_id: there[trial_id] for trial_id in trial_ids if trial_id in there}

    @property
    def runs(self) -> dict[str, str]:
        """Names of runs by trial: a server gives those that are named together, and others one by one."""
        return {one: record.run for one, record in self._read().items() if record.run is not None}

    def _read(self) -> dict[str, TrialRecord]:
        if self._records is None:
            self._records = {}
            lines = self.path.read_bytes().splitlines() if self.path.exists() else []
            for line in lines:
                with contextlib.suppress(ValidationError):
                    record = TrialRecord.model_validate_json(line)
                    self._records[record.trial_id] = record
        return self._records
