"""Experiments in MLflow: found on however many pages, made, taken back."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException, RestException

from orchestrator.errors import UsageError
from orchestrator.language.hints import cut, nearest
from orchestrator.recording.mlflow.glance import VIEW
from orchestrator.recording.store_errors import one_line_errors
from orchestrator.records import SweepInfo


def experiment_ids(client: MlflowClient) -> list[str]:
    """Every experiment's id: a server that many people share has more of them than a page holds."""
    found: list[str] = []
    token: str | None = None
    while token != "":
        page = client.search_experiments(page_token=token)
        found.extend(experiment.experiment_id for experiment in page)
        token = page.token or ""
    return found


QUESTION, NOTE = "orch.question", "mlflow.note.content"
_VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
_SHOWN = ("probe/top1", "knn/top1", "train/loss")
"""Metrics that matter first, behind those of the sweep's tables; MLflow leaves out what no run has."""


def experiment_of(client: MlflowClient, sweep: SweepInfo, *, artifacts: str | None = None) -> str:
    """The sweep's experiment; it says what the sweep asks, and how its runs are best looked at.

    Its description is the question, unless a person has written another.
    """
    question, view = sweep.question, {_VIEW_TAG: _view(sweep.metrics)}
    tags = view | ({NOTE: question, QUESTION: question} if question else {})
    found = experiment_id(client, sweep.name, artifacts=artifacts, tags=tags)
    there = client.get_experiment(found).tags
    if there.get(NOTE) not in (None, there.get(QUESTION)):
        tags = view  # a person's own words stay
    if not sweep.metrics and _VIEW_TAG in there:  # what is brought from elsewhere knows of no tables
        tags = {name: value for name, value in tags.items() if name != _VIEW_TAG}
    for name, value in tags.items():
        if there.get(name) != value:
            client.set_experiment_tag(found, name, value)
    return found


def experiment_id(
    client: MlflowClient, name: str, *, artifacts: str | None = None, tags: Mapping[str, str] | None = None
) -> str:
    """The experiment of that name: found, taken back if somebody deleted it, or made with `tags`."""
    found = client.get_experiment_by_name(name)
    if found is not None and found.lifecycle_stage == "deleted":
        with perhaps_twice():
            client.restore_experiment(found.experiment_id)
    if found is None:
        tags = {"mlflow.experimentKind": "custom_model_development"} | dict(tags or {})
        try:
            return str(client.create_experiment(name, artifact_location=artifacts, tags=tags))
        except MlflowException:
            found = client.get_experiment_by_name(name)  # another driver was faster?
            if found is None:
                raise
    return str(found.experiment_id)


def _view(metrics: Sequence[str]) -> str:
    """MLflow's state of a page of runs: the summary first, and columns for how each trial went."""
    # MLflow itself puts metrics before tags, and sorts both.
    shown = list(dict.fromkeys((*metrics[:4], *_SHOWN)))
    columns = [f"metrics.`{name}`" for name in shown]
    columns += [f"tags.`orch.{name}`" for name in ("cell", "seed", "status")]
    state = {"orderByKey": "tags.`orch.kind`", "orderByAsc": True, "selectedColumns": columns}
    return json.dumps(state | _charts(shown), ensure_ascii=False)


def _charts(metrics: Sequence[str]) -> dict[str, Any]:
    """What MLflow's page of charts opens on: these metrics, before the sections that it makes by itself."""
    section = {"uuid": VIEW, "name": "metrics of the tables, and the loss", "display": True}
    charts: list[dict[str, Any]] = [
        {"uuid": f"{VIEW}-{number}", "metricSectionId": VIEW, "metricKey": name}
        | (_LINE if name.startswith("train/") else {"type": "BAR"})
        for number, name in enumerate(metrics)
    ]
    # Else sections are sorted by the alphabet.
    return {"compareRunSections": [section], "compareRunCharts": charts, "isAccordionReordered": True}


_LINE = {
    "type": "LINE",
    "xAxisKey": "step",
    "xAxisScaleType": "linear",
    "scaleType": "linear",
    "range": {},
    "yAxisKey": "metric",
    "yAxisExpressions": [],
    "useGlobalXaxisKey": True,
    "useGlobalLineSmoothing": True,
}


def drop_default(client: MlflowClient) -> None:
    """Take away the empty experiment with which MLflow begins."""
    with perhaps_twice():
        client.delete_experiment("0")


@contextlib.contextmanager
def perhaps_twice() -> Iterator[None]:
    """A request whose answer was lost is sent again by MLflow's client, and finds nothing left to do."""
    with contextlib.suppress(RestException):
        yield


class ForeignRun(NamedTuple):
    """A run that somebody else has logged."""

    id: str
    name: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]


class ForeignRuns:
    """Experiments of others, to read from alone."""

    def __init__(self, uri: str, name: str) -> None:
        """Those at `uri`, which messages call `name`.

        Raises:
            StoreError: it does not answer, or another version of MLflow made it.
        """
        self._where = f"MLflow at {name}"
        with one_line_errors(self._where):
            self._client = MlflowClient(tracking_uri=uri)
            self._client.search_experiments(max_results=1)

    def experiments(self) -> list[str]:
        """Their names."""
        with one_line_errors(self._where):
            return [self._client.get_experiment(one).name for one in experiment_ids(self._client)]

    def runs(self, experiment: str) -> list[ForeignRun]:
        """The finished runs of an experiment, the oldest first.

        Raises:
            UsageError: there is none of that name.
        """
        found: list[ForeignRun] = []
        with one_line_errors(self._where):
            known = self._client.get_experiment_by_name(experiment)
        if known is None:
            hint = nearest(experiment, self.experiments())
            raise UsageError(f"{self._where}: no experiment '{cut(experiment)}'; {hint}")
        with one_line_errors(self._where):
            token: str | None = None
            while token != "":
                page = self._client.search_runs(
                    [known.experiment_id],
                    "attributes.status = 'FINISHED'",
                    order_by=["attributes.start_time ASC"],
                    page_token=token,
                )
                for run in page:
                    data, info = run.data, run.info
                    found.append(
                        ForeignRun(info.run_id, str(info.run_name), data.params, data.tags, data.metrics)
                    )
                token = page.token or ""
        return found

    def curve(self, run: str, metric: str) -> tuple[tuple[int, float], ...]:
        """A metric of a run by its steps; of several values of a step the last counts."""
        with one_line_errors(self._where):
            told = sorted(self._client.get_metric_history(run, metric), key=lambda one: one.timestamp)
            return tuple(sorted({int(one.step): float(one.value) for one in told}.items()))
