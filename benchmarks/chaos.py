"""What survives random kills: a sweep on Ray whose processes are killed again and again, with its tracker.

    python benchmarks/chaos.py [--kills 100] [--minutes 120] [--seed 0] [--local] [--home FOLDER]

Starts the command as a user would, against an MLflow server of its own, and kills the driver, the child in
which Ray lives, a trial's worker, the raylet, Ray's GCS server or the MLflow server at random moments, or
suspends the child for good, or interrupts the driver. The
command is typed again whenever it has ended; a sweep that is complete before all kills were done gets another
seed. What it leaves is compared, byte for byte, with what the same sweep leaves in one process that nobody
disturbs. Exits with 1 if a check fails. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks_machine import machine
from chaos_checks import Progress, differences, kept, left_over
from chaos_processes import Family

SWEEP = """
version: 1
name: chaos
base:
  trainer: ssl
  method: byol
  data: digits
  encoder: {name: convnet, channels: [16, 32]}
  projector: {hidden: [64], output: 32}
  optimizer: {lr: 0.1}
  views: {crop.scale: [0.4, 1.0], flip: 0.0, jitter: null, grey: 0.0}
  epochs: 30
  probe.epochs: 5
axes:
  method:
    BYOL: {method: {name: byol, momentum: 0.9}}
    SimSiam: {method: {name: simsiam, loss_scale: 1.0}}
  predictor:
    two-layer: {method.predictor: {kind: mlp, hidden: 64}}
    linear: {method.predictor: {kind: linear}}
tables:
  - {name: chaos, rows: method, columns: predictor, metric: probe/top1}
figures:
  - {kind: eigenspace}
"""
EPOCHS = 30
KINDS = {  # and how often, in parts of 100
    "worker": 26,
    "MLflow server": 20,
    "driver": 14,
    "child": 10,
    "child suspended": 5,
    "raylet": 7,
    "GCS server": 6,
    "SIGTERM": 4,
    "SIGINT": 4,
    "SIGINT twice": 4,
}
CODES = {  # which exit codes of a driver each may have; 0 may be whenever it was too late
    "worker": {3},
    "MLflow server": {4},
    "driver": {-signal.SIGKILL},
    "child": {4},  # of a few in a row, as of what Ray consists of
    "child suspended": {4},
    "raylet": {4},
    "GCS server": {4},
    "SIGTERM": {130, -signal.SIGTERM},  # by the signal itself while Python starts
    "SIGINT": {130, -signal.SIGINT},
    "SIGINT twice": {130, -signal.SIGINT},
}
ENDS = {"driver", "SIGTERM", "SIGINT", "SIGINT twice"}  # the driver, sooner or later
CHILD = "orchestrator.execution.child"
SERVER = 0  # the MLflow server's number among the commands; drivers count from 1
ANY_S = 20.0  # the next kill comes so long after the last one at most,
SOON_S = 4.0  # or so long after something was trained,
WAIT_S = 45.0  # for which it waits so long at most
AWAY_S = 15.0  # an MLflow server is away for at most so long
LEFT_S = 15.0  # what outlives its driver for so long was left behind
HUNG_S = 420.0  # a driver that says nothing for so long hangs


class Server:
    """MLflow on loopback, killed and started again on the same port and database; or only a file."""

    def __init__(self, home: Path, family: Family, *, local: bool) -> None:
        self.home, self.family, self.local = home, family, local
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"sqlite:///{home / 'mlflow.db'}" if local else f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._again_at = 0.0

    def start(self) -> None:
        """Start it; it answers some seconds later."""
        if self.local:
            return
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port),
            "--backend-store-uri", f"sqlite:///{self.home / 'mlflow.db'}",
            "--artifacts-destination", (self.home / "artifacts").as_uri(), "--workers", "1",
        ]  # fmt: skip
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with (self.home / "server.log").open("ab") as log:
            self._process = self.family.launch(
                SERVER, command, env=os.environ | quiet, stdout=log, stderr=log
            )

    def answers(self) -> bool:
        """Whether it is there."""
        if self.local:
            return True
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=5):
            return True
        return False

    def kill(self, *, away_s: float = 0.0) -> bool:
        """Kill all of it; False if it was away already."""
        if self._process is None:
            return False
        for process in self.family.of(SERVER):
            process.send(signal.SIGKILL)
        self._process.wait()
        self._process, self._again_at = None, time.monotonic() + away_s
        return True

    def tend(self) -> None:
        """Start it again once it was away long enough."""
        if self._process is None and time.monotonic() > self._again_at:
            self.start()


class Driver:
    """One call of `orch sweep`, and what it tells."""

    def __init__(
        self, number: int, command: list[str], *, family: Family, log: Path, environment: dict[str, str]
    ) -> None:
        self.number, self.begun = number, time.monotonic()
        self.heard, self.epochs = self.begun, 0
        self.workers: set[int] = set()
        with log.open("wb") as errors:
            self.process = family.launch(
                number, command, env=environment, stdout=subprocess.PIPE, stderr=errors
            )

    def listen(self, told: Callable[[dict[str, Any]], None]) -> None:
        """Read its events until it ends."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with contextlib.suppress(json.JSONDecodeError):  # the last line may be cut off
                event = json.loads(line)
                self.heard = time.monotonic()
                if "trial" not in event:
                    continue  # a table
                if event["event"] == "started":
                    self.workers.add(int(event["worker"].rpartition(":")[2]))
                self.epochs += event["event"] == "progressed" and not event["replayed"]
                told(event)

    @property
    def lives(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None


class Chaos:
    """A sweep and everything that is done to it."""

    def __init__(self, home: Path, *, kills: int, minutes: float, seed: int, local: bool) -> None:
        self.home, self.rng = home, random.Random(seed)
        self.wanted, self.latest = kills, time.monotonic() + 60 * minutes
        self.file = home / "chaos.yaml"
        self.file.write_text(SWEEP)
        # Ray's sockets have paths of at most 107 characters.
        self.scratch = Path(tempfile.mkdtemp(prefix="oc-"))
        self.family = Family(patience_s=LEFT_S)
        self.server = Server(home, self.family, local=local)
        self.progress = Progress(self.file, home, self.server.uri)
        self.kills: Counter[str] = Counter()
        self.codes: Counter[int] = Counter()
        """How drivers ended."""
        self.unexpected: list[str] = []
        self.hung: list[str] = []
        self.begun = time.monotonic()

    def run(self) -> bool:
        """Kill as often as wanted, then let the sweep come to its end; whether it did."""
        self.family.start()
        self.server.start()
        while not self.server.answers():
            time.sleep(0.2)
        self.progress.start()
        number, calm = 0, 0
        while calm < 10:
            number += 1
            code = self._drive(number)
            calm = 0 if self._goes_on else calm + 1
            if code == 0 and not self._goes_on:
                break
            if code == 0:
                self.progress.seeds += 1
        while not self.server.answers():
            self.server.tend()
            time.sleep(0.2)
        self.progress.stop()
        deadline = time.monotonic() + LEFT_S + 5
        while self.family.outlived() and time.monotonic() < deadline:
            time.sleep(0.2)
        return code == 0

    def orch(self, *words: str) -> list[str]:
        """A command of orch on this sweep."""
        command = [sys.executable, "-m", "orchestrator", *words, str(self.file)]
        return [*command, "--seeds", str(self.progress.seeds)]

    @property
    def _goes_on(self) -> bool:
        """Whether more is to be killed."""
        return self.kills.total() < self.wanted and time.monotonic() < self.latest

    def _drive(self, number: int) -> int:
        """One driver from its start to its end, however that comes about."""
        tracked = ["--home", str(self.home), "--tracking-uri", self.server.uri]
        log = self.home / "logs" / f"{number:03}.txt"
        # Ray's workers give way to everything else, which on a busy machine makes them start in a minute.
        environment = os.environ | {"TMPDIR": str(self.scratch), "RAY_worker_niceness": "0"}
        command = [*self.orch("sweep", "--json"), *tracked]
        driver = Driver(number, command, family=self.family, log=log, environment=environment)
        listener = threading.Thread(target=driver.listen, args=(self.progress.told,))
        listener.start()
        kinds: list[str] = []
        while driver.lives and self._goes_on:
            self._pause(driver)
            kind = self._kill(driver) if driver.lives else None
            if kind is None:
                continue
            kinds.append(kind)
            self._say(f"kill {self.kills.total():3}: {kind} of call {number}")
            if kind in ENDS and self.rng.random() < 0.5:
                self._watch(driver, lambda: False)
        self._watch(driver, lambda: False)
        code = driver.process.wait()
        self.family.died(number)
        listener.join()
        self._say(f"call {number} ended with {code}, {len(self.progress.done)} trials done")
        self._judge(f"call {number}", code, kinds, log.read_text(errors="replace"))
        return code

    def _judge(self, call: str, code: int, kinds: list[str], errors: str) -> None:
        """Note an end that nothing explains."""
        self.codes[code] += 1
        after = f"{call}, after {', '.join(kinds) or 'nothing'}"
        if code not in {0}.union(*(CODES[kind] for kind in kinds)) and call not in self.hung:
            self.unexpected.append(f"code {code} of {after}")
        if "Traceback" in errors and not errors.rstrip().endswith("KeyboardInterrupt"):
            self.unexpected.append(f"traceback of {after}: {errors.rstrip().splitlines()[-1][:200]}")

    def _pause(self, driver: Driver) -> None:
        """Wait for a random moment: any, which is often while something starts, or one of training."""
        until = time.monotonic() + self.rng.uniform(0, ANY_S)
        if self.rng.random() < 0.5:
            epochs, latest = driver.epochs, time.monotonic() + WAIT_S
            self._watch(driver, lambda: driver.epochs > epochs or time.monotonic() > latest)
            until = time.monotonic() + self.rng.uniform(0, SOON_S)
        self._watch(driver, lambda: time.monotonic() > until)

    def _watch(self, driver: Driver, over: Callable[[], bool]) -> None:
        """Until `over`, or the driver has ended; one that hangs is killed."""
        driver.heard = time.monotonic()
        while driver.lives and not over():
            self.server.tend()
            if time.monotonic() - driver.heard > HUNG_S:
                self.hung.append(f"call {driver.number}")
                driver.process.kill()
            time.sleep(0.05)

    def _kill(self, driver: Driver) -> str | None:
        """Kill something that is there; what it was."""
        kind = self.rng.choices(list(KINDS), list(KINDS.values()))[0]
        there = self.family.of(driver.number)
        named = {"raylet": "raylet", "GCS server": "gcs_server"}
        done = False
        if kind == "driver":
            driver.process.kill()
            done = True
        elif kind == "MLflow server":
            done = self.server.kill(away_s=self.rng.uniform(0, AWAY_S))
        elif kind.startswith("SIG"):
            # Ctrl-C reaches everything in the foreground, `kill` only what it names.
            for _ in range(2 if "twice" in kind else 1):
                with contextlib.suppress(ProcessLookupError):
                    if kind == "SIGTERM":
                        driver.process.terminate()
                    else:
                        os.killpg(driver.process.pid, signal.SIGINT)
                    done = True
                time.sleep(self.rng.uniform(0, 1))
        elif kind.startswith("child"):
            number = signal.SIGSTOP if "suspended" in kind else signal.SIGKILL
            done = any(one.send(number) for one in there if CHILD in one.title)
        else:
            # A process may be named after a part of what it does; workers tell their pids.
            found = [
                one for one in there
                if (one.pid in driver.workers if kind == "worker" else one.name.startswith(named[kind][:15]))
            ]  # fmt: skip
            done = bool(found) and self.rng.choice(found).send(signal.SIGKILL)
        self.kills[kind] += done
        return kind if done else None

    def _say(self, line: str) -> None:
        minutes = (time.monotonic() - self.begun) / 60
        print(f"{minutes:5.1f} min  {line}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=120, help="no more kills after so many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--local", action="store_true", help="track in a file, without a server")
    parser.add_argument("--home", type=Path, help="must be empty; kept if named")
    asked = parser.parse_args()
    # What starts this in the background may have it ignore Ctrl-C, and the drivers would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    home = asked.home or Path(tempfile.mkdtemp(prefix="orch-chaos-"))
    chaotic, calm = home / "chaos", home / "calm"
    for folder in (chaotic / "logs", calm):
        folder.mkdir(parents=True)
    print(machine(), flush=True)
    chaos = Chaos(chaotic, kills=asked.kills, minutes=asked.minutes, seed=asked.seed, local=asked.local)
    complete = chaos.run()
    wall_s = time.monotonic() - chaos.begun
    tables = []
    environment = os.environ | {"TMPDIR": str(chaos.scratch)}
    subprocess.run(
        [*chaos.orch("sweep", "--quiet", "--executor", "serial"), "--home", str(calm)],
        stdout=subprocess.DEVNULL, env=environment, check=True,
    )  # fmt: skip
    for folder, uri in (chaotic, chaos.server.uri), (calm, f"sqlite:///{calm / 'mlflow.db'}"):
        command = [*chaos.orch("table", "-f", "json"), "--home", str(folder), "--tracking-uri", uri]
        tables.append(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    chaos.server.kill()
    scratch = sum(path.is_dir() for path in chaos.scratch.glob("*orch-*"))
    shutil.rmtree(chaos.scratch, ignore_errors=True)
    wrong = {
        "the sweep came to its end": [] if complete else ["it did not in ten calls without a kill"],
        "no driver hung": chaos.hung,
        "exit codes explained, no traceback": chaos.unexpected,
        "progress never fell": chaos.progress.falls,
        "tables equal": [] if tables[0] == tables[1] else ["they differ"],
        **differences(kept(chaotic), kept(calm)),
        **left_over(chaotic),
        "no process left behind": [f"{n} × {name}" for name, n in chaos.family.left_behind.items()],
    }
    trials = len(chaos.progress.done)
    print(f"{chaos.kills.total()} kills (seed {asked.seed}) in {wall_s / 60:.0f} min: ", end="")
    print(", ".join(f"{kind} {chaos.kills[kind]}" for kind in KINDS))
    print(f"{chaos.codes.total()} calls of the command; {trials} trials of {EPOCHS} epochs")
    print("exit codes: " + ", ".join(f"{code} × {n}" for code, n in sorted(chaos.codes.items())))
    print(f"{chaos.progress.queries} looks at the store, {chaos.progress.unanswered} while it was away")
    print(f"processes outlived their driver by at most {chaos.family.slowest_s:.1f} s; ", end="")
    print(f"{scratch} temporary folders of killed drivers are left")
    for law, breaches in wrong.items():
        shown = "; ".join(breaches[:5]) + (f" and {len(breaches) - 5} more" if len(breaches) > 5 else "")
        print(f"{'WRONG' if breaches else 'ok   '} {law}{': ' if breaches else ''}{shown}")
    if any(wrong.values()):
        print(f"look into {home}")
        sys.exit(1)
    if asked.home is None:
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
