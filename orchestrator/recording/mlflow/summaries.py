"""The run in MLflow that holds a sweep's tables and figures, one for each profile."""

from __future__ import annotations

from collections.abc import Mapping

from mlflow import MlflowClient
from mlflow.entities import Run

from orchestrator.recording.mlflow.artifacts import Artifacts
from orchestrator.recording.mlflow.runs import oldest
from orchestrator.records import SweepInfo


def summaries(client: MlflowClient, experiment: str, sweep: SweepInfo) -> list[Run]:
    """The sweep's summary run under its profile; more than one only where a connection broke."""
    # Few, and matched here: MLflow's queries know no way to quote every name.
    found = client.search_runs([experiment], "tags.`orch.kind` = 'summary'", max_results=1000)
    return [run for run in found if run.data.tags.get("orch.profile") == (sweep.profile or "none")]


def publish(
    client: MlflowClient,
    experiment: str,
    sweep: SweepInfo,
    *,
    files: Mapping[str, bytes],
    content: str,
    artifacts: Artifacts,
) -> None:
    """Keep the sweep's files in its summary run."""
    found = summaries(client, experiment, sweep)
    if not found:
        profile = sweep.profile or "none"
        tags = {"orch.kind": "summary", "orch.sweep": sweep.name, "orch.profile": profile}
        named = f"summary · {profile}" if sweep.profile else "summary"
        made = client.create_run(
            experiment,
            tags=tags,
            run_name=named,
        )
        found = [made, *summaries(client, experiment, sweep)]
    info = oldest(client, found).info
    artifacts.keep(info.artifact_uri, files)
    notes = [text.decode() for name, text in files.items() if name.endswith(".md")]
    client.set_tag(info.run_id, "mlflow.note.content", "\n\n".join(notes))  # shown on the run's page
    client.set_tag(info.run_id, "orch.code_version", sweep.provenance.code_version)
    client.set_terminated(info.run_id)
    client.set_tag(info.run_id, "orch.content", content)
