"""Where a command works: folders, the tracking URI, files, the profile. Reads the environment.

Precedence everywhere: flag, environment, default.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.errors import UsageError
from orchestrator.process.command import SUBMITTED, typed_command
from orchestrator.process.secrets import without_secret
from orchestrator.process.streams import to_stderr
from orchestrator.recording.bundle.layout import is_bundle
from orchestrator.recording.bundle.reading import open_bundle
from orchestrator.recording.bundle.store import BundleStore, read_only
from orchestrator.recording.journal.finished import FinishedTrials
from orchestrator.recording.journal.store import JournaledStore
from orchestrator.recording.logs import log_path
from orchestrator.recording.memory import MemoryStore
from orchestrator.recording.mlflow import set_defaults
from orchestrator.recording.mlflow.reader import SqliteReader, may_write
from orchestrator.recording.store_address import SQLITE, tracking_address
from orchestrator.recording.store_port import DriverRegistry, Reader, Store
from trainers.attempt.folders import Folder, S3Folder

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_BUCKET = re.compile(r"[A-Za-z0-9._-]{3,255}")
DATABASE, ARTIFACTS = "mlflow.db", "artifacts"
"""In the home folder, where no other store is named."""
LONGEST_FILE, LONGEST_FOLDER = 480, 3500
"""Bytes of the path of SQLite's file, where 512 is the end, and of a folder: what is in it has 4096."""
Say = Callable[[str], None]

if TYPE_CHECKING:
    from orchestrator.recording.mlflow.database import SqliteFile


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
        if self.tracking_from == "default":
            return self.home / DATABASE
        found = self._named_file
        return found.path if found else None

    @property
    def _named_file(self) -> SqliteFile | None:
        """The SQLite file that flag or environment name."""
        if self.tracking_from == "default" or not self.tracking_uri.startswith(SQLITE):
            return None
        from orchestrator.recording.mlflow.database import file_at

        return file_at(self.tracking_uri)

    def address(self, *, writes: bool = True) -> str:
        """What MLflow opens; a file is opened to read alone where nobody writes."""
        if self.database is None:
            return self.tracking_uri
        from orchestrator.recording.mlflow.database import address_of

        named = self._named_file
        return address_of(self.database, writes=writes, settings=named.settings if named else None)

    @property
    def store_name(self) -> str:
        """The store in messages, and in the journals that are for it: one name, however it was written."""
        return f"sqlite:///{self.database}" if self.database else without_secret(self.tracking_uri)

    @property
    def journals(self) -> Path:
        """Folder of what waits to be told to a store, one folder per driver."""
        return self.home / "journal"

    def open_store(self, *, say: Say = to_stderr) -> Store:
        """The store to read from; an empty one in memory if it has no file yet. Writes nothing.

        Raises:
            StoreError: it cannot be read, or does not answer.
        """
        if is_bundle(self.tracking_uri):
            return BundleStore(open_bundle(Path(self.tracking_uri)))
        if self.database is not None:
            self._check_home()
            if not self.database.exists():
                return MemoryStore(self.store_name)
        # While a tracking server is away, what this folder knows is better than nothing, if it has something.
        here = FinishedTrials(self.journals, store=self.store_name, writes=False)
        known = here if self.database is None and here.path.exists() else None
        name, reader, connect = self.store_name, self._reader(), self._connect_to_read
        store = JournaledStore(connect, root=self.journals, name=name, known=known, reader=reader, say=say)
        if store.away:
            say(f"orch: {store.away}; shown is what {self.home} knows")
        return store

    def open_journaled(self, *, lazily: bool = False, say: Say = to_stderr) -> JournaledStore:
        """The store to read from and write to; while a tracking server is away this folder's copy helps.

        A file that is opened `lazily` is opened by what is written first, or by `open`.

        Raises:
            StoreError: it cannot be used, or is a file that stays locked.
        """
        if is_bundle(self.tracking_uri):
            raise UsageError(read_only(self.tracking_uri))
        self.check_writable()
        set_defaults()  # now: what is set in another thread while a trial runs here is put back after it
        return JournaledStore(
            self._connect,
            root=self.journals,
            name=self.store_name,
            command=typed_command(),
            known=FinishedTrials(self.journals, store=self.store_name) if self.database is None else None,
            reader=self._reader() if lazily else None,
            say=say,
        )

    def registry(self) -> DriverRegistry | None:
        """Where drivers of other home folders leave notes; None if the store is this folder's alone."""
        if self.tracking_from == "default" or is_bundle(self.tracking_uri):
            return None
        from orchestrator.recording.mlflow.registry import MlflowRegistry

        return MlflowRegistry(self.address())

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
        from orchestrator.recording.mlflow.database import make_database

        if (file := self.database) is not None:
            _writable(file.parent)
            make_database(file, artifacts=self.home / ARTIFACTS)
        return self._mlflow(writes=True)

    def _connect_to_read(self) -> Store:
        return self._mlflow(writes=self.database is not None and may_write(self.database))

    def _mlflow(self, *, writes: bool) -> Store:
        from orchestrator.recording.mlflow.store import MlflowStore

        if (file := self.database) is None:
            return MlflowStore(self.tracking_uri)
        address, own = self.address(writes=writes), file == self.home / DATABASE
        return MlflowStore(address, name=self.store_name, artifacts=self.home / ARTIFACTS, movable=own)

    def _reader(self) -> Reader | None:
        """Reads the store without MLflow, if it is a file whose address says nothing else."""
        plain = not (self._named_file and self._named_file.settings)
        return SqliteReader(self.database, name=self.store_name) if plain and self.database else None


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
    folder = _folder(named or "runs", "--home" if home else "ORCH_HOME")
    if tracking_uri:
        uri, source = tracking_address(tracking_uri, "--tracking-uri"), "--tracking-uri"
    elif os.environ.get("MLFLOW_TRACKING_URI", "").strip():
        source = "MLFLOW_TRACKING_URI"
        uri = tracking_address(os.environ[source], source)
    else:
        uri, source = f"sqlite:///{folder / DATABASE}", "default"
    if checkpoints:
        checkpoint_folder(str(checkpoints))  # what was typed is told now; most commands need nothing more
    kept = str(checkpoints or "") or os.environ.get("ORCH_CHECKPOINTS") or None
    root = _folder(data or os.environ.get("ORCH_DATA") or "data", "--data" if data else "ORCH_DATA")
    space = Workspace(folder, uri, source, root, kept)
    if (file := space.database) is not None and len(os.fsencode(file)) > LONGEST_FILE:
        flag = "--home" if source == "default" else "--tracking-uri"
        raise UsageError(
            f"{str(file)[:60]}...: SQLite takes paths of at most {LONGEST_FILE} bytes, this has "
            f"{len(os.fsencode(file))}; choose another place with {flag}"
        )
    return space


def checkpoint_folder(text: str) -> Folder:
    """The folder of checkpoints that `text` names: a path, or s3://bucket/prefix.

    Raises:
        UsageError: it is neither, or holds what belongs into the environment.
    """
    scheme, sign, address = text.partition(":/")
    if not sign and text.lower().startswith("s3:"):
        raise UsageError("checkpoints: expected s3://bucket/prefix, with two strokes after the colon")
    if not sign or not _SCHEME.fullmatch(scheme):
        return _folder(text, "checkpoints at")
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


def _folder(text: str | Path, source: str) -> Path:
    """The folder that `text` names, from the root; `source` is the flag or variable that has it.

    Raises:
        UsageError: no folder can have that name, or it begins with the home of a user that nobody knows.
    """
    try:
        folder = Path(text).expanduser().resolve()
        folder.exists()
        if len(os.fsencode(folder)) > LONGEST_FOLDER:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    except RuntimeError:
        raise UsageError(
            f"{source} {text}: no such user, or one without a home folder; write the path from the root, /..."
        ) from None
    except FileNotFoundError:  # not the path's: it need not be there
        raise UsageError(
            f"{text}: the working folder was removed; change to one that is there, and run the same command "
            "again"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{source} {str(text)[:60]!r}...: {reason}; choose another folder") from None
    return folder


def _writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}; choose another folder with --home") from None
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{folder}: cannot be written; choose another folder with --home")
