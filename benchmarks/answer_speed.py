"""How long an answer takes: statistics of a table of 100 cells, and a report of 10 000 trials with its size.

python benchmarks/answer_speed.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from benchmarks_machine import machine

from orchestrator import Sweep
from orchestrator.answer import publish
from orchestrator.answer.comparison.cells import compare
from orchestrator.answer.report.chapter import chapter
from orchestrator.answer.report.page import page
from orchestrator.answer.tables import tabulate
from orchestrator.planning.expand import Expansion
from orchestrator.records import TrialRecord

BASE = {"trainer": "ssl", "method": "byol", "data": "digits", "encoder": "mlp"}
REPEATS = 3


def grid(rows: int, columns: int, seeds: int) -> Expansion:
    """Cells of two axes, with a table of them all."""
    axes = {
        "lr": {"path": "optimizer.lr", "values": [0.001 * (i + 1) for i in range(rows)]},
        "decay": {"path": "optimizer.weight_decay", "values": [1e-5 * (i + 1) for i in range(columns)]},
    }
    table = {"name": "all", "rows": "lr", "columns": "decay", "best": "highest"}
    table["baseline"] = {"lr": 0.001, "decay": 1e-5}
    spec: dict[str, Any] = {"version": 1, "name": "large", "base": BASE, "axes": axes, "seeds": seeds}
    return Sweep(spec | {"tables": [table]}).expansion


def records(made: Expansion) -> dict[str, TrialRecord]:
    """A number for every trial."""
    draws = np.random.default_rng(0).normal(0.5, 0.02, len(made.trials))
    return {
        one.id: TrialRecord(trial_id=one.id, status="completed", metrics={"probe/top1": float(value)})
        for one, value in zip(made.trials, draws, strict=True)
    }


def seconds(call: Callable[[], object]) -> str:
    """Median seconds of a core and of the wall over several calls, the first (cold) one left out."""
    wall, cpu = [], []
    for _ in range(REPEATS + 1):
        started, used = time.perf_counter(), time.process_time()
        call()
        wall.append(time.perf_counter() - started)
        cpu.append(time.process_time() - used)
    middle = statistics.median(wall[1:])
    return f"{statistics.median(cpu[1:]):.2f} s of a core, {middle:.2f} s in all (n = {REPEATS})"


def main() -> None:
    print(machine())
    small = grid(10, 10, 10)
    known, spec = records(small), small.spec.tables[0]
    print("100 cells × 10 seeds, table with its best marked:", seconds(lambda: tabulate(small, spec, known)))
    print(
        "100 cells × 10 seeds, compared with one:",
        seconds(lambda: compare(small, known, "lr=0.001,decay=1e-05")),
    )
    large = grid(40, 25, 10)
    there = records(large)

    def report() -> str:
        problems: list[str] = []
        made = publish.tables(large, there, problems)
        told = chapter(large, there, {}, tables=made, problems=problems, anchor="large", command="orch sweep")
        return page([told], version="0")

    print("1000 cells × 10 seeds, report:", seconds(report), f"{len(report().encode()) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
