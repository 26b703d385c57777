"""From typing to training, and to the table: a small sweep in a new home folder, by its own lines.

    python benchmarks/start_speed.py [--rounds 5] [--spec SWEEP] [--beside CHECKOUT]

With --beside another checkout's code runs it, in turns, with the packages of this environment. Without --spec
it is sweeps/smoke.yaml, of each checkout its own.
Times are from typing to a line on the screen. Processor time is that of everything on the machine, Ray's own
processes included: leave it alone.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks_machine import ROOT, add_beside, busy_s, code_of, command, machine, positive, running, sides

ENDED = re.compile(r"\[ *(\d+)/(\d+)\] ")
"""How a line begins that tells of a trial's end."""


class Taken(NamedTuple):
    """Seconds of one call."""

    first: float
    """Until the first trial has ended."""
    first_cpu: float
    """What all processors did until then."""
    table: float
    """From the last trial's end to the first row of the table."""
    rest: float
    """From there to the end of the command."""
    whole: float
    cpu: float


def taken(code: Path, spec: Path) -> Taken:
    """Run the sweep with the code in that checkout."""
    with tempfile.TemporaryDirectory() as home:
        words = [*command(code), "sweep", str(spec), "--home", home]
        environment = running(code) | {"PYTHONUNBUFFERED": "1"}
        begun, busy = time.perf_counter(), busy_s()
        first = first_cpu = last = table = 0.0
        with subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        ) as one:
            assert one.stdout is not None
            for line in one.stdout:
                now = time.perf_counter() - begun
                if found := ENDED.match(line.strip()):
                    first, first_cpu = first or now, first_cpu or busy_s() - busy
                    last = now if found[1] == found[2] else 0.0
                elif last and not table and "──" in line:
                    table = now
        whole = time.perf_counter() - begun
        if not table:
            sys.exit(f"{code}: no table of {spec}, exit code {one.returncode}")
        return Taken(first, first_cpu, table - last, whole - table, whole, busy_s() - busy)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=positive, default=5)
    parser.add_argument("--spec", type=Path)
    add_beside(parser)
    asked = parser.parse_args()
    codes = sides(asked)
    print(machine())
    found: list[list[Taken]] = [[] for _ in codes]
    for number in range(asked.rounds + 1):
        for side, times in zip(codes, found, strict=True):
            one = taken(side, asked.spec.resolve() if asked.spec else side / "sweeps/smoke.yaml")
            if number:  # the first call of each side reads its packages from the disk
                times.append(one)
    print("first: until the first trial's end; table: from the last one's end; rest: from there to the end")
    for side, times in zip(codes, found, strict=True):
        print(f"orch {code_of(side)}, n = {asked.rounds}, medians")
        for part in Taken._fields:
            spent = [getattr(one, part) for one in times]
            line = f"  {part:10} {statistics.median(spent):6.2f} s ({min(spent):.2f}-{max(spent):.2f})"
            if side is not ROOT:
                pairs = zip(found[0], times, strict=True)
                ratios = [getattr(other, part) / max(getattr(mine, part), 1e-9) for mine, other in pairs]
                line += f", {statistics.median(ratios):.2f} times ours ({min(ratios):.2f}-{max(ratios):.2f})"
            print(line)


if __name__ == "__main__":
    main()
