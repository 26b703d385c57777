"""Fills a store: copies of a run's rows in MLflow's tables, each for another trial."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Sequence
from pathlib import Path

TABLES = ("runs", "tags", "params", "metrics", "latest_metrics")


def clone(database: Path, pattern: str, names: Sequence[str]) -> None:
    """Copy a trial's rows for each of the other names."""
    with sqlite3.connect(database) as base:
        query = "SELECT run_uuid FROM tags WHERE key = 'orch.trial_id' AND value = ?"
        old = base.execute(query, (pattern,)).fetchone()[0]
        base.execute("CREATE TEMP TABLE copies (run TEXT, trial TEXT)")
        base.executemany("INSERT INTO copies VALUES (?, ?)", [(uuid.uuid4().hex, name) for name in names])
        for table in TABLES:
            columns = [row[1] for row in base.execute(f"PRAGMA table_info({table})")]
            taken = ["copies.run" if column == "run_uuid" else f"old.{column}" for column in columns]
            if table == "tags":
                trial = "CASE WHEN old.key = 'orch.trial_id' THEN copies.trial ELSE old.value END"
                taken[columns.index("value")] = trial
            base.execute(
                f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(taken)} "
                f"FROM copies, {table} AS old WHERE old.run_uuid = ?",
                (old,),
            )
    base.close()
