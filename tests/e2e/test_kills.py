"""A sweep that is killed again and again ends in the table of an undisturbed one. Takes minutes: slow."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SWEEP = [sys.executable, "-m", "orchestrator.cli", "sweep", str(ROOT / "sweeps" / "smoke.yaml")]
SETTINGS = ["--set", "epochs=12"]
KILLS = 8


def started(folder: Path, *words: str) -> subprocess.Popen[str]:
    """A driver that tells its events."""
    command = [*SWEEP, *SETTINGS, "--json", *words]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def killed_once(folder: Path, rng: random.Random) -> tuple[bool, int]:
    """Run the sweep and kill its driver, or a worker of it, at some moment.

    Returns whether it came to its end all the same, and how many trials it finished.
    """
    driver = started(folder)
    events: list[dict[str, object]] = []

    def listen() -> None:
        assert driver.stdout is not None
        for line in driver.stdout:
            with contextlib.suppress(json.JSONDecodeError):  # the last line may be cut off
                events.append(json.loads(line))

    listener = threading.Thread(target=listen)
    listener.start()
    deadline = time.monotonic() + 90
    while not events and driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(rng.uniform(0, 6))
    workers = [str(e["worker"]) for e in events if e["event"] == "started"]
    if workers and rng.random() < 0.4:
        pid = int(workers[-1].rpartition(":")[2])
        with contextlib.suppress(ProcessLookupError):  # its trial is done and so is it
            os.kill(pid, signal.SIGKILL)
        time.sleep(rng.uniform(1, 6))
    if driver.poll() is None:
        driver.kill()
    driver.wait(timeout=60)
    listener.join(timeout=60)
    assert driver.stdout is not None
    driver.stdout.close()
    return driver.returncode == 0, sum(e["event"] == "finished" for e in events)


@pytest.mark.slow
def test_a_sweep_that_is_killed_again_and_again_ends_in_the_table_of_an_undisturbed_one(
    tmp_path: Path,
) -> None:
    places = [tmp_path / name for name in ("killed", "undisturbed")]
    for place in places:
        place.mkdir()
    rng, finished = random.Random(0), 0
    for _ in range(KILLS):
        over, number = killed_once(places[0], rng)
        finished += number
        if over:
            break
    tables = []
    for place in places:
        last = started(place)
        out, _ = last.communicate(timeout=300)
        assert last.returncode == 0
        events = [json.loads(line) for line in out.splitlines()]
        if place is places[0]:
            finished += sum(e["event"] == "finished" for e in events)
        table = events[-1]
        tables.append({key: value for key, value in table.items() if key != "notes"})
    assert tables[0] == tables[1]
    # Each trial is one run, none is left running, and none that was told as finished was trained again.
    with sqlite3.connect(places[0] / "runs" / "mlflow.db") as database:
        trials = "SELECT run_uuid FROM tags WHERE key = 'orch.kind' AND value = 'trial'"
        states = database.execute(f"SELECT status FROM runs WHERE run_uuid IN ({trials})").fetchall()
    assert states == [("FINISHED",)] * 8
    assert finished <= 8
