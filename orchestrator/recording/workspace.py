"""Where a command works: folders, the tracking URI, files, the profile. Reads the environment.

Precedence everywhere: flag, environment, default.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from orchestrator.errors import UsageError
from orchestrator.process.command import SUBMITTED, typed_command
from orchestrator.process.secrets import without_secret
from orchestrator.process.streams import ignoring_closed_pipes
from orchestrator.recording.journal.finished import FinishedTrials
from orchestrator.recording.journal.store import JournaledStore
from orchestrator.recording.logs import log_path
from orchestrator.recording.memory import MemoryStore
from orchestrator.recording.store_port import DriverRegistry, Store
from trainers.attempt.folders import Folder, S3Folder
from trainers.datasets.base import data_folder

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_BUCKET = re.compile(r"[A-Za-z0-9._-]{3,255}")


class Workspace(NamedTuple):
    """Folders and addresses of one command."""

    home: Path
    """Folder of everything that orch writes on this machine."""
    tracking_uri: str
    tracking_from: str
    """Which of flag, environment and default the URI comes from."""
    data_root: Path
    """Folder of data sets, resolved here: a worker may have another working folder and environment."""
    checkpoints_at: str | None = None
    """Where checkpoints lie, as flag or environment say it; None: in the home folder."""

    @property
    def checkpoints(self) -> Folder:
        """Folder of checkpoints, in it one folder per trial id.

        Raises:
            UsageError: what flag or environment say is no folder.
        """
        return checkpoint_folder(self.checkpoints_at) if self.checkpoints_at else self.home / "trials"

    @property
    def logs(self) -> Path:
        """Folder of the trials' logs, one file per trial that a driver on this machine has run."""
        return self.home / "logs"

    def log_of(self, trial_id: str) -> Path | None:
        """A trial's log, if it has one on this machine."""
        path = log_path(self.logs, trial_id)
        return path if path.exists() else None

    @property
    def database(self) -> Path | None:
        """The SQLite file, if the store is one."""
        prefix = "sqlite:///"
        return Path(self.tracking_uri[len(prefix) :]) if self.tracking_uri.startswith(prefix) else None

    @property
    def journals(self) -> Path:
        """Folder of what waits to be told to a store, one folder per driver."""
        return self.home / "journal"

    def open_store(self) -> Store:
        """The store to read from; an empty one in memory if it has no file yet."""
        if self.database is not None:
            self._check_home()
            if not self.database.exists():
                return MemoryStore(self.tracking_uri)
            _writable(self.database.parent)
        name = without_secret(self.tracking_uri)
        # While a tracking server is away, what this folder knows is better than nothing, if it has something.
        known = FinishedTrials(self.journals, store=name, writes=False) if self.database is None else None
        if known is not None and not known.path.exists():
            known = None
        store = JournaledStore(self._connect, root=self.journals, name=name, known=known)
        if store.away:
            with ignoring_closed_pipes():
                print(f"orch: {store.away}; shown is what {self.home} knows", file=sys.stderr)
        return store

    def open_journaled(self) -> JournaledStore:
        """The store to read from and write to; while a tracking server is away this folder's copy helps."""
        self.check_writable()
        name = without_secret(self.tracking_uri)
        return JournaledStore(
            self._connect,
            root=self.journals,
            name=name,
            command=typed_command(),
            known=FinishedTrials(self.journals, store=name) if self.database is None else None,
        )

    def registry(self) -> DriverRegistry | None:
        """Where drivers of other home folders leave notes; None if the store is this folder's alone."""
        if self.tracking_from == "default":
            return None
        from orchestrator.recording.mlflow.registry import MlflowRegistry

        return MlflowRegistry(self.tracking_uri)

    def check_writable(self) -> None:
        """Make the home folder, if it is not there.

        Raises:
            UsageError: it cannot be written.
        """
        self._check_home()
        _writable(self.home)

    def _check_home(self) -> None:
        if self.home.exists() and not self.home.is_dir():
            raise UsageError(f"{self.home}: not a folder; choose another with --home")

    def _connect(self) -> Store:
        # MLflow takes a second and a half to import, and a plan before the first run needs none of it.
        from orchestrator.recording.mlflow.store import MlflowStore

        if self.database is None:
            return MlflowStore(self.tracking_uri)
        _writable(self.database.parent)
        with _alone_in(self.database.parent):
            if not self.database.exists():
                # MLflow makes a database in many steps, and cannot go on with a half-made one.
                part = self.database.with_name(f".{self.database.name}.part")
                part.unlink(missing_ok=True)
                MlflowStore(f"sqlite:///{part}", artifacts=self.home / "artifacts")
                part.replace(self.database)
            return MlflowStore(self.tracking_uri, artifacts=self.home / "artifacts")


def workspace(
    home: str | Path | None,
    tracking_uri: str | None,
    data: str | Path | None,
    *,
    checkpoints: str | Path | None = None,
) -> Workspace:
    """The workspace that flags and environment name.

    Raises:
        UsageError: what they name cannot be, or is relative to a working folder that was removed.
    """
    named = home or os.environ.get("ORCH_HOME")
    if not named and os.environ.get(SUBMITTED):
        raise UsageError(
            "a submitted sweep would keep its results in a folder that Ray removes; set ORCH_HOME in the "
            "environment of `ray start --head`, or submit with --home"
        )
    folder, data_root = _resolved(Path(named or "runs").expanduser()), _resolved(data_folder(data))
    if tracking_uri:
        uri, source = tracking_uri, "--tracking-uri"
    elif os.environ.get("MLFLOW_TRACKING_URI"):
        uri, source = os.environ["MLFLOW_TRACKING_URI"], "MLFLOW_TRACKING_URI"
    else:
        uri, source = f"sqlite:///{folder / 'mlflow.db'}", "default"
    if checkpoints:
        checkpoint_folder(str(checkpoints))  # what was typed is told now; most commands need nothing more
    kept = str(checkpoints or "") or os.environ.get("ORCH_CHECKPOINTS") or None
    return Workspace(folder, uri, source, data_root, kept)


def checkpoint_folder(text: str) -> Folder:
    """The folder of checkpoints that `text` names: a path, or s3://bucket/prefix.

    Raises:
        UsageError: it is neither, or holds what belongs into the environment.
    """
    scheme, sign, address = text.partition(":/")
    if not sign and text.lower().startswith("s3:"):
        raise UsageError("checkpoints: expected s3://bucket/prefix, with two strokes after the colon")
    if not sign or not _SCHEME.fullmatch(scheme):
        return _resolved(Path(text).expanduser())
    bucket, _, prefix = address.lstrip("/").partition("/")
    if "@" in bucket or ":" in bucket:  # perhaps a secret, which must not be shown
        raise UsageError(
            "checkpoints: expected a folder or s3://bucket/prefix, without credentials or port: keys belong "
            "in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a server's address in AWS_ENDPOINT_URL"
        )
    shown = without_secret(text)
    if scheme.lower() != "s3":
        raise UsageError(f"checkpoints at {shown}: expected a folder or s3://bucket/prefix, not '{scheme}:'")
    if "?" in address:
        raise UsageError(f"checkpoints at {shown}: expected no '?'; settings of S3 are AWS_... variables")
    if not _BUCKET.fullmatch(bucket):
        raise UsageError(f"checkpoints at {shown}: '{bucket}' names no bucket; expected s3://bucket/prefix")
    return S3Folder(bucket, "/".join(part for part in prefix.split("/") if part))


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except FileNotFoundError:  # not the path's: it need not be there
        raise UsageError(
            f"{path}: the working folder was removed; change to one that is there, and run the same command "
            "again"
        ) from None


def _writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}; choose another folder with --home") from None
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{folder}: cannot be written; choose another folder with --home")


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """One process at a time is inside: MLflow makes a new database in steps that two must not mix."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        fcntl.flock(opened, fcntl.LOCK_UN)  # by itself a fork of this process would keep it
        os.close(opened)
