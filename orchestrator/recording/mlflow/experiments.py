"""Experiments in MLflow: found on however many pages, made, taken back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException, RestException


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


def experiment_id(
    client: MlflowClient, name: str, *, artifacts: str | None = None, question: str | None = None
) -> str:
    """The experiment of that name: found, taken back if somebody deleted it, or made.

    Its description is the `question`, unless a person has written another.
    """
    found = client.get_experiment_by_name(name)
    if found is not None and found.lifecycle_stage == "deleted":
        with perhaps_twice():
            client.restore_experiment(found.experiment_id)
    if found is None:
        tags = {"mlflow.experimentKind": "custom_model_development"}
        tags |= {NOTE: question, QUESTION: question} if question else {}
        try:
            return str(client.create_experiment(name, artifact_location=artifacts, tags=tags))
        except MlflowException:
            found = client.get_experiment_by_name(name)  # another driver was faster?
            if found is None:
                raise
    told = found.tags.get(QUESTION)
    if question and question != told and found.tags.get(NOTE) in (None, told):
        for tag in (NOTE, QUESTION):
            client.set_experiment_tag(found.experiment_id, tag, question)
    return str(found.experiment_id)


def drop_default(client: MlflowClient) -> None:
    """Take away the empty experiment with which MLflow begins."""
    with perhaps_twice():
        client.delete_experiment("0")


@contextlib.contextmanager
def perhaps_twice() -> Iterator[None]:
    """A request whose answer was lost is sent again by MLflow's client, and finds nothing left to do."""
    with contextlib.suppress(RestException):
        yield
