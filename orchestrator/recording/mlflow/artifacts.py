"""Files of runs in MLflow: where its database says, or in a home folder that may be moved."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

from mlflow.entities import Run
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.file_utils import local_file_uri_to_path

from orchestrator.errors import StoreRefused
from orchestrator.recording.trial_files import ENCODER, left_encoder, remove_left_encoder
from trainers.attempt.folders import Folder


class Artifacts:
    """The files of every run of one store."""

    def __init__(self, uri: str, *, home: Path | None) -> None:
        """Those of the store at `uri`; all below `home`, unless that is None."""
        self.uri, self.home = uri, home

    def of(self, address: str) -> ArtifactRepository:
        """The files of a run that the store has at `address`."""
        if self.home is not None and address.startswith("file:"):
            # <experiment>/<run>/artifacts: what stands before is where the home lay when the run was made.
            address = self.home.joinpath(*Path(local_file_uri_to_path(address)).parts[-3:]).as_uri()
        return get_artifact_repository(address, tracking_uri=self.uri)

    def has(self, address: str, name: str) -> bool:
        """Whether the run that the store has at `address` has a file of that name."""
        return name in {item.path for item in self.of(address).list_artifacts()}

    def read(self, address: str, name: str) -> bytes | None:
        """A file of the run that the store has at `address`; None if there is none of that name."""
        if not self.has(address, name):
            return None
        with tempfile.TemporaryDirectory() as folder:
            return Path(self.of(address).download_artifacts(name, folder)).read_bytes()

    def all(self, address: str, wanted: Collection[str] | None = None) -> dict[str, bytes]:
        """Every file, or those wanted, of the run that the store has at `address`, but for an encoder."""
        files = self.of(address)
        names = [one.path for one in files.list_artifacts() if not one.is_dir and one.path != ENCODER]
        names = [name for name in names if wanted is None or name in wanted]
        with tempfile.TemporaryDirectory() as folder:
            return {name: Path(files.download_artifacts(name, folder)).read_bytes() for name in names}

    def keep(self, address: str, files: Mapping[str, bytes]) -> None:
        """Keep files of the run that the store has at `address`.

        Raises:
            StoreRefused: a file's name is a path.
        """
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                if Path(name).name != name or name.startswith("."):
                    raise StoreRefused(f"file name '{name}': a store takes plain names, no path")
                (Path(folder) / name).write_bytes(content)
            self.of(address).log_artifacts(folder)

    def take_encoder(self, run: Run, folder: Folder, sha256: str) -> dict[str, str]:
        """Move the encoder that a trial has left in `folder` to its run; returns the tags that then say so.

        A run that says it has another is of another result, and keeps that.

        Raises:
            StoreRefused: it is not there any more and was not kept before, or is another file.
        """
        content, tags, address = left_encoder(folder, sha256), {"orch.encoder": sha256}, run.info.artifact_uri
        if run.data.tags.get("orch.encoder", sha256) != sha256:
            tags = {}
        elif content is not None:
            self.keep(address, {ENCODER: content})
        elif not self.has(address, ENCODER):
            raise StoreRefused(f"{folder / ENCODER}: the encoder is not there any more")
        remove_left_encoder(folder)
        return tags
