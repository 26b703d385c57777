"""The README's first command, again and again: how often it ends with 0 and its table.

    python benchmarks/first_command.py [--runs 200] [--busy 4] [--provoke] [--record FILE] [--spec FILE]
        [-- FLAGS for orch sweep]

Types `orch sweep FILE` (sweeps/smoke.yaml) in a new home folder each time, counts exit codes, and compares
each table with the first. Exits with 1 unless all were 0 and all tables equal.

`--busy N` keeps the machine busy with N processes that compute at low priority. `--provoke` has a thread that
is older than Ray let go of objects while Ray is shut down, which makes Ray end the process it lives in.
`--record FILE` adds a line of JSON for each run, with the commit and how many processes wanted to run at its
begin, so that runs of several sittings can be counted together.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks_machine import machine

ROOT = Path(__file__).parents[1]
LIMIT_S = 1200.0  # a run that takes longer hangs
PROVOKE = Path(__file__).parent / "late_call"


@contextlib.contextmanager
def busy(number: int) -> Iterator[None]:
    """Inside, so many processes compute at low priority."""
    words = ["nice", "-n", "5", sys.executable, "-c", "while True: sum(range(10**6))"]
    burning = [subprocess.Popen(words) for _ in range(number)]
    try:
        yield
    finally:
        for process in burning:
            process.kill()
            process.wait()


def note(file: Path | None, **facts: Any) -> None:
    """Add what is known of a run to a file of JSON lines."""
    if file is not None:
        with file.open("a") as lines:
            print(json.dumps(facts), file=lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--spec", type=Path, default=ROOT / "sweeps" / "smoke.yaml")
    parser.add_argument("flags", nargs="*", help="for orch sweep, after --")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--busy", type=int, default=0)
    parser.add_argument("--provoke", action="store_true")
    parser.add_argument("--record", type=Path)
    asked = parser.parse_args()
    command = [
        sys.executable,
        "-m",
        "orchestrator",
        "sweep",
        str(asked.spec.resolve()),
        *asked.flags,
    ]
    codes: Counter[int | str] = Counter()
    tables: Counter[str] = Counter()
    seconds: list[float] = []
    print(machine(), flush=True)
    git = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    with tempfile.TemporaryDirectory(prefix="first-") as folder, busy(asked.busy):
        environment = dict(os.environ)
        if asked.provoke:
            environment["PYTHONPATH"] = str(PROVOKE)
        for number in range(1, asked.runs + 1):
            home, begun, load = Path(folder) / "runs", time.monotonic(), os.getloadavg()[0]
            try:
                done = subprocess.run(
                    [*command, "--home", str(home)],
                    capture_output=True, text=True, timeout=LIMIT_S, env=environment, cwd=folder, check=False,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                codes["hung"] += 1
                note(asked.record, commit=commit, spec=asked.spec.name, load=load, code="hung")
                continue
            seconds.append(time.monotonic() - begun)
            codes[done.returncode] += 1
            table = hashlib.sha256(done.stdout.encode()).hexdigest()[:12] if done.stdout else "none"
            tables[table] += 1
            facts = {"code": done.returncode, "table": table, "seconds": round(seconds[-1], 1)}
            note(asked.record, commit=commit, spec=asked.spec.name, load=load, **facts)
            if done.returncode:
                print(f"run {number}: exit code {done.returncode}: {done.stderr.strip()[-400:]}", flush=True)
            elif number % 10 == 0:
                print(f"run {number}: {dict(codes)}, tables {dict(tables)}", file=sys.stderr, flush=True)
            shutil.rmtree(home, ignore_errors=True)
    print(f"{asked.runs} runs of orch sweep {asked.spec.name} {' '.join(asked.flags)}".rstrip(), end="")
    print(f", {asked.busy} busy processes beside them" if asked.busy else "")
    print(f"exit codes {dict(codes)}; tables by digest {dict(tables)}")
    if seconds:
        print(f"{statistics.median(seconds):.1f} s each (median), {max(seconds):.1f} s at most")
    if set(codes) != {0} or len(tables) != 1 or "none" in tables:
        sys.exit(1)


if __name__ == "__main__":
    main()
