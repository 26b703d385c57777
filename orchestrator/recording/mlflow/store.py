"""Results in MLflow: SQLite by default, any tracking server otherwise.

One experiment per sweep, one flat run per trial, found again by the tag of its trial id in whichever
experiment it was first trained. Only the driver writes, in batches, always naming the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from orchestrator.errors import StoreAway, StoreError
from orchestrator.process.secrets import without_secret
from orchestrator.recording.mlflow import open_trial, summaries
from orchestrator.recording.mlflow.artifacts import Artifacts
from orchestrator.recording.mlflow.experiments import drop_default, experiment_of
from orchestrator.recording.mlflow.http import reject_truncated_responses
from orchestrator.recording.mlflow.runs import (
    find_runs,
    labels_of,
    log_params,
    oldest,
    read_record,
    retag,
    runs_of,
    set_run_aside,
    set_tags,
)
from orchestrator.recording.mlflow.tags import (
    end_tags,
    finding_of,
    first_tags,
    is_done,
    is_last,
    safe,
)
from orchestrator.recording.store_errors import one_line_errors, readable
from orchestrator.recording.store_port import is_replaced
from orchestrator.recording.trial_files import ENCODER, SPECTRA, from_npz, trial_files
from orchestrator.records import FINAL, Curves, SweepInfo, TrialFacts, TrialRecord, curves_of
from trainers.attempt.folders import Folder
from trainers.attempt.report import EpochReport, Outcome

reject_truncated_responses()

FLUSH_S = 2.0  # metrics wait at most so long before they are written
_STATES = {status: "FINISHED" for status in FINAL} | {"failed": "FAILED"}


class MlflowStore:
    """Keeps results in MLflow."""

    def __init__(
        self,
        uri: str,
        *,
        name: str | None = None,
        artifacts: Path | None = None,
        movable: bool = False,
        new: bool = False,
        runs: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Connect to the tracking store at `uri`; StoreError: it does not answer, or another version made it.

        Args:
            uri: sqlite:///file.db, a database's or a server's address.
            name: what messages call it; None: its address.
            artifacts: folder for artifacts; None leaves it to the server.
            movable: whether `artifacts` has those of every run, wherever it lay when they were written.
            new: whether it is this user's own and has just been made.
            runs: names of runs by trial, as an earlier command has seen them; they need not be right.
        """
        self.uri, self.artifacts = uri, artifacts
        self._artifacts = Artifacts(uri, home=artifacts if movable else None)
        self._name = name or without_secret(uri)
        self._open: dict[str, open_trial.OpenTrial] = {}  # by trial id; not those that are done already
        self._experiments: dict[str, str] = {}
        self._runs = dict(runs)
        with self._errors():
            self._client = MlflowClient(tracking_uri=uri)
            self._client.search_experiments(max_results=1)
            if new:
                drop_default(self._client)

    def describe(self) -> str:
        """The tracking URI without its password."""
        return self._name

    def records(self, trial_ids: Collection[str]) -> dict[str, TrialRecord]:
        """What is known of these trials."""
        with self._errors():
            return {one: read_record(one, run) for one, run in self._find(trial_ids).items()}

    def curves(self, trial_ids: Collection[str]) -> dict[str, Curves]:
        """Curves and spectra of these trials, once they ended."""
        found: dict[str, Curves] = {}
        with self._errors():
            for trial_id, run in self._find(trial_ids).items():
                if (content := self._artifacts.read(run.info.artifact_uri, SPECTRA)) is not None:
                    with readable(f"{SPECTRA} of run {run.info.run_id}"):
                        found[trial_id] = from_npz(content)
        return found

    def files(
        self, trial_ids: Collection[str], names: Collection[str] | None = None
    ) -> dict[str, dict[str, bytes]]:
        """Files beside these trials."""
        with self._errors():
            found = self._find(trial_ids).items()
            read = {one: self._artifacts.all(run.info.artifact_uri, names) for one, run in found}
        return {one: files for one, files in read.items() if files}

    def encoder(self, trial_id: str) -> bytes | None:
        """The file with a trial's encoder."""
        with self._errors():
            run = self._find([trial_id]).get(trial_id)
            return None if run is None else self._artifacts.read(run.info.artifact_uri, ENCODER)

    def begin(
        self,
        trial: TrialFacts,
        sweep: SweepInfo,
        *,
        worker: str | None = None,
        attempt: str | None = None,
        instead_of: str | None = None,
    ) -> None:
        """A trial starts, or starts again: its run is made, or taken up."""
        self._open.pop(trial.trial_id, None)
        with self._errors():
            runs = runs_of(self._client, trial.trial_id)
            if instead_of is not None and runs:
                run = oldest(self._client, runs)
                known = run.data.tags.get("orch.attempt_ids", "").split()
                if is_replaced(run.info.run_id, known, instead_of, attempt):
                    self.set_aside([trial.trial_id])
                    runs = []
            run = oldest(self._client, runs) if runs else self._create(trial, sweep, worker, attempt)
            if is_done(run.data.tags):
                return
            if runs:
                open_trial.take_up(self._client, run, worker=worker, attempt=attempt)
            log_params(self._client, run, trial)
            self._open[trial.trial_id] = open_trial.opened(trial, run, worker=worker, attempt=attempt)

    def report(self, trial_id: str, report: EpochReport) -> None:
        """A trial finished an epoch; written within `FLUSH_S`."""
        trial = self._open.get(trial_id)
        if trial is None:
            return
        trial.reports.append(report)
        trial.waiting.extend(open_trial.metrics_of(trial, report.epoch, report.metrics))
        if time.monotonic() - trial.written > FLUSH_S:
            trial.written = time.monotonic()
            with self._errors(), self._deleted_is_no_error(trial):
                open_trial.write(self._client, trial)  # this one's: another's error is not this one's

    def finish(self, trial_id: str, outcome: Outcome, sweep: SweepInfo) -> None:
        """A trial ended: final metrics, tags and artifacts are written."""
        trial = self._open.get(trial_id)
        if trial is None:
            return
        with self._errors(refused=lambda: self._open.pop(trial_id, None)):
            run = self._find([trial_id]).get(trial_id)
            if run is not None and (
                is_done(run.data.tags)
                or (outcome.status not in FINAL and not is_last(trial.attempt, run.data.tags))
            ):
                del self._open[trial_id]  # another driver has it, or had it: an end without a result is old
                return
            if run is None or run.info.run_id != trial.run:  # somebody deleted it while it was trained
                trial = self._again(trial, sweep, run)
            before = {} if run is None else {one.key: one.step for one in run.data._metric_objs}
            # MLflow shows the number of the highest step, then the latest; an earlier attempt may have
            # come further.
            last = max([0, *(report.epoch for report in trial.reports), *before.values()])
            trial.waiting.extend(open_trial.metrics_of(trial, last, outcome.metrics, later=1))
            open_trial.write(self._client, trial)
            files = trial_files(trial.facts, outcome, sweep, curves_of(trial.reports))
            if not trial.reports:
                del files[SPECTRA]  # an earlier attempt's are all there is
            self._artifacts.keep(trial.kept_at, files)
            self._client.set_terminated(trial.run, _STATES.get(outcome.status, "KILLED"))
            if finding := finding_of(trial.facts, outcome, sweep):  # MLflow's own status calls it finished
                self._client.update_run(trial.run, name=finding.name)
                set_tags(self._client, trial.run, finding.tags)
            # Last: from here on the trial counts as done, and nothing of it may be missing.
            told = before.keys() | {name for report in trial.reports for name in report.metrics}
            tags = end_tags(trial_id, outcome, sweep, told)
            retag(self._client, trial.run, run.data.tags if run else {}, tags)
        del self._open[trial_id]

    def adopt(self, labels: Mapping[str, str], sweep: SweepInfo) -> None:
        """Tag the runs of these trials as this sweep's too."""
        tag = f"orch.in.{sweep.name}"
        with self._errors():
            for run in self._find(labels).values():
                if tag not in run.data.tags:
                    self._client.set_tag(run.info.run_id, tag, "true")

    def attach(self, trial_id: str, files: Mapping[str, bytes]) -> None:
        """Keep files beside a trial's other artifacts."""
        with self._errors():
            if (run := self._find([trial_id]).get(trial_id)) is not None:
                self._artifacts.keep(run.info.artifact_uri, files)

    def keep_encoder(self, trial_id: str, folder: Folder, sha256: str) -> None:
        """Move the encoder that a trial has left to its other artifacts."""
        with self._errors():
            if (run := self._find([trial_id]).get(trial_id)) is not None:
                tags = self._artifacts.take_encoder(run, folder, sha256)
                set_tags(self._client, run.info.run_id, tags)

    def set_aside(self, trial_ids: Collection[str]) -> None:
        """Let the runs of these trials be found by no id any more; they keep it as a tag of another name."""
        with self._errors():
            for trial_id, run in self._find(trial_ids).items():
                for known in (self._open, self._runs):
                    known.pop(trial_id, None)
                set_run_aside(self._client, run, trial_id)

    def published(self, sweep: SweepInfo) -> str | None:
        """The content that the sweep's summary run shows, if there is one."""
        with self._errors():
            found = summaries.summaries(self._client, self._experiment(sweep), sweep)
            return found[0].data.tags.get("orch.content") if found else None

    def publish(self, sweep: SweepInfo, files: Mapping[str, bytes], *, content: str) -> None:
        """Keep the sweep's files in its summary run."""
        with self._errors():
            at, beside = self._experiment(sweep), self._artifacts
            summaries.publish(self._client, at, sweep, files=files, content=content, artifacts=beside)

    def asked_for(self, sweep: str) -> dict[str, str]:
        """Labels of all trials whose runs say that the sweep has asked for them."""
        with self._errors():
            return labels_of(self._client, sweep)

    def flush(self) -> None:
        """Write every waiting metric.

        Raises:
            StoreAway: the store does not answer; other errors come when the trial ends, which tells it again.
        """
        for trial in self._open.values():
            try:
                with self._errors(), self._deleted_is_no_error(trial):
                    open_trial.write(self._client, trial)
            except StoreAway:
                raise
            except StoreError:
                continue

    def _find(self, trial_ids: Collection[str]) -> dict[str, Run]:
        return find_runs(self._client, trial_ids, self._runs)

    def _again(self, trial: open_trial.OpenTrial, sweep: SweepInfo, run: Run | None) -> open_trial.OpenTrial:
        """Another run for a trial whose run is gone, with everything that the old one was told."""
        if run is None:
            self._experiments.pop(sweep.name, None)  # perhaps deleted with it
            run = self._create(trial.facts, sweep, trial.worker, trial.attempt)
        log_params(self._client, run, trial.facts)
        self._open[trial.facts.trial_id] = again = open_trial.anew(trial, run)
        return again

    @contextmanager
    def _deleted_is_no_error(self, trial: open_trial.OpenTrial) -> Iterator[None]:
        """A run that somebody deleted while it is trained is made anew when its trial ends."""
        try:
            yield
        except MlflowException:
            if self._find([trial.facts.trial_id]):
                raise
            trial.waiting.clear()

    def _create(self, trial: TrialFacts, sweep: SweepInfo, worker: str | None, attempt: str | None) -> Run:
        tags = first_tags(trial, sweep, worker=worker, attempt=attempt)
        try:
            run = self._client.create_run(self._experiment(sweep), tags=tags, run_name=trial.label)
        except MlflowException:  # somebody has deleted the experiment since it was looked up?
            self._experiments.pop(sweep.name, None)
            run = self._client.create_run(self._experiment(sweep), tags=tags, run_name=trial.label)
        # A connection that breaks before the answer makes MLflow's client ask again, for a second run.
        return oldest(self._client, [run, *runs_of(self._client, trial.trial_id)])

    def _experiment(self, sweep: SweepInfo) -> str:
        if (name := sweep.name) not in self._experiments:
            at = (self.artifacts / safe(name)).as_uri() if self.artifacts else None
            self._experiments[name] = experiment_of(self._client, sweep, artifacts=at)
        return self._experiments[name]

    def _errors(self, refused: Callable[[], object] = lambda: None) -> AbstractContextManager[None]:
        return one_line_errors(f"MLflow at {self.describe()}", refused=refused)
