"""How long an answer takes: statistics of a table of 100 cells; a table and a report of 10 000 trials.

    python benchmarks/answer_speed.py

All is made of records that are there already: what reading them from a store costs is reading_speed.py's.
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
from orchestrator.answer.report.chapter import DRAWN, chapter, drawn_trials
from orchestrator.answer.report.page import page
from orchestrator.answer.tables import tabulate
from orchestrator.planning.expand import Expansion
from orchestrator.records import Curves, TrialRecord

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


def spectra(seed: int) -> Curves:
    """Curves of a trial of 100 epochs with 128 eigenvalues at 20 of them."""
    values = np.random.default_rng(seed).random((20, 128))
    loss = tuple((epoch, 1.0 / (1 + epoch)) for epoch in range(100))
    return Curves(
        metrics={"train/loss": loss},
        spectra_epochs=tuple(range(0, 100, 5)),
        spectra={"F": values, "Wp": values},
    )


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
    there, wide = records(large), large.spec.tables[0]
    print("1000 cells × 10 seeds, table written:", seconds(lambda: str(tabulate(large, wide, there))))
    ids = set(drawn_trials(large))
    curves = {one.id: spectra(one.seed) for one in large.trials if one.id in ids}

    def report() -> str:
        problems: list[str] = []
        made = publish.tables(large, there, problems)
        told = chapter(
            large, there, curves, tables=made, problems=problems, anchor="large", command="orch sweep"
        )
        return page([told], version="0")

    size = f"{len(report().encode()) / 1e6:.1f} MB"
    print(f"1000 cells × 10 seeds, report with spectra of {DRAWN} cells:", seconds(report), size)


if __name__ == "__main__":
    main()
