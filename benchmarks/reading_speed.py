"""What commands that read a store cost, by the number of its runs: processor time, memory and waiting.

    python benchmarks/reading_speed.py [--runs 8 2000 10000] [--repeats 5] [--server] [--beside CHECKOUT]

Makes a store in SQLite with so many finished runs, each with the metrics, tags and params of a trial of
`ssl`: one is told through the store as a sweep tells it, the others are copies of its rows. Then each command
runs in a process of its own, with nothing to do; the first (cold) call is left out. With --server the same
store is asked through `mlflow server` on this machine, whose own processor time is not counted.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks_machine import add_beside, code_of, command, machine, positive, running, sides
from cloned_runs import clone

from orchestrator.language.load import load
from orchestrator.planning.expand import expand
from orchestrator.recording.mlflow.store import MlflowStore
from orchestrator.records import Provenance, SweepInfo
from trainers.attempt.report import EpochReport, Outcome

SWEEP = """
version: 1
name: reading
base:
  trainer: ssl
  method: {{name: byol, predictor: {{hidden: 8}}}}
  data: {{name: shapes, size: 8, train: 16, test: 16}}
  encoder: {{name: mlp, widths: [8]}}
axes:
  lr: {{path: optimizer.lr, values: {rates}}}
  momentum: {{path: method.momentum, values: {momenta}}}
seeds: {seeds}
tables:
  - {{name: reading, rows: lr, columns: momentum}}
"""
METRICS = 56  # of a trial of `ssl` at its end
EPOCHS = 3
COMMANDS = ("table", "status", "plan", "sweep", "why")
CELL = "lr=0.1,momentum=0.9"


def sweep_of(runs: int) -> str:
    """A sweep that asks for so many trials: 2 × 2 cells, or 10 × 10 where there are enough."""
    side = 10 if runs >= 1000 else 2
    rates = [round(0.1 + 0.01 * number, 3) for number in range(side)]
    momenta = [round(0.9 + 0.005 * number, 4) for number in range(side)]
    return SWEEP.format(rates=rates, momenta=momenta, seeds=max(runs // side**2, 1))


def make_store(folder: Path, runs: int) -> None:
    """Write sweep.yaml and the store in `folder`/runs that has all its trials."""
    text = sweep_of(runs)
    (folder / "sweep.yaml").write_text(text, encoding="utf-8")
    expansion = expand(load("sweep.yaml", lambda name, child: (name, text)))
    home, draw = folder / "runs", random.Random(0)
    home.mkdir()
    info = SweepInfo(name="reading", profile=None, provenance=Provenance(code_version="benchmark"))
    store = MlflowStore(f"sqlite:///{home / 'mlflow.db'}", artifacts=home / "artifacts")
    first, *others = expansion.trials
    names = ["probe/top1", *(f"group{number % 7}/metric{number}" for number in range(1, METRICS))]
    store.begin(first.facts, info, worker="host:1")
    for epoch in range(EPOCHS):
        metrics = {name: draw.random() for name in names}
        store.report(first.id, EpochReport(epoch=epoch, epochs=EPOCHS, metrics=metrics))
    source = {f"part{number}": f"{draw.getrandbits(48):012x}" for number in range(10)}
    details = {"collapse": {"verdict": "none"}, "source": source, "data_fingerprint": "0" * 12}
    final = {name: draw.random() for name in names}
    store.finish(first.id, Outcome(status="completed", metrics=final, details=details), info)
    clone(home / "mlflow.db", first.id, [trial.id for trial in others])
    with contextlib.closing(sqlite3.connect(home / "mlflow.db")) as base, base:  # no two numbers are alike
        base.execute("UPDATE latest_metrics SET value = value + random() / 1e20")


@contextlib.contextmanager
def served(database: Path) -> Iterator[str]:
    """The address of an MLflow server of that file, which ends with the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    words += ["--backend-store-uri", f"sqlite:///{database}"]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    silent = subprocess.DEVNULL
    with subprocess.Popen(
        [sys.executable, "-m", *words], env=environment, stdout=silent, stderr=silent
    ) as one:
        try:
            for _ in range(120):
                with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health"):
                    break
                time.sleep(1)
            yield f"http://127.0.0.1:{port}"
        finally:
            one.terminate()


def spent(code: Path, folder: Path, words: Sequence[str]) -> tuple[float, float, float]:
    """Seconds of processor time (user and system, its children's too), of waiting, and MB of memory."""
    begun = time.perf_counter()
    pid = os.posix_spawn(
        sys.executable,
        [*command(code), *words],
        running(code) | {"ORCH_HOME": str(folder / "runs")},
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )
    _, state, usage = os.wait4(pid, 0)
    assert os.waitstatus_to_exitcode(state) == 0, words
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - begun, usage.ru_maxrss / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=positive, nargs="+", default=[8, 2000, 10_000])
    parser.add_argument("--repeats", type=positive, default=5)
    parser.add_argument("--commands", nargs="+", default=COMMANDS, choices=COMMANDS)
    parser.add_argument("--server", action="store_true")
    add_beside(parser)
    asked = parser.parse_args()
    codes = sides(asked)
    print(machine())
    for runs in asked.runs:
        with tempfile.TemporaryDirectory() as where:
            folder = Path(where)
            make_store(folder, runs)
            with served(folder / "runs" / "mlflow.db") if asked.server else contextlib.nullcontext() as uri:
                for name in asked.commands:
                    words = [name, str(folder / "sweep.yaml"), *([CELL] if name == "why" else [])]
                    words += ["--tracking-uri", uri] if uri else []
                    words += ["--quiet"] if name == "sweep" else []
                    calls = codes * (asked.repeats + 1)
                    if name == "sweep":  # each writes anew the page that the other's code has made
                        calls.sort(key=codes.index)
                    taken: dict[Path, list[tuple[float, float, float]]] = {code: [] for code in codes}
                    for code in calls:
                        taken[code].append(spent(code, folder, words))
                    for code, (_, *warm) in taken.items():
                        cpu, wall, memory = ([one[part] for one in warm] for part in range(3))
                        print(
                            f"{code_of(code)}  {runs:6} runs  {name:7} "
                            f"{statistics.median(cpu):6.2f} s of CPU "
                            f"({min(cpu):.2f}-{max(cpu):.2f}, n = {asked.repeats}), "
                            f"{statistics.median(wall):.2f} s, {max(memory):.0f} MB, "
                            f"load {os.getloadavg()[0]:.1f}",
                            flush=True,
                        )


if __name__ == "__main__":
    main()
