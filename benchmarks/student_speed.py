"""Table 1's laptop cells from typing to numbers: `orch sweep`, and what one would write without it.

    pip install lightly
    python benchmarks/student_speed.py [--rounds 5] [--epochs 8] [--seeds 1] [--train 4096]

In turns: `orch sweep sweeps/table1.yaml --profile laptop`, and `student.py` for the same cells and seeds by
`xargs -P`, one process a core. Wall time, and what all processors did meanwhile: leave the machine alone.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from benchmarks_machine import busy_s, machine

from orchestrator.process.machine import cores
from trainers.datasets import shapes

HERE = Path(__file__).parent
CELLS = ("--momentum 0.97 --symmetric", "--momentum 0.97", "--momentum 0 --symmetric", "--momentum 0")


def write_data(file: Path, train: int) -> None:
    """The drawn shapes of the laptop profile, as a file for whoever has no orch."""
    images = shapes.load(shapes.Config(size=16, train=train, test=1024), root=None, download=False)
    parts = {"train": images.train, "test": images.test}
    arrays = {name: part.permute(0, 2, 3, 1).contiguous().numpy() for name, part in parts.items()}
    labels = {"train_labels": images.train_labels.numpy(), "test_labels": images.test_labels.numpy()}
    np.savez(file, **arrays, **labels)


def ours(folder: Path, asked: argparse.Namespace) -> None:
    """The sweep, in a new home folder."""
    with tempfile.TemporaryDirectory(dir=folder) as home:
        words = [sys.executable, "-P", "-m", "orchestrator", "sweep", "orch:table1", "--profile", "laptop"]
        words += ["--seeds", str(asked.seeds), "--set", f"epochs={asked.epochs}", "--home", home]
        subprocess.run([*words, "--set", f"data.train={asked.train}"], check=True, capture_output=True)


def student(folder: Path, asked: argparse.Namespace) -> None:
    """The same cells and seeds, a process each."""
    lines = [f"{cell} --seed {seed}" for seed in range(asked.seeds) for cell in CELLS]
    words = [sys.executable, str(HERE / "student.py"), "--data", str(folder / "shapes.npz")]
    command = shlex.join(["xargs", "-P", str(cores()), "-L", "1", *words, "--epochs", str(asked.epochs)])
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(
        command,
        shell=True,
        check=True,
        input="\n".join(lines),
        text=True,
        capture_output=True,
        env=environment,
    )


def spent(
    side: Callable[[Path, argparse.Namespace], None], folder: Path, asked: argparse.Namespace
) -> tuple[float, float]:
    """Seconds of waiting, and of all processors."""
    begun, busy = time.perf_counter(), busy_s()
    side(folder, asked)
    return time.perf_counter() - begun, busy_s() - busy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--train", type=int, default=4096, help="training images")
    asked = parser.parse_args()
    print(machine())
    size = f"{asked.epochs} epochs of {asked.train} images"
    print(f"{len(CELLS)} cells, {asked.seeds} seeds, {size}, {cores()} cores")
    taken: dict[str, list[tuple[float, float]]] = {"ours": [], "student": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder / "shapes.npz", asked.train)
        for _ in range(asked.rounds):
            for side in (ours, student):
                taken[side.__name__].append(spent(side, folder, asked))
    for part, what in enumerate(("wall", "processors")):
        mine, other = ([one[part] for one in taken[name]] for name in taken)
        ratios = [b / a for a, b in zip(mine, other, strict=True)]
        spread = f"{min(ratios):.2f}-{max(ratios):.2f}, n = {asked.rounds} rounds"
        medians = f"ours {statistics.median(mine):.1f} s, student {statistics.median(other):.1f} s"
        print(f"{what:10} {medians}, student / ours {statistics.median(ratios):.2f} ({spread})")


if __name__ == "__main__":
    main()
