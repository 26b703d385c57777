"""What an SQLite store seems to hold, in a few milliseconds: MLflow takes seconds to open one."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from orchestrator.records import FINAL

WAIT_S = 0.2  # somebody may be writing
_DONE = """
    select trial.value from tags as trial join tags as status using (run_uuid) join runs using (run_uuid)
    where trial.key = 'orch.trial_id' and status.key = 'orch.status' and lifecycle_stage = 'active'
      and status.value in ({})
"""


def done_at_a_glance(database: Path) -> frozenset[str] | None:
    """Ids of the trials that seem to be done; None if that cannot be told.

    Only good for a guess: the tables are MLflow's own, and a journal may know better.
    """
    query = _DONE.format(", ".join("?" * len(FINAL)))
    address = f"{database.resolve().as_uri()}?mode=ro"
    try:
        if not database.exists():
            return frozenset()
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=WAIT_S)) as base:
            return frozenset(name for (name,) in base.execute(query, sorted(FINAL)))
    except (OSError, sqlite3.Error):
        return None
