"""How long the commands take that a person waits for: --help, and a plan of 100 000 trials.

python benchmarks/plan_speed.py [--repeats 5]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks_machine import machine

LARGE = """
version: 1
name: large
base:
  trainer: ssl
  method: byol
  data: digits
  encoder: mlp
axes:
  lr: {path: optimizer.lr, loguniform: [1e-3, 1], samples: 100}
  momentum: {path: method.momentum, uniform: [0, 1], samples: 100}
  batch: {path: batch_size, values: [32, 64, 128, 256, 512]}
seeds: 2
"""


def seconds(folder: Path, *words: str, repeats: int) -> list[float]:
    """Wall seconds of the command, several times, the first (cold) one left out."""
    taken = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        command = [Path(sys.executable).with_name("orch"), *words]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        taken.append(time.perf_counter() - started)
    return taken[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "large.yaml").write_text(LARGE, encoding="utf-8")
        for words in (("--help",), ("plan", "large.yaml")):
            taken = seconds(folder, *words, repeats=repeats)
            middle, low, high = statistics.median(taken), min(taken), max(taken)
            command = f"orch {' '.join(words)}"
            print(f"{command:22} median {middle:.2f} s ({low:.2f}-{high:.2f}, n = {repeats})")


if __name__ == "__main__":
    main()
