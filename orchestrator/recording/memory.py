"""A store in this process's memory: the twin of MLflow, for tests and what waits in a journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from orchestrator.recording.store_port import is_replaced
from orchestrator.recording.trial_files import left_encoder, trial_files
from orchestrator.records import FINAL, Curves, SweepInfo, TrialFacts, TrialRecord, curves_of, record_of
from trainers.attempt.folders import Folder
from trainers.attempt.report import EpochReport, Outcome


class MemoryStore:
    """Keeps everything until the process ends."""

    def __init__(self, name: str = "memory") -> None:
        """An empty store, which calls itself `name`."""
        self._name = name
        self._records: dict[str, TrialRecord] = {}
        self._reports: dict[str, dict[int, EpochReport]] = {}
        self._attempts: dict[str, list[str]] = {}
        self._telling: dict[str, str] = {}  # the attempt that was begun last through this object
        self.sweeps: dict[str, set[str]] = {}
        """Trial ids by sweep."""
        self.attached: dict[str, dict[str, bytes]] = {}
        """Files by trial id."""
        self._encoders: dict[str, tuple[Folder, str]] = {}  # where they lie, and their digests
        self.summaries: dict[str, dict[str, bytes]] = {}
        """Files by sweep."""
        self._content: dict[tuple[str, str | None], str] = {}
        self._labels: dict[str, str] = {}
        self._facts: dict[str, TrialFacts] = {}
        self._ended: dict[str, tuple[Outcome, SweepInfo]] = {}
        self._set_aside = Counter[str]()  # how often, by trial id
        self.replaced: dict[str, set[str]] = {}
        """Of what waits in journals: runs of their store that trials are trained anew for, by trial id."""

    def describe(self) -> str:
        """Where it keeps things."""
        return self._name

    def records(self, trial_ids: Collection[str]) -> dict[str, TrialRecord]:
        """What is known of these trials."""
        return {i: self._records[i] for i in trial_ids if i in self._records}

    def curves(self, trial_ids: Collection[str]) -> dict[str, Curves]:
        """Curves and spectra of these trials."""
        return {i: curves_of(list(self._reports[i].values())) for i in trial_ids if self._reports.get(i)}

    def files(
        self, trial_ids: Collection[str], names: Collection[str] | None = None
    ) -> dict[str, dict[str, bytes]]:
        """Files beside these trials."""
        found = {}
        for trial_id in trial_ids:
            if trial_id in self._ended:
                curves = curves_of(list(self._reports[trial_id].values()))
                made = trial_files(self._facts[trial_id], *self._ended[trial_id], curves)
                made |= self.attached.get(trial_id, {})
                found[trial_id] = {n: made[n] for n in made if names is None or n in names}
        return found

    def encoder(self, trial_id: str) -> bytes | None:
        """A trial's encoder, read from where it was left."""
        return left_encoder(*self._encoders[trial_id]) if trial_id in self._encoders else None

    def begin(
        self,
        trial: TrialFacts,
        sweep: SweepInfo,
        *,
        worker: str | None = None,
        attempt: str | None = None,
        instead_of: str | None = None,
    ) -> None:
        """A trial starts, or starts again."""
        there, known = self._records.get(trial.trial_id), self._attempts.get(trial.trial_id, [])
        if there is not None and is_replaced(there.run, known, instead_of, attempt):
            self.set_aside([trial.trial_id])
        self._labels[trial.trial_id], self._facts[trial.trial_id] = trial.label, trial
        self.sweeps.setdefault(sweep.name, set()).add(trial.trial_id)
        self._reports.setdefault(trial.trial_id, {})
        attempts = self._attempts.setdefault(trial.trial_id, [])
        if self._is_done(trial.trial_id):
            return
        name = attempt or ""
        if attempt is None or attempt not in attempts:
            attempts.append(name)
        self._telling[trial.trial_id] = name
        before = self._records.get(trial.trial_id)
        if before is not None and name and name < max(attempts):  # told late: a later attempt has begun
            self._records[trial.trial_id] = before.model_copy(update={"attempts": len(attempts)})
            return
        self._records[trial.trial_id] = TrialRecord(
            expected=sweep.expected if before is None else before.expected,
            perhaps_begun_before=before is not None and before.perhaps_begun_before,
            trial_id=trial.trial_id,
            status="running",
            run=trial.trial_id
            if (old := self._set_aside[trial.trial_id]) == 0
            else f"{trial.trial_id}.{old}",
            attempts=len(attempts),
            worker=worker,
        )

    def report(self, trial_id: str, report: EpochReport) -> None:
        """A trial finished an epoch."""
        if trial_id in self._reports and not self._is_done(trial_id):
            self._reports[trial_id][report.epoch] = report

    def finish(self, trial_id: str, outcome: Outcome, sweep: SweepInfo) -> None:
        """A trial ended."""
        begun = self._records.get(trial_id)
        if begun is None or begun.is_done:
            return
        name = self._telling[trial_id]
        if outcome.status not in FINAL and name and name < max(self._attempts[trial_id]):
            return
        self._ended[trial_id] = outcome, sweep
        record = record_of(trial_id, outcome, sweep.provenance)
        kept = {
            "expected": begun.expected,
            "perhaps_begun_before": begun.perhaps_begun_before or record.perhaps_begun_before,
            "run": begun.run,
            "attempts": begun.attempts,
            "worker": begun.worker,
        }
        self._records[trial_id] = TrialRecord.model_validate(dict(record) | kept)

    def adopt(self, labels: Mapping[str, str], sweep: SweepInfo) -> None:
        """Note that `sweep` asks for these trials too."""
        self._labels |= labels
        self.sweeps.setdefault(sweep.name, set()).update(labels)

    def attach(self, trial_id: str, files: Mapping[str, bytes]) -> None:
        """Keep files beside a trial."""
        self.attached.setdefault(trial_id, {}).update(files)

    def keep_encoder(self, trial_id: str, folder: Folder, sha256: str) -> None:
        """Remember where a trial has left its encoder, unless it has another result's; it stays there."""
        record = self._records.get(trial_id)
        if record is not None and record.encoder not in (None, sha256):
            return
        self._encoders[trial_id] = folder, sha256
        if record is not None:
            self._records[trial_id] = record.model_copy(update={"encoder": sha256})

    def set_aside(self, trial_ids: Collection[str]) -> None:
        """Forget these trials."""
        for trial_id in trial_ids:
            self._set_aside[trial_id] += trial_id in self._records
            for kept in (self._records, self._reports, self._attempts, self._ended, self._encoders):
                kept.pop(trial_id, None)
            for asked_for in self.sweeps.values():
                asked_for.discard(trial_id)

    def published(self, sweep: SweepInfo) -> str | None:
        """What the published files show."""
        return self._content.get((sweep.name, sweep.profile))

    def publish(self, sweep: SweepInfo, files: Mapping[str, bytes], *, content: str) -> None:
        """Keep the sweep's table and figures."""
        self.summaries[sweep.name] = dict(files)
        self._content[sweep.name, sweep.profile] = content

    def asked_for(self, sweep: str) -> dict[str, str]:
        """Labels of all trials that the sweep has asked for."""
        return {i: self._labels[i] for i in list(self.sweeps.get(sweep, ()))}

    def flush(self) -> None:
        """Nothing is buffered."""

    def _is_done(self, trial_id: str) -> bool:
        record = self._records.get(trial_id)
        return record is not None and record.is_done


class MemoryRegistry:
    """Notes of drivers in this process: the twin of those in MLflow."""

    def __init__(self) -> None:
        """No driver yet."""
        self._notes: dict[str, dict[str, str]] = {}
        self._entered = 0
        self.left: dict[str, bool] = {}
        """Whether it was lost, by driver."""
        self.marked_stopped: set[str] = set()
        """Trials of lost drivers."""

    def register(self, tags: Mapping[str, str]) -> str:
        """Begin a driver's note."""
        self._entered += 1
        self._notes[f"driver{self._entered}"] = dict(tags)
        return f"driver{self._entered}"

    def write(self, driver: str, tags: Mapping[str, str]) -> None:
        """Set tags of a driver's note."""
        if driver in self._notes:
            self._notes[driver] = {**self._notes[driver], **tags}

    def read(self) -> dict[str, dict[str, str]]:
        """The notes of all drivers that have not left."""
        return {driver: dict(tags) for driver, tags in self._notes.items()}

    def deregister(self, driver: str, *, lost: bool = False) -> None:
        """End a driver's note."""
        self._notes.pop(driver, None)
        self.left[driver] = lost

    def mark_stopped(self, trial_ids: Collection[str]) -> None:
        """Remember them."""
        self.marked_stopped |= set(trial_ids)
