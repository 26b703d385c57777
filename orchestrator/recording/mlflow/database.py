"""An SQLite file as MLflow's store: its address, whatever its path has, and how it is made."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote


def address_of(file: Path, *, writes: bool = True) -> str:
    """What SQLAlchemy opens for `file`; where it does not write, nothing can be written through it."""
    from sqlalchemy import URL

    # As a file: URI with its driver's name, for MLflow makes the folders of what it takes for a plain path.
    query = {"uri": "true", "mode": "rwc" if writes else "ro"}
    made = URL.create("sqlite+pysqlite", database=f"file:{quote(str(file))}", query=query)
    return made.render_as_string(hide_password=False)


def file_at(address: str) -> Path | None:
    """The file that a person's address of SQLite names plainly: without settings, and not in memory."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(address)
    except ArgumentError:  # MLflow says what is wrong with it
        return None
    plain = url.drivername == "sqlite" and not url.query and url.database not in (None, "", ":memory:")
    return Path(str(url.database)).absolute() if plain else None


def make_database(file: Path, *, artifacts: Path) -> None:
    """Make the store's file if it is not there, without the empty experiment that MLflow begins with."""
    from orchestrator.recording.mlflow.store import MlflowStore

    with _alone_in(file.parent):
        if not file.exists():
            # MLflow makes a database in many steps, and cannot go on with a half-made one.
            part = file.with_name(f".{file.name}.part")
            part.unlink(missing_ok=True)
            MlflowStore(address_of(part), artifacts=artifacts, new=True)
            part.replace(file)


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
