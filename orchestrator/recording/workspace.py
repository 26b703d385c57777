"""Where a command works: folders and the store. Reads the environment.

Precedence everywhere: flag, environment, default.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from orchestrator.errors import StoreError, UsageError
from orchestrator.process.command import SUBMITTED, typed_command
from orchestrator.process.secrets import without_secret
from orchestrator.process.streams import to_stderr
from orchestrator.recording import stores
from orchestrator.recording.journal.finished import FinishedTrials
from orchestrator.recording.journal.store import JournaledStore
from orchestrator.recording.journal.whole import WholeEncoders
from orchestrator.recording.logs import log_path
from orchestrator.recording.memory import MemoryStore
from orchestrator.recording.store_port import CannotTell, Store
from orchestrator.recording.stores.base import StoreAddress
from orchestrator.recording.stores.sqlite import make_folder
from orchestrator.recording.stores.tracking import JOURNALS
from trainers.attempt.folders import Folder, S3Folder

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_BUCKET = re.compile(r"[A-Za-z0-9._-]{3,255}")
LONGEST_FOLDER = 3500
"""Bytes of the path of a folder: what is in it has 4096."""
VARIABLE = "MLFLOW_TRACKING_URI"
Say = Callable[[str], None]


class Workspace(NamedTuple):
    """Folders and addresses of one command."""

    home: Path
    """Folder of everything that orch writes on this machine."""
    store_at: StoreAddress
    """Which store it is; nothing of it is opened yet."""
    store_from: str
    """Which of flag, environment and default names it."""
    data_root: Path
    """Folder of data sets, resolved here: a worker may have another working folder and environment."""
    checkpoints_at: str | None = None
    """Where checkpoints lie, as flag or environment say it; None: in the home folder."""

    @property
    def checkpoints(self) -> Folder:
        """Folder of checkpoints, in it one folder per trial id; a store that ends has one that ends with it.

        Raises:
            UsageError: what flag or environment say is no folder.
        """
        return checkpoint_folder(self.checkpoints_at) if self.checkpoints_at else self._beside / "trials"

    @property
    def logs(self) -> Path:
        """Folder of the trials' logs, one file per trial that a driver on this machine has run."""
        return self.home / "logs"

    def log_of(self, trial_id: str) -> Path | None:
        """A trial's log, if it has one on this machine."""
        path = log_path(self.logs, trial_id)
        return path if path.exists() else None

    @property
    def journals(self) -> Path:
        """Folder of what waits to be told to a store, one folder per driver."""
        return self._beside / JOURNALS

    @property
    def claims_in(self) -> Path:
        """Folder of claims: the store's own where its checkpoints are, into which nobody else trains then."""
        return self.home if self.checkpoints_at else self._beside

    @property
    def _beside(self) -> Path:
        """Folder of what is no other store's."""
        return self.store_at.folder or self.home

    def open_store(self, *, say: Say = to_stderr) -> Store:
        """The store to read from; an empty one in memory if it has no file yet. Writes nothing.

        Raises:
            StoreError: it cannot be read, or does not answer.
        """
        at = self.store_at
        if at.only_read is not None:
            return at.to_read()
        if at.file is not None:
            self._check_home()
            if not at.file.exists():
                return MemoryStore(at.name)
        # While a tracking server is away, what this folder knows is better than nothing, if it has something.
        here = FinishedTrials(self.journals, store=at.name, writes=False)
        known = here if at.may_be_away and here.path.exists() else None
        store = JournaledStore(
            at.to_read, root=self.journals, name=at.name, known=known, reader=at.reader(), say=say
        )
        if store.away:
            say(f"orch: {store.away}; shown is what {self.home} knows")
        return store

    def open_journaled(
        self, *, lazily: bool = False, reads: bool = False, say: Say = to_stderr
    ) -> JournaledStore:
        """The store to read from and write to; while a tracking server is away this folder's copy helps.

        A file that is opened `lazily` is opened by what is written first, or by `open`. With `reads` nothing
        may be written.

        Raises:
            StoreError: it cannot be used, or is a file that stays locked.
            UsageError: nobody writes to it, or the home folder cannot be written.
        """
        at = self.store_at
        if not reads and (why := self.unwritable()) is not None:
            raise UsageError(why)
        return JournaledStore(
            at.to_read if reads else at.to_write,
            root=self.journals,
            name=at.name,
            command=typed_command(),
            known=FinishedTrials(self.journals, store=at.name, writes=not reads) if at.may_be_away else None,
            reader=at.reader() if lazily else None,
            say=say,
        )

    def whole_encoders(self, digests: Mapping[str, str]) -> Collection[str]:
        """Trials whose encoders lie beside the store's file and have these digests (sha256); others may, too.

        What was read once, here or by an earlier command, is read again only if it was changed.
        """
        reader = self.store_at.reader() if digests else None
        try:
            files = {} if reader is None else reader.encoder_files(digests)
        except (CannotTell, StoreError):  # then the store itself gives them
            files = {}
        return WholeEncoders(self.journals, store=self.store_at.name).among(files, digests)

    def unwritable(self) -> str | None:
        """Why nothing can be written from here, and what to do instead; else the home folder is made.

        Raises:
            UsageError: it is no folder.
        """
        if self.store_at.only_read is not None:
            return self.store_at.only_read
        self._check_home()
        try:
            make_folder(self.home)
        except UsageError as error:
            return str(error)
        return None

    def _check_home(self) -> None:
        if self.home.exists() and not self.home.is_dir():
            raise UsageError(f"{self.home}: not a folder; choose another with --home")


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
    uri = tracking_uri or os.environ.get(VARIABLE, "").strip()
    source = "--tracking-uri" if tracking_uri else VARIABLE if uri else "default"
    store_at = stores.at(uri, source, home=folder) if uri else stores.in_home(folder)
    if checkpoints:
        checkpoint_folder(str(checkpoints))  # what was typed is told now; most commands need nothing more
    kept = str(checkpoints or "") or os.environ.get("ORCH_CHECKPOINTS") or None
    root = _folder(data or os.environ.get("ORCH_DATA") or "data", "--data" if data else "ORCH_DATA")
    return Workspace(folder, store_at, source, root, kept)


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
