"""Trials of scripts that a test writes into its working folder."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from trainers.attempt.isolation import run_trial
from trainers.attempt.report import EpochReport, Outcome
from trainers.config.base import Runtime
from trainers.loops.command import Config

REPORTING = """
    import json, os, sys
    lr, seed = float(sys.argv[1]), int(sys.argv[2])
    with open(os.environ["ORCH_REPORT"], "a") as report:
        for epoch in (1, 2, 3):
            report.write(json.dumps({"epoch": epoch, "loss": lr / epoch + seed}) + "\\n")
        report.write(json.dumps({"top1": 80 + 10 * lr + seed}) + "\\n")
"""
"""A script that reports in lines of JSON; its words are a learning rate and a seed."""
MAIN = """
import argparse, pathlib

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--gamma", type=float)
parser.add_argument("--seed", type=int)
parser.add_argument("--epochs", type=int)
parser.add_argument("--no-accel", action="store_true")
args = parser.parse_args()
assert pathlib.Path("../data").is_dir()
for epoch in range(1, args.epochs + 1):
    for batch in range(3):
        loss = args.lr / (epoch + batch)
        print(f"Train Epoch: {epoch} [{batch}/3 ({100 * batch / 3:.0f}%)]\\tLoss: {loss:.6f}")
    print(f"\\nTest set: Average loss: {loss:.4f}, Accuracy: {90 + epoch}/100 ({90 + epoch}%)\\n")
"""
"""A script of our own that takes and prints what `mnist/main.py` of PyTorch's examples does; trains
nothing."""
SWEEP: dict[str, Any] = {
    "version": 1,
    "name": "scripted",
    "base": {
        "trainer": "command",
        "run": ["python", "train.py", "{lr}", "{seed}"],
        "files": ["train.py"],
        "params": {"lr": 0.1},
        "metrics": {"loss": "curve", "top1": {"kind": "final", "unit": "percent"}},
    },
    "axes": {"lr": {"path": "params.lr", "values": [0.1, 0.5]}},
    "seeds": 2,
    "tables": [{"name": "t", "rows": "lr", "metric": "top1", "baseline": {"lr": 0.1}}],
    "figures": [{"kind": "curves", "columns": ["loss"]}],
}
"""A sweep of it, which is in the working folder."""


class Heard(NamedTuple):
    """What a trial came to."""

    outcome: Outcome
    reports: list[EpochReport]


def script(text: str, name: str = "train.py") -> Path:
    """A file in the working folder."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def command(**fields: Any) -> Config:
    """The config of `python train.py SEED` with these fields."""
    own = {"run": ["python", "train.py", "{seed}"], "files": ["train.py"], **fields}
    return Config.model_validate(own)


def heard(
    text: str, *, folder: Path | None = None, on: Callable[[EpochReport], None] | None = None, **fields: Any
) -> Heard:
    """What a trial of the script `text` comes to; `on` is told each report, too."""
    script(text)
    reports: list[EpochReport] = []

    def report(message: EpochReport) -> None:
        reports.append(message)
        if on is not None:
            on(message)

    outcome = run_trial(command(**fields), runtime=Runtime(), folder=folder, report=report)
    return Heard(outcome, reports)
