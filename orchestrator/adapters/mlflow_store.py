"""Results in MLflow: SQLite by default, any tracking server otherwise. The only file that knows MLflow.

One experiment per sweep, one flat run per trial, found again by the tag of its trial id in whichever
experiment it was first trained. Only the driver writes, in batches, always naming the run.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

# MLflow reads these when it is imported; a tracker that does not answer must not be waited for long.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.ERROR)

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from orchestrator.adapters.tracking_errors import reason, without_secret
from orchestrator.archive import packed, unpacked
from orchestrator.errors import StoreError
from orchestrator.expand import TrialSpec
from orchestrator.ports import SweepInfo
from orchestrator.results import FINAL, MEASURED, Curves, TrialRecord, curves_of, record_of
from trainers.config import canonical, identity_dump
from trainers.report import EpochReport, Outcome

FLUSH_S = 2.0  # metrics wait at most so long before they are written
FEW = 300  # up to so many trials are looked up one by one, more by reading pages of runs
SPECTRA = "spectra.npz"

_STATES = {status: "FINISHED" for status in FINAL} | {"failed": "FAILED"}


class MlflowStore:
    """Keeps results in MLflow."""

    def __init__(self, uri: str, *, artifacts: Path | None = None) -> None:
        """Connect to the tracking store at `uri`.

        Args:
            uri: sqlite:///file.db, a database's or a server's address.
            artifacts: folder for artifacts; None leaves it to the server.

        Raises:
            StoreError: it does not answer, or another version made it.
        """
        self.uri, self.artifacts = uri, artifacts
        self._runs: dict[str, str] = {}  # trial id -> run id
        self._experiments: dict[str, str] = {}
        self._pending: dict[str, list[Metric]] = {}
        self._reports: dict[str, list[EpochReport]] = {}
        self._started_ms: dict[str, int] = {}
        self._flushed = time.monotonic()
        with self._errors():
            self._client = MlflowClient(tracking_uri=uri)
            self._client.search_experiments(max_results=1)

    def describe(self) -> str:
        """The tracking URI without its password."""
        return without_secret(self.uri)

    def records(self, trial_ids: Collection[str]) -> dict[str, TrialRecord]:
        """What is known of these trials."""
        with self._errors():
            runs = self._find(trial_ids)
            return {trial_id: _record(trial_id, run) for trial_id, run in runs.items()}

    def curves(self, trial_ids: Collection[str]) -> dict[str, Curves]:
        """Curves and spectra of these trials, once they ended."""
        found: dict[str, Curves] = {}
        with self._errors():
            for trial_id, run in self._find(trial_ids).items():
                names = {item.path for item in self._client.list_artifacts(run.info.run_id)}
                if SPECTRA in names:
                    with tempfile.TemporaryDirectory() as folder:
                        path = self._client.download_artifacts(run.info.run_id, SPECTRA, folder)
                        found[trial_id] = unpacked(Path(path).read_bytes())
        return found

    def begin(self, trial: TrialSpec, sweep: SweepInfo, *, worker: str | None = None) -> None:
        """A trial starts, or starts again: its run is made, or taken up."""
        with self._errors():
            run = self._find([trial.id]).get(trial.id)
            if run is None:
                run = self._create(trial, sweep, worker)
            else:
                tags = {
                    "orch.status": "running",
                    "orch.attempts": str(int(run.data.tags.get("orch.attempts", "1")) + 1),
                    "orch.worker": worker or "",
                }
                self._client.update_run(run.info.run_id, status="RUNNING")
                self._client.log_batch(run.info.run_id, tags=[RunTag(k, v) for k, v in tags.items()])
                for tag in _ENDING & run.data.tags.keys():  # what an earlier end said does not hold any more
                    self._client.delete_tag(run.info.run_id, tag)
            self._runs[trial.id] = run.info.run_id
            self._started_ms[trial.id] = run.info.start_time
            self._reports[trial.id] = []

    def report(self, trial_id: str, report: EpochReport) -> None:
        """A trial finished an epoch; written within `FLUSH_S`."""
        self._reports[trial_id].append(report)
        # The store drops a metric that it has already, by name, step, time and value. A time that is the
        # same on every replay makes a repeated report harmless.
        at = self._started_ms[trial_id] + report.epoch
        self._pending.setdefault(trial_id, []).extend(
            Metric(name, value, at, report.epoch) for name, value in report.metrics.items()
        )
        if time.monotonic() - self._flushed > FLUSH_S:
            self.flush()

    def finish(self, trial: TrialSpec, outcome: Outcome, sweep: SweepInfo) -> None:
        """A trial ended: final metrics, tags and artifacts are written."""
        run = self._runs[trial.id]
        reports = self._reports.get(trial.id, [])
        last = max((report.epoch for report in reports), default=0)
        at = self._started_ms[trial.id] + last + 1
        final = [Metric(name, value, at, last) for name, value in outcome.metrics.items()]
        self._pending.setdefault(trial.id, []).extend(final)
        record = record_of(trial.id, outcome, sweep.provenance)
        tags = {
            "orch.status": outcome.status,
            "orch.collapse": record.collapse,
            "orch.reason": outcome.reason,
            "orch.code_version": record.code_version,
            "orch.data_fingerprint": record.data_fingerprint,
            "orch.streams_fingerprint": record.streams_fingerprint,
        }
        with self._errors():
            self._write(trial.id)
            self._log_files(run, _files(trial, outcome, sweep, curves_of(reports)))
            self._client.set_terminated(run, _STATES.get(outcome.status, "KILLED"))
            # Last: from here on the trial counts as done, and nothing of it may be missing.
            self._write(trial.id, [RunTag(k, str(v)[:4000]) for k, v in tags.items() if v])
        self._reports.pop(trial.id, None)

    def adopt(self, trials: Sequence[TrialSpec], sweep: SweepInfo) -> int:
        """Tag the runs of these trials as this sweep's too; how many were not."""
        tag = f"orch.in.{sweep.name}"
        with self._errors():
            runs = self._find([trial.id for trial in trials]).values()
            new = [run for run in runs if tag not in run.data.tags]
            for run in new:
                self._client.set_tag(run.info.run_id, tag, "true")
        return len(new)

    def attach(self, trial_id: str, files: Mapping[str, bytes]) -> None:
        """Keep files beside a trial's other artifacts."""
        with self._errors():
            run = self._find([trial_id])[trial_id]
            self._log_files(run.info.run_id, files)

    def published(self, sweep: SweepInfo) -> str | None:
        """The content that the sweep's summary run shows, if there is one."""
        with self._errors():
            found = self._summary(sweep)
            return None if found is None else found.data.tags.get("orch.content")

    def publish(self, sweep: SweepInfo, files: Mapping[str, bytes], *, content: str) -> None:
        """Keep the sweep's files in its summary run."""
        with self._errors():
            found = self._summary(sweep)
            profile = sweep.profile or "none"
            if found is not None:
                run = found.info.run_id
            else:
                tags = {"orch.kind": "summary", "orch.sweep": sweep.name, "orch.profile": profile}
                name = f"summary · {profile}"
                experiment = self._experiment(sweep.name)
                run = self._client.create_run(experiment, tags=tags, run_name=name).info.run_id
            self._log_files(run, files)
            notes = [content.decode() for name, content in files.items() if name.endswith(".md")]
            self._client.set_tag(run, "mlflow.note.content", "\n\n".join(notes))  # shown on the run's page
            self._client.set_tag(run, "orch.code_version", sweep.provenance.code_version)
            self._client.set_terminated(run)
            self._client.set_tag(run, "orch.content", content)

    def asked_for(self, sweep: str) -> dict[str, str]:
        """Labels of all trials whose runs say that the sweep has asked for them."""
        tag = f"orch.in.{sweep}"
        with self._errors():
            runs = self._pages(f"tags.`{tag}` = 'true'")  # a sweep's name has no character to be quoted
            return {run.data.tags["orch.trial_id"]: str(run.info.run_name) for run in runs}

    def flush(self) -> None:
        """Write every waiting metric."""
        with self._errors():
            for trial_id in list(self._pending):
                self._write(trial_id)
        self._flushed = time.monotonic()

    def _summary(self, sweep: SweepInfo) -> Run | None:
        experiment, profile = self._experiment(sweep.name), sweep.profile or "none"
        # Few, and matched here: MLflow's queries know no way to quote every name.
        summaries = self._client.search_runs([experiment], "tags.`orch.kind` = 'summary'", max_results=1000)
        return next((run for run in summaries if run.data.tags.get("orch.profile") == profile), None)

    def _log_files(self, run: str, files: Mapping[str, bytes]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                (Path(folder) / name).write_bytes(content)
            self._client.log_artifacts(run, folder)

    def _write(self, trial_id: str, tags: Sequence[RunTag] = ()) -> None:
        metrics = self._pending.pop(trial_id, [])
        for start in range(0, max(1, len(metrics)), 1000):  # MLflow takes no more in one batch
            self._client.log_batch(self._runs[trial_id], metrics[start : start + 1000], tags=tags)

    def _create(self, trial: TrialSpec, sweep: SweepInfo, worker: str | None) -> Run:
        tags = {
            "orch.kind": "trial",
            "orch.trial_id": trial.id,
            "orch.sweep": sweep.name,
            f"orch.in.{sweep.name}": "true",
            "orch.cell": trial.cell.label,
            "orch.cell_id": trial.cell.id,
            "orch.seed": str(trial.seed),
            "orch.profile": sweep.profile or "none",
            "orch.status": "running",
            "orch.attempts": "1",
            "orch.worker": worker or "",
            "mlflow.source.name": "orch sweep",
            "mlflow.source.git.commit": sweep.provenance.code_version,
        } | {f"orch.axis.{_safe(axis)}": label for axis, label in trial.cell.choice if label is not None}
        run = self._client.create_run(self._experiment(sweep.name), tags=tags, run_name=trial.label)
        flat = list(_flat(identity_dump(trial.config)))
        for start in range(0, len(flat), 100):  # MLflow takes no more in one batch
            params = [Param(name, str(value)[:6000]) for name, value in flat[start : start + 100]]
            self._client.log_batch(run.info.run_id, params=params)
        return run

    def _experiment(self, name: str) -> str:
        if name not in self._experiments:
            found = self._client.get_experiment_by_name(name)
            if found is not None and found.lifecycle_stage == "deleted":
                self._client.restore_experiment(found.experiment_id)
            if found is not None:
                self._experiments[name] = found.experiment_id
            else:
                location = (self.artifacts / _safe(name)).as_uri() if self.artifacts else None
                self._experiments[name] = self._client.create_experiment(
                    name,
                    artifact_location=location,
                    tags={"mlflow.experimentKind": "custom_model_development"},
                )
        return self._experiments[name]

    def _find(self, trial_ids: Collection[str]) -> dict[str, Run]:
        """The runs of these trials, wherever they were trained."""
        experiments = [e.experiment_id for e in self._client.search_experiments()]
        if not trial_ids or not experiments:
            return {}
        found: dict[str, Run] = {}
        if len(trial_ids) <= FEW:
            for trial_id in trial_ids:
                query = f"tags.`orch.trial_id` = '{trial_id}'"
                runs = self._client.search_runs(experiments, query, max_results=1, order_by=_OLDEST)
                found.update((trial_id, run) for run in runs)
            return found
        wanted = set(trial_ids)
        for run in self._pages("tags.`orch.kind` = 'trial'"):
            trial_id = run.data.tags["orch.trial_id"]
            if trial_id in wanted:
                found.setdefault(trial_id, run)
        return found

    def _pages(self, query: str) -> Iterator[Run]:
        """All runs that fit, the oldest first, wherever they are."""
        experiments = [e.experiment_id for e in self._client.search_experiments()]
        token: str | None = None
        while token != "" and experiments:
            page = self._client.search_runs(
                experiments, query, max_results=1000, order_by=_OLDEST, page_token=token
            )
            yield from page
            token = page.token or ""

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Whatever MLflow raises becomes one line that names the store and the next step."""
        try:
            yield
        except (MlflowException, OSError) as error:
            raise StoreError(f"MLflow at {self.describe()}: {reason(error)}") from None
        except Exception as error:
            if type(error).__module__.split(".")[0] not in ("sqlalchemy", "alembic", "requests", "urllib3"):
                raise
            raise StoreError(f"MLflow at {self.describe()}: {reason(error)}") from None


_ENDING = {"orch.collapse", "orch.reason", "orch.data_fingerprint", "orch.streams_fingerprint"}
_OLDEST = ["attributes.start_time ASC"]


def _record(trial_id: str, run: Run) -> TrialRecord:
    tags = run.data.tags
    status = tags.get("orch.status", "running")
    if status == "running" and run.info.status in ("FAILED", "KILLED"):
        status = "stopped"
    return TrialRecord(
        trial_id=trial_id,
        status=status,
        # A trial that diverged or failed has metrics by epoch, but no final ones.
        metrics=dict(run.data.metrics) if status in MEASURED else {},
        collapse=tags.get("orch.collapse"),
        reason=tags.get("orch.reason"),
        code_version=tags.get("orch.code_version"),
        data_fingerprint=tags.get("orch.data_fingerprint"),
        streams_fingerprint=tags.get("orch.streams_fingerprint"),
        run=run.info.run_id,
        attempts=int(tags.get("orch.attempts", "1")),
        worker=tags.get("orch.worker") or None,
    )


def _files(trial: TrialSpec, outcome: Outcome, sweep: SweepInfo, curves: Curves) -> dict[str, bytes]:
    """A trial's artifacts: spectra and curves, config, provenance."""
    facts = {
        "trial_id": trial.id,
        "canonical_config": canonical(identity_dump(trial.config)),
        "sweep": sweep.name,
        "profile": sweep.profile,
        **sweep.provenance.model_dump(),
        "trial": outcome.details,
    }
    return {
        SPECTRA: packed(curves),
        "config.json": _json(trial.config.model_dump(mode="json")),
        "provenance.json": _json(facts),
    }


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)
