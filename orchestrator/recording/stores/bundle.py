"""A bundle, to read from alone. It is a file that people name by its path, so its ending says what it is."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.process.secrets import without_secret
from orchestrator.recording.stores.base import ENDING, StoreAddress

FORMS = (f"NAME{ENDING}",)


def takes(address: str) -> bool:
    """Whether it is the path of a bundle."""
    return address.endswith(ENDING)


def at(address: str, source: str, *, home: Path) -> StoreAddress:
    """The bundle at that path."""
    from orchestrator.recording.bundle.reading import open_bundle
    from orchestrator.recording.bundle.store import BundleStore, read_only

    path = os.path.abspath(os.path.expanduser(address))

    def opened() -> BundleStore:
        return BundleStore(open_bundle(Path(path)))

    def for_mlflow(*, writes: bool) -> str:
        raise UsageError(
            f"{path}: is a bundle; `orch import {shlex.quote(path)}` puts its results into a store, `orch "
            "report` makes a page of it"
        )

    return StoreAddress(path, without_secret(path), opened, opened, for_mlflow, only_read=read_only(path))
