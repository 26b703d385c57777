"""Runs in MLflow, found by the trials they are of, in whichever experiment those were trained."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, MutableMapping, Sequence

from mlflow import MlflowClient
from mlflow.entities import Param, Run, RunTag

from orchestrator.recording.mlflow.experiments import experiment_ids, perhaps_twice
from orchestrator.recording.mlflow.tags import ENDING, is_done, param_name, record_from
from orchestrator.recording.store_errors import readable
from orchestrator.records import TrialFacts, TrialRecord
from trainers.config.base import flat

FEW = 300  # up to so many trials are looked up one by one, more by reading pages of runs
PER_QUERY = 100  # runs whose names are known
OLDEST = ["attributes.start_time ASC"]


def runs_of(client: MlflowClient, trial_id: str) -> list[Run]:
    """Every run of a trial; more than one only where a connection broke while it was made."""
    experiments = experiment_ids(client)
    query = f"tags.`orch.trial_id` = '{trial_id}'"
    return list(client.search_runs(experiments, query, order_by=OLDEST)) if experiments else []


def find_runs(
    client: MlflowClient, trial_ids: Collection[str], known: MutableMapping[str, str]
) -> dict[str, Run]:
    """The runs of these trials, by their ids; `known` are names of runs by trial that were found before."""
    experiments = experiment_ids(client)
    if not trial_ids or not experiments:
        return {}
    found: dict[str, Run] = {}
    names = [known[trial_id] for trial_id in trial_ids if trial_id in known]
    for start in range(0, len(names), PER_QUERY):
        listed = ", ".join(f"'{name}'" for name in names[start : start + PER_QUERY])
        for run in client.search_runs(experiments, f"attributes.run_id IN ({listed})"):
            trial_id = run.data.tags.get("orch.trial_id")
            if trial_id is not None and trial_id in trial_ids:  # else another driver has set it aside
                found[trial_id] = run
    others = [trial_id for trial_id in trial_ids if trial_id not in found]  # or of a run that was deleted
    if len(others) <= FEW:
        for trial_id in others:
            query = f"tags.`orch.trial_id` = '{trial_id}'"
            runs = client.search_runs(experiments, query, max_results=1, order_by=OLDEST)
            found.update((trial_id, run) for run in runs)
    else:
        wanted = set(others)
        for run in run_pages(client, "tags.`orch.kind` = 'trial'"):
            trial_id = run.data.tags["orch.trial_id"]
            if trial_id in wanted:
                found.setdefault(trial_id, run)
    known.update((trial_id, run.info.run_id) for trial_id, run in found.items())
    return found


def run_pages(client: MlflowClient, query: str) -> Iterator[Run]:
    """All runs that fit, the oldest first."""
    experiments = experiment_ids(client)
    token: str | None = None
    while token != "" and experiments:
        page = client.search_runs(experiments, query, max_results=1000, order_by=OLDEST, page_token=token)
        yield from page
        token = page.token or ""


def read_record(trial_id: str, run: Run) -> TrialRecord:
    """The record that a trial's run amounts to.

    Raises:
        StoreError: somebody has changed the run so that it is none.
    """
    with readable(f"run {run.info.run_id} of trial {trial_id}"):
        return record_from(
            trial_id,
            run=run.info.run_id,
            state=run.info.status,
            tags=run.data.tags,
            metrics=run.data.metrics,
        )


def set_run_aside(client: MlflowClient, run: Run, trial_id: str) -> None:
    """Take away what finds a trial's run; what it was stays beside its numbers."""
    tags = {"orch.kind": "set aside", "orch.set_aside": trial_id}
    set_tags(client, run.info.run_id, tags)
    sweeps = [tag for tag in run.data.tags if tag.startswith("orch.in.")]
    for tag in (*sweeps, "orch.trial_id"):  # last what finds it: if this is cut short, it begins again
        with perhaps_twice():
            client.delete_tag(run.info.run_id, tag)


def set_tags(client: MlflowClient, run: str, tags: Mapping[str, str]) -> None:
    """Set tags of a run, all at once."""
    client.log_batch(run, tags=[RunTag(name, value) for name, value in tags.items()])


def retag(client: MlflowClient, run: str, before: Mapping[str, str], tags: Mapping[str, str]) -> None:
    """Set tags of a run, once what an earlier end had said beside them is taken away."""
    for tag in ENDING & before.keys() - tags.keys():
        with perhaps_twice():
            client.delete_tag(run, tag)
    set_tags(client, run, tags)


def labels_of(client: MlflowClient, sweep: str) -> dict[str, str]:
    """Labels, by id, of all trials whose runs say that a sweep of that name has asked for them."""
    # A sweep's name has no character to be quoted.
    runs = run_pages(client, f"tags.`orch.in.{sweep}` = 'true'")
    named = ((str(run.info.run_name), run.data.tags) for run in runs)
    return {tags["orch.trial_id"]: tags.get("orch.label", name) for name, tags in named}


def oldest(client: MlflowClient, runs: Sequence[Run]) -> Run:
    """The oldest of several runs of one thing, of those with a result if any has; the others are deleted."""

    def order(run: Run) -> tuple[bool, int, str]:  # a restored run is older than the result that came since
        return not is_done(run.data.tags), run.info.start_time, run.info.run_id

    first, *others = sorted({run.info.run_id: run for run in runs}.values(), key=order)
    for run in others:
        client.delete_run(run.info.run_id)
    return first


def log_params(client: MlflowClient, run: Run, trial: TrialFacts) -> None:
    """Log what decides the trial's numbers, unless the run has it."""
    settings = {param_name(path): value for path, value in flat(trial.identity)}
    if settings.keys() <= run.data.params.keys():
        return
    params = [Param(name, str(value)[:6000]) for name, value in settings.items()]
    for start in range(0, len(params), 100):  # MLflow takes no more in one batch
        client.log_batch(run.info.run_id, params=params[start : start + 100])
