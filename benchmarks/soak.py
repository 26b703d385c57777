"""A long sweep of tiny trials through `orch sweep`: does the driver's memory stay flat, is every row there?

    python benchmarks/soak.py [--trials 2400] [--epochs 20] [--images 3072] [--home FOLDER] [--plot soak.png]

Starts the command as a user would, reads the events it prints, and measures the driver's resident memory
every ten seconds. At the end it counts what MLflow's database and the home folder hold and compares each
number with the one that follows from the events. Exits with 1 if a number is wrong or the memory grew.

    growth = mean memory over the last tenth of the run - mean over the second tenth
    growth per trial = growth / trials done in between
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
from benchmarks_machine import machine

SWEEP = """
version: 1
name: soak
base:
  trainer: ssl
  method: {{name: byol, predictor: {{hidden: 16}}}}
  data: {{name: shapes, size: 8, train: {images}, test: 64}}
  encoder: {{name: mlp, widths: [32]}}
  projector: {{hidden: [32], output: 16}}
  batch_size: 64
  epochs: {epochs}
  probe: {{epochs: 2}}
  knn: {{k: 5}}
axes:
  ema:
    EMA: {{method.momentum: 0.9}}
    No EMA: {{method.momentum: 0.0}}
  predictor:
    symmetric: {{method.predictor.symmetric: true}}
    regular: {{method.predictor.symmetric: false}}
seeds: {seeds}
tables:
  - {{name: soak, rows: ema, columns: predictor, metric: knn/top1}}
"""
EVERY_S = 10
CELLS = 4
ALLOWED_KB = 25  # growth of the driver per trial: Tune keeps its record of every trial until the end
ENOUGH = 200  # trials in which that shows: a driver that begins grows by megabytes


class Watch(threading.Thread):
    """The driver's resident memory over time."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.seen, self.begun = pid, [], time.monotonic()
        self.trials = 0

    def run(self) -> None:  # noqa: D102 - a thread's own name
        status = Path(f"/proc/{self.pid}/status")
        while True:
            try:
                lines = status.read_text().splitlines()
            except OSError:
                return
            resident = next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), None)
            if resident is None:
                return
            self.seen.append((time.monotonic() - self.begun, resident, self.trials))
            time.sleep(EVERY_S)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=2400)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--images", type=int, default=3072, help="training images: how long a trial takes")
    parser.add_argument("--home", type=Path)
    parser.add_argument("--plot", type=Path)
    asked = parser.parse_args()
    home = asked.home or Path(tempfile.mkdtemp(prefix="orch-soak-"))
    home.mkdir(parents=True, exist_ok=True)
    file = home / "soak.yaml"
    file.write_text(SWEEP.format(epochs=asked.epochs, images=asked.images, seeds=-(-asked.trials // CELLS)))
    command = [
        sys.executable,
        "-m",
        "orchestrator",
        "sweep",
        str(file),
        "--json",
        "--home",
        str(home),
    ]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    watch = Watch(driver.pid)
    watch.start()
    expected, gaps = follow(driver, watch)
    code = driver.wait()
    print(machine())
    minutes = (time.monotonic() - watch.begun) / 60
    print(f"{expected['trials']} trials of {asked.epochs} epochs in {minutes:.0f} min, exit code {code}")
    between = np.array(gaps)
    print(
        f"between two trials of one worker, as the driver sees it: median {np.median(between):.3f} s, "
        f"mean {between.mean():.3f} s, 99 % {np.quantile(between, 0.99):.3f} s (n = {len(between)})"
    )
    right = compared(expected, counted(home))
    times, memory, trials = (np.array(column) for column in zip(*watch.seen, strict=True))
    tenth = max(1, len(memory) // 10)
    growth = memory[-tenth:].mean() - memory[tenth : 2 * tenth].mean()
    each = 1024 * growth / max(1, trials[-1] - trials[tenth])
    print(f"driver's memory: {memory[tenth : 2 * tenth].mean():.0f} MB in the second tenth, ", end="")
    print(f"{memory[-tenth:].mean():.0f} MB in the last: growth {growth:+.1f} MB, ", end="")
    grows = each > ALLOWED_KB and expected["trials"] >= ENOUGH
    told = "" if expected["trials"] >= ENOUGH else f"; judged from {ENOUGH} trials on"
    print(f"{each:+.1f} kB per trial (n = {len(memory)}){told}")
    if asked.plot:
        draw(asked.plot, times / 60, memory, trials)
    if not right or grows or code:
        sys.exit(1)


def follow(driver: subprocess.Popen[str], watch: Watch) -> tuple[Counter[str], list[float]]:
    """What must be there in the end, by the events; seconds between two trials of a worker."""
    expected: Counter[str] = Counter()
    ended: dict[str, float] = {}
    worker: dict[str, str] = {}
    gaps = []
    assert driver.stdout is not None
    for line in driver.stdout:
        event = json.loads(line)
        kind, now = event.get("event"), time.monotonic()
        if kind == "started":
            worker[event["trial"]] = event["worker"]
            if event["worker"] in ended:
                gaps.append(now - ended.pop(event["worker"]))
        elif kind == "progressed":
            expected["metric rows"] += len(event["metrics"])
        elif kind == "finished":
            ended[worker[event["trial"]]] = now
            expected["metric rows"] += len(event["metrics"])
            expected["trials"] += 1
            watch.trials += 1
    expected["runs"] = expected["trials"] + 1  # and the summary
    expected["spectra.npz"] = expected["config.json"] = expected["provenance.json"] = expected["trials"]
    return expected, gaps


def counted(home: Path) -> Counter[str]:
    """What is there."""
    found: Counter[str] = Counter()
    with sqlite3.connect(home / "mlflow.db") as database:
        for name, query in {
            "runs": "SELECT count(*) FROM runs",
            "trials": "SELECT count(*) FROM tags WHERE key = 'orch.status' AND value = 'completed' "
            "OR key = 'orch.status' AND value = 'collapsed'",
            "metric rows": "SELECT count(*) FROM metrics",
            "runs left running": "SELECT count(*) FROM runs WHERE status = 'RUNNING'",
        }.items():
            found[name] = database.execute(query).fetchone()[0]
    for path in (home / "artifacts").rglob("*"):
        if path.is_file():
            found[path.name] += 1
    found["files of the journal"] = sum(path.is_file() for path in (home / "journal").rglob("*"))
    found["checkpoints"] = sum(path.suffix == ".pt" for path in (home / "trials").rglob("*"))
    return found


def compared(expected: Counter[str], found: Counter[str]) -> bool:
    """Print both counts; whether they are equal."""
    names = [*expected, "runs left running", "files of the journal", "checkpoints"]
    for name in names:
        sign = "ok" if expected[name] == found[name] else "WRONG"
        print(f"{name:22} expected {expected[name]:8}  found {found[name]:8}  {sign}")
    return all(expected[name] == found[name] for name in names)


def draw(path: Path, minutes: np.ndarray, memory: np.ndarray, trials: np.ndarray) -> None:
    """The driver's memory and the trials done over time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), layout="constrained")
    left = figure.subplots()
    left.plot(minutes, memory, color="C0")
    left.set(xlabel="minutes", ylabel="driver's resident memory in MB", ylim=(0, None))
    right = left.twinx()
    right.plot(minutes, trials, color="C1", linewidth=1)
    right.set(ylabel="trials done", ylim=(0, None))
    left.yaxis.label.set_color("C0")
    right.yaxis.label.set_color("C1")
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
