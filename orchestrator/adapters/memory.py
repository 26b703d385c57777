"""A store in this process's memory: the twin of mlflow_store, for tests and dry runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from orchestrator.expand import TrialSpec
from orchestrator.ports import SweepInfo
from orchestrator.results import Curves, TrialRecord, curves_of, record_of
from trainers.report import EpochReport, Outcome


class MemoryStore:
    """Keeps everything until the process ends."""

    def __init__(self) -> None:
        """An empty store."""
        self._records: dict[str, TrialRecord] = {}
        self._reports: dict[str, dict[int, EpochReport]] = {}
        self.sweeps: dict[str, set[str]] = {}
        """Trial ids by sweep."""
        self.attached: dict[str, dict[str, bytes]] = {}
        """Files by trial id."""
        self.summaries: dict[str, dict[str, bytes]] = {}
        """Files by sweep."""
        self._content: dict[tuple[str, str | None], str] = {}
        self._labels: dict[str, str] = {}

    def describe(self) -> str:
        """Where it keeps things."""
        return "memory"

    def records(self, trial_ids: Collection[str]) -> dict[str, TrialRecord]:
        """What is known of these trials."""
        return {i: self._records[i] for i in trial_ids if i in self._records}

    def curves(self, trial_ids: Collection[str]) -> dict[str, Curves]:
        """Curves and spectra of these trials."""
        return {i: curves_of(list(self._reports[i].values())) for i in trial_ids if i in self._reports}

    def begin(self, trial: TrialSpec, sweep: SweepInfo, *, worker: str | None = None) -> None:
        """A trial starts, or starts again."""
        self.adopt([trial], sweep)
        self._reports.setdefault(trial.id, {})
        before = self._records.get(trial.id)
        self._records[trial.id] = TrialRecord(
            trial_id=trial.id,
            status="running",
            run=trial.id,
            attempts=(before.attempts if before else 0) + 1,
            worker=worker,
        )

    def report(self, trial_id: str, report: EpochReport) -> None:
        """A trial finished an epoch."""
        self._reports[trial_id][report.epoch] = report

    def finish(self, trial: TrialSpec, outcome: Outcome, sweep: SweepInfo) -> None:
        """A trial ended."""
        record, begun = record_of(trial.id, outcome, sweep.provenance), self._records[trial.id]
        kept = {"run": trial.id, "attempts": begun.attempts, "worker": begun.worker}
        self._records[trial.id] = TrialRecord.model_validate(dict(record) | kept)

    def adopt(self, trials: Sequence[TrialSpec], sweep: SweepInfo) -> int:
        """Note that `sweep` asks for these trials too; how many are new to it."""
        self._labels |= {trial.id: trial.label for trial in trials}
        known = self.sweeps.setdefault(sweep.name, set())
        new = {trial.id for trial in trials} - known
        known |= new
        return len(new)

    def attach(self, trial_id: str, files: Mapping[str, bytes]) -> None:
        """Keep files beside a trial."""
        self.attached.setdefault(trial_id, {}).update(files)

    def published(self, sweep: SweepInfo) -> str | None:
        """What the published files show."""
        return self._content.get((sweep.name, sweep.profile))

    def publish(self, sweep: SweepInfo, files: Mapping[str, bytes], *, content: str) -> None:
        """Keep the sweep's table and figures."""
        self.summaries[sweep.name] = dict(files)
        self._content[sweep.name, sweep.profile] = content

    def asked_for(self, sweep: str) -> dict[str, str]:
        """Labels of all trials that the sweep has asked for."""
        return {i: self._labels[i] for i in self.sweeps.get(sweep, set()) if i in self._records}

    def flush(self) -> None:
        """Nothing is buffered."""
