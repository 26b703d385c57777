"""A tracking server or a database that MLflow opens by its address, as it does those of its plug-ins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import UsageError
from orchestrator.process.secrets import without_secret
from orchestrator.recording.stores.base import StoreAddress, scheme_of

if TYPE_CHECKING:
    from orchestrator.recording.store_port import DriverRegistry, Store

JOURNALS = "journal"
"""In the home folder."""
FORMS = ("http://127.0.0.1:5000", "postgresql://user@host/database")
SERVERS = ("http", "https")
OTHERS = ("databricks", "file", "mssql", "mysql", "postgresql")
PLUG_INS = "mlflow.tracking_store"
"""Entry points of other packages, whose names are schemes."""


def takes(address: str) -> bool:
    """Whether MLflow knows its scheme."""
    if "://" not in address:
        return address == "databricks"
    from importlib.metadata import entry_points  # slow, as all that is imported below

    scheme = scheme_of(address)
    return scheme in SERVERS + OTHERS or scheme in entry_points(group=PLUG_INS).names


def at(address: str, source: str, *, home: Path) -> StoreAddress:
    """What is at that address."""
    from orchestrator.recording.mlflow import set_defaults

    set_defaults()  # now: what is set in another thread while a trial runs here is put back after it
    name, scheme = without_secret(address), scheme_of(address)

    def opened() -> Store:
        from orchestrator.recording.journal.finished import FinishedTrials
        from orchestrator.recording.mlflow.store import MlflowStore

        known = FinishedTrials(home / JOURNALS, store=name, writes=False)
        return MlflowStore(address, runs=known.runs)

    def for_mlflow(*, writes: bool) -> str:
        from urllib.parse import urlsplit
        from urllib.request import url2pathname

        if not writes and scheme == "file" and not Path(url2pathname(urlsplit(address).path)).is_dir():
            raise UsageError(f"{name}: no such folder; name one that is there")  # MLflow would make it
        return address

    return StoreAddress(
        address,
        name,
        opened,
        opened,
        for_mlflow,
        registry=lambda: registry_at(address),
        pages=name if scheme in SERVERS else None,
        may_be_away=True,
    )


def registry_at(address: str) -> DriverRegistry:
    """Where drivers leave notes in the store that MLflow opens by that address."""
    from orchestrator.recording.mlflow.registry import MlflowRegistry

    return MlflowRegistry(address)
