"""An SQLite file as MLflow's store: its address, whatever its path has, and how it is made."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote
from urllib.request import url2pathname

from orchestrator.errors import UsageError


class SqliteFile(NamedTuple):
    """The file of an address of SQLite, and what else the address says."""

    path: Path
    settings: Mapping[str, Any]
    """Of the connection, such as timeout."""


def address_of(file: Path, *, writes: bool = True, settings: Mapping[str, Any] | None = None) -> str:
    """What SQLAlchemy opens for `file`; where it does not write, nothing can be written through it."""
    from sqlalchemy import URL

    # As a file: URI with its driver's name, for MLflow makes the folders of what it takes for a plain path.
    query = {"mode": "rwc"} | dict(settings or {}) | {"uri": "true"} | ({} if writes else {"mode": "ro"})
    made = URL.create("sqlite+pysqlite", database=f"file:{quote(str(file))}", query=query)
    return made.render_as_string(hide_password=False)


def file_at(address: str) -> SqliteFile | None:
    """The file that a person's address of SQLite names, from the root; None: it is in memory, or is none."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(address)
    except ArgumentError:  # MLflow says what is wrong with it
        return None
    named, settings = url.database or "", dict(url.query)
    if str(settings.pop("uri", "")).lower() in ("1", "true", "yes", "on", "y", "t"):
        named = url2pathname(re.sub(r"^file:(//(localhost)?(?=/))?", "", named))
    in_memory = named in ("", ":memory:") or settings.get("mode") == "memory"
    if url.drivername not in ("sqlite", "sqlite+pysqlite") or url.host or in_memory:
        return None
    return SqliteFile(Path(named).absolute(), settings)


def make_database(file: Path, *, artifacts: Path) -> None:
    """Make the store's file if it is not there, without the empty experiment that MLflow begins with."""
    from orchestrator.recording.mlflow.store import MlflowStore

    with _alone_in(file.parent):
        if not file.exists():
            # MLflow makes a database in many steps, and cannot go on with a half-made one.
            for left in file.parent.glob(f".{glob.escape(file.name)}*.part*"):
                left.unlink(missing_ok=True)
            # Under a new name: MLflow takes one that this process has seen before for made.
            part = file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}.part")
            try:
                part.touch()
                part.unlink()
            except OSError as error:  # MLflow would try for minutes
                told = f"{file}: cannot be made ({error.strerror}); choose another folder with --home"
                raise UsageError(told) from None
            MlflowStore(address_of(part), artifacts=artifacts, new=True)
            part.replace(file)
            _forget_former(file)


def _forget_former(file: Path) -> None:
    """Close MLflow's connections to a file of this name that has been removed.

    It keeps them for as long as the process lives, and would write to what nobody can read any more. It has
    no public name for them; a version that keeps none has none to close.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import make_url

    name = make_url(address_of(file)).database
    for engine in list(getattr(SqlAlchemyStore, "_engine_map", {}).values()):
        if engine.url.database == name:
            engine.dispose()


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """One process at a time is inside: MLflow makes a new database in steps that two must not mix."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        fcntl.flock(opened, fcntl.LOCK_UN)  # by itself a process forked meanwhile would keep it
        os.close(opened)
