"""What an SQLite store seems to hold, in a few milliseconds: MLflow takes seconds to open one."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

VIEW = "orch"
"""MLflow's pages show runs as our view says where their address has `viewStateShareKey` with this name."""
WAIT_S = 0.2  # somebody may be writing
_SWEEPS = """
    select name, experiment_id from experiments where lifecycle_stage = 'active' and name != 'orch drivers'
    order by experiment_id desc
"""


_VIEWS = """
    select name from experiments join experiment_tags using (experiment_id)
    where key = 'mlflow.sharedViewState.' || ?
"""
_FILES = "select artifact_uri from runs where artifact_uri like 'file:%'"


def folders_of_files(database: Path) -> Counter[Path]:
    """The folders that have the files of runs, as the store says, and of how many runs."""
    found = (url2pathname(urlsplit(address).path) for (address,) in _asked(database, _FILES) or ())
    # Each has <experiment>/<run>/artifacts below.
    return Counter(Path(one).parents[2] for one in found if len(Path(one).parts) > 3)


def sweeps_at_a_glance(database: Path) -> dict[str, str]:
    """Ids of experiments by the names of their sweeps, the newest first; empty if that cannot be told."""
    return dict(_asked(database, _SWEEPS) or ())


def views_at_a_glance(database: Path) -> frozenset[str]:
    """Names of the sweeps whose experiments say how their runs are shown; older ones do not."""
    return frozenset(name for (name,) in _asked(database, _VIEWS, VIEW) or ())


def _asked(database: Path, query: str, *values: str) -> list[Any] | None:
    address = f"{database.resolve().as_uri()}?mode=ro"
    try:
        if not database.exists():
            return []
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=WAIT_S)) as base:
            return base.execute(query, values).fetchall()
    except (OSError, sqlite3.Error):
        return None
