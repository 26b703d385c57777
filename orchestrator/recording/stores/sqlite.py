"""An SQLite file with MLflow's tables. One in the home folder is the store where no other is named."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import UsageError
from orchestrator.recording.stores import tracking
from orchestrator.recording.stores.base import StoreAddress, scheme_of

if TYPE_CHECKING:
    from orchestrator.recording.store_port import DriverRegistry, FileReader, Store

FORMS = ("sqlite:////folder/mlflow.db",)
DATABASE, ARTIFACTS = "mlflow.db", "artifacts"
"""In the home folder."""
LONGEST = 480
"""Bytes of the path of SQLite's file, where 512 is the end."""


def takes(address: str) -> bool:
    """Whether it is SQLite's."""
    return scheme_of(address) == "sqlite"


def at(address: str, source: str, *, home: Path) -> StoreAddress:
    """The file at that address, or what else SQLite has there, such as a database in memory.

    Raises:
        UsageError: earlier code took settings for a part of its name, or its path is too long.
    """
    from sqlalchemy import URL

    from orchestrator.recording.mlflow.database import file_at

    found = file_at(address)
    if found is None:
        return tracking.at(address, source, home=home)
    odd = Path(address.removeprefix("sqlite:///"))
    if found.settings and odd.is_absolute() and odd.exists() and not found.path.exists():
        raise UsageError(
            f"{source}: {odd} is a store whose settings became a part of its name; rename it to {found.path}"
        )
    # From the root: the next command may be typed elsewhere.
    text = URL.create("sqlite", database=str(found.path), query=found.settings).render_as_string()
    return _at(found.path, text, home, found.settings)


def in_home(home: Path) -> StoreAddress:
    """The file in a home folder.

    Raises:
        UsageError: its path is too long.
    """
    return _at(home / DATABASE, f"sqlite:///{home / DATABASE}", home, {}, own=True)


def make_folder(folder: Path) -> None:
    """Make a folder, if it is not there.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}; choose another folder with --home") from None
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{folder}: cannot be written; choose another folder with --home")


def _at(file: Path, text: str, home: Path, settings: Mapping[str, Any], *, own: bool = False) -> StoreAddress:
    """The store in `file`; `own` if it is this home folder's alone."""
    if (size := len(os.fsencode(file))) > LONGEST:
        raise UsageError(
            f"{str(file)[:60]}...: SQLite takes paths of at most {LONGEST} bytes, this has {size}; choose "
            f"another place with {'--home' if own else '--tracking-uri'}"
        )
    from orchestrator.recording.mlflow import set_defaults

    set_defaults()  # now: what is set in another thread while a trial runs here is put back after it
    name, artifacts = f"sqlite:///{file}", home / ARTIFACTS

    def for_mlflow(*, writes: bool) -> str:
        from orchestrator.recording.mlflow.database import address_of

        return address_of(file, writes=writes, settings=settings)

    def opened(*, writes: bool) -> Store:
        from orchestrator.recording.mlflow.store import MlflowStore

        here = file == home / DATABASE
        return MlflowStore(for_mlflow(writes=writes), name=name, artifacts=artifacts, movable=here)

    def to_read() -> Store:
        from orchestrator.recording.mlflow.reader import may_write

        return opened(writes=may_write(file))

    def to_write() -> Store:
        from orchestrator.recording.mlflow.database import make_database

        make_folder(file.parent)
        make_database(file, artifacts=artifacts)
        return opened(writes=True)

    def reader() -> FileReader | None:
        from orchestrator.recording.mlflow.reader import SqliteReader

        # Settings are of the connection, which a reader makes for itself.
        return None if settings else SqliteReader(file, name=name)

    def registry() -> DriverRegistry | None:
        return None if own else tracking.registry_at(for_mlflow(writes=True))

    return StoreAddress(text, name, to_read, to_write, for_mlflow, reader, registry, file)
