"""A trial that is being told to MLflow, and its metrics as MLflow has them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from mlflow import MlflowClient
from mlflow.entities import Metric, Run

from orchestrator.recording.mlflow.runs import retag, set_tags
from orchestrator.recording.mlflow.tags import is_last, next_tags
from orchestrator.records import TrialFacts
from trainers.attempt.report import EpochReport


@dataclass
class OpenTrial:
    """A trial that was begun and not finished through this object."""

    facts: TrialFacts
    attempt: str | None
    worker: str | None
    run: str
    kept_at: str
    """Address of the run's files."""
    started_ms: int
    reports: list[EpochReport]
    waiting: list[Metric]
    """Metrics that are not written yet."""
    written: float = field(default_factory=time.monotonic)
    """When some were written last."""


def take_up(client: MlflowClient, run: Run, *, worker: str | None, attempt: str | None) -> None:
    """Tell the run of a trial that it begins again."""
    tags = run.data.tags
    set_tags(client, run.info.run_id, next_tags(tags, worker=worker, attempt=attempt))
    if is_last(attempt, tags):
        client.update_run(run.info.run_id, status="RUNNING")
        retag(client, run.info.run_id, tags, {})


def opened(trial: TrialFacts, run: Run, *, worker: str | None, attempt: str | None) -> OpenTrial:
    """A trial that has just begun."""
    info = run.info
    return OpenTrial(trial, attempt, worker, info.run_id, info.artifact_uri, info.start_time, [], [])


def write(client: MlflowClient, trial: OpenTrial) -> None:
    """Write the metrics that wait."""
    while trial.waiting:
        client.log_batch(trial.run, trial.waiting[:1000])  # MLflow takes no more in one batch
        del trial.waiting[:1000]


def anew(trial: OpenTrial, run: Run) -> OpenTrial:
    """The trial with another run, which is to be told everything that the old one was told."""
    info = run.info
    made = replace(trial, run=info.run_id, kept_at=info.artifact_uri, started_ms=info.start_time, waiting=[])
    for report in made.reports:
        made.waiting.extend(metrics_of(made, report.epoch, report.metrics))
    return made


def metrics_of(
    trial: OpenTrial, epoch: int, metrics: Mapping[str, float], *, later: int = 0
) -> Iterator[Metric]:
    """An epoch's metrics; told again they are the same."""
    # The store drops a metric that it has already, by name, step, time and value. A time that is the
    # same whenever it is told makes a repeated report harmless.
    at = trial.started_ms + epoch + later
    return (Metric(name, value, at, epoch) for name, value in metrics.items())
