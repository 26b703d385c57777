"""Notes of drivers as MLflow runs, so that drivers which share nothing but a tracker know of each other."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping

from orchestrator.recording.mlflow.experiments import experiment_id, experiment_ids  # isort: skip
from orchestrator.process.secrets import without_secret
from orchestrator.recording.store_errors import one_line_errors

from mlflow import MlflowClient  # isort: skip
from mlflow.entities import RunTag  # isort: skip

EXPERIMENT = "orch drivers"
_NOTES = "tags.`orch.kind` = 'driver' AND attributes.status = 'RUNNING'"


class MlflowRegistry:
    """One run per driver in an experiment of their own."""

    def __init__(self, uri: str) -> None:
        """Use the tracking store at `uri`; nothing is asked of it yet.

        Raises:
            StoreError: MLflow knows no such store.
        """
        self.uri = uri
        with one_line_errors(f"MLflow at {without_secret(uri)}"):
            self._client = MlflowClient(tracking_uri=uri)

    def register(self, tags: Mapping[str, str]) -> str:
        """Begin this driver's note."""
        with one_line_errors(f"MLflow at {without_secret(self.uri)}"):
            kind = {"orch.kind": "driver", **tags}
            name = tags.get("orch.command", "driver")
            run = self._client.create_run(self._experiment(), tags=kind, run_name=name[:250])
            return str(run.info.run_id)

    def write(self, driver: str, tags: Mapping[str, str]) -> None:
        """Set tags of a driver's note."""
        with one_line_errors(f"MLflow at {without_secret(self.uri)}"):
            self._client.log_batch(driver, tags=[RunTag(name, value) for name, value in tags.items()])

    def read(self) -> dict[str, dict[str, str]]:
        """The notes of all drivers that have not left."""
        with one_line_errors(f"MLflow at {without_secret(self.uri)}"):
            runs = self._client.search_runs([self._experiment()], _NOTES, max_results=1000)
            return {run.info.run_id: dict(run.data.tags) for run in runs}

    def deregister(self, driver: str, *, lost: bool = False) -> None:
        """End a driver's note."""
        with one_line_errors(f"MLflow at {without_secret(self.uri)}"):
            self._client.set_terminated(driver, "KILLED" if lost else "FINISHED")

    def mark_stopped(self, trial_ids: Collection[str]) -> None:
        """Mark these trials as stopped where they are still called running."""
        with one_line_errors(f"MLflow at {without_secret(self.uri)}"):
            experiments = experiment_ids(self._client)
            for trial_id in trial_ids:
                query = f"tags.`orch.trial_id` = '{trial_id}' AND attributes.status = 'RUNNING'"
                for run in self._client.search_runs(experiments, query):
                    self._client.set_terminated(run.info.run_id, "KILLED", int(time.time() * 1000))

    def _experiment(self) -> str:
        return experiment_id(self._client, EXPERIMENT)
