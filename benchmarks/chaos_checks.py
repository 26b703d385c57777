"""What must hold of a sweep however it is killed: while it runs, and of what it leaves in the end."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from orchestrator.commands.request import Request
from orchestrator.errors import StoreError
from orchestrator.execution.run import plan_sweep
from orchestrator.records import FINAL

EVERY_S = 4.0
Row = tuple[str, str, int, str]  # trial, metric, epoch, value


class Progress(threading.Thread):
    """Looks at a sweep again and again, as `orch status` does, and notes whatever went backwards."""

    def __init__(self, file: Path, home: Path, uri: str) -> None:
        super().__init__(name="progress", daemon=True)
        self.seeds = 1
        self.done: set[str] = set()
        self.falls: list[str] = []
        """What went backwards, a line each."""
        self.queries = self.unanswered = 0
        self.epochs: dict[str, int] = {}
        """The newest checkpoint seen of each trial."""
        self._file, self._home, self._uri = file, home, uri
        self._stopping = threading.Event()

    def told(self, event: dict[str, Any]) -> None:
        """A driver said that something happened to a trial."""
        if event["event"] == "started" and event["trial"] in self.done:
            self.falls.append(f"trial {event['trial']} was started although its result had been told")
        if event["event"] == "finished" and event["status"] in FINAL:
            self.done.add(event["trial"])

    def stop(self) -> None:
        """Look once more and end."""
        self._stopping.set()
        self.join()

    def run(self) -> None:
        """Look until stopped."""
        last = False
        while not last:
            last = self._stopping.wait(EVERY_S)
            self._look()

    def _look(self) -> None:
        there = self._checkpoints()
        for trial, epoch in there.items():
            if epoch < self.epochs.get(trial, 0):
                self.falls.append(f"trial {trial}: checkpoint of epoch {epoch} after {self.epochs[trial]}")
            self.epochs[trial] = max(epoch, self.epochs.get(trial, 0))
        gone = self.epochs.keys() - there.keys()
        done_before = set(self.done)  # told before the store is asked, which must know them
        request = Request(self._file, seeds=str(self.seeds), home=self._home, tracking_uri=self._uri)
        self.queries += 1
        try:
            plan = plan_sweep(request.expansion, request.space.open_store())
        except StoreError:
            self.unanswered += 1
            return
        done = {trial.id for trial in plan.done}
        self.falls += [f"trial {trial} is not done any more" for trial in sorted(done_before - done)]
        self.falls += [f"trial {trial}: checkpoint gone, no result" for trial in sorted(gone - done)]
        self.done |= done

    def _checkpoints(self) -> dict[str, int]:
        """Each trial's newest checkpoint; looked at again if it seems old: folders change meanwhile."""
        found = _newest(self._home)
        if any(epoch < self.epochs.get(trial, 0) for trial, epoch in found.items()):
            time.sleep(1)
            found = _newest(self._home)
        return found


def _newest(home: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    for path in (home / "trials").glob("*/epoch-*.pt"):
        epoch = int(re.sub(r"\D", "", path.stem))
        found[path.parent.name] = max(epoch, found.get(path.parent.name, 0))
    return found


class Kept(NamedTuple):
    """What a store holds of a sweep in the end."""

    final: set[Row]
    rows: Counter[Row]
    runs: Counter[str]
    """Active runs by trial."""
    states: Counter[str]
    """MLflow's words for how the runs of trials and of the summary ended."""
    summaries: int
    files: dict[str, dict[str, bytes]]
    """Arrays of each trial's curves and spectra."""


RUNS = "FROM runs JOIN tags USING (run_uuid) WHERE lifecycle_stage = 'active' AND key ="


def kept(home: Path) -> Kept:
    """Read from the database and the artifacts themselves, past orch and past MLflow."""
    with contextlib.closing(sqlite3.connect(home / "mlflow.db")) as database:
        trial = dict(database.execute(f"SELECT run_uuid, tags.value {RUNS} 'orch.trial_id'").fetchall())
        results = f"SELECT status {RUNS} 'orch.kind' AND tags.value IN ('trial', 'summary')"
        states = Counter(row[0] for row in database.execute(results))
        kinds = Counter(row[0] for row in database.execute(f"SELECT tags.value {RUNS} 'orch.kind'"))
        read: dict[str, list[Row]] = {}
        for table in ("metrics", "latest_metrics"):
            rows = database.execute(f"SELECT run_uuid, key, step, value, is_nan FROM {table}").fetchall()
            read[table] = [
                (trial[run], key, step, "nan" if is_nan else repr(value))
                for run, key, step, value, is_nan in rows
                if run in trial
            ]
    files = {
        trial[path.parent.parent.name]: _arrays(path)
        for path in (home / "artifacts").rglob("spectra.npz")
        if path.parent.parent.name in trial
    }
    return Kept(
        set(untimed(read["latest_metrics"])),
        Counter(read["metrics"]),
        Counter(trial.values()),
        states,
        kinds["summary"],
        files,
    )


def untimed(rows: list[Row]) -> list[Row]:
    """Those that do not say how long something took."""
    return [row for row in rows if not row[1].startswith("time/")]


def differences(chaos: Kept, calm: Kept) -> dict[str, list[str]]:
    """What is wrong with a disturbed sweep, given the undisturbed one, by the law that it breaks."""
    wrong: dict[str, list[str]] = {}
    wrong["final metrics equal"] = [str(row) for row in sorted(chaos.final ^ calm.final)]
    rows, expected = (Counter(untimed(list(one.rows.elements()))) for one in (chaos, calm))
    wrong["curves equal, each row once"] = [str(row) for row in sorted((rows - expected) + (expected - rows))]
    # Seconds differ, their number does not: an epoch that was trained twice is told once.
    places, wanted = (Counter(row[:3] for row in one.rows.elements()) for one in (chaos, calm))
    wrong["each epoch of each metric once"] = [
        f"{place}: {places[place]} rows, not {wanted[place]}"
        for place in sorted(places.keys() | wanted.keys())
        if places[place] != wanted[place]
    ]
    wrong["curves and spectra files equal"] = [
        trial for trial in sorted(chaos.files.keys() | calm.files.keys())
        if chaos.files.get(trial) != calm.files.get(trial)
    ]  # fmt: skip
    wrong["one active run per trial"] = [
        f"{trial}: {chaos.runs[trial]} runs"
        for trial in sorted(chaos.runs.keys() | calm.runs.keys())
        if chaos.runs[trial] != 1
    ]
    wrong["one summary run"] = [] if chaos.summaries == 1 else [f"{chaos.summaries} summary runs"]
    wrong["no run left open"] = [f"{n} {state}" for state, n in chaos.states.items() if state != "FINISHED"]
    return wrong


def left_over(home: Path) -> dict[str, list[str]]:
    """What should be gone from a home folder once its sweep is complete, by the law that it breaks."""

    def names(folder: str, pattern: str) -> list[str]:
        found = (path.relative_to(home) for path in (home / folder).rglob(pattern))
        return sorted(str(path) for path in found)

    waiting = [name for name in names("journal", "*") if not Path(name).name.startswith("known-")]
    claims = [name for name in names("drivers", "*") if Path(name).name != "lock"]
    return {
        "journal empty": waiting,
        "no checkpoint left": names("trials", "epoch-*"),
        "no claim left": claims,
    }


def _arrays(path: Path) -> dict[str, bytes]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name].tobytes() for name in file.files if not name.startswith("metric/time/")}
