"""Weights & Biases: a run for each trial, in the group of its cell. Online, or offline by WANDB_MODE."""

from __future__ import annotations

import math
import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

from orchestrator.execution.screen.mirrors.base import MirroredRun

PACKAGE = "wandb"
LONGEST = 128  # characters of a group, and of a run's name
ANSWER_S = 60.0  # in which a server must have answered


def refused() -> str | None:
    """That W&B is switched off."""
    off = os.environ.get("WANDB_MODE", "") == "disabled"
    return "shows nothing under WANDB_MODE=disabled; set offline, or online" if off else None


def where(folder: Path, sweep: str) -> str:
    """Where the runs are."""
    if os.environ.get("WANDB_MODE") == "offline":
        return f"`wandb sync {shlex.quote(str(folder))}/wandb/offline-run-*` sends them"
    return f"project {_project(sweep)}"


def deliver(run: MirroredRun, folder: Path, *, again: bool) -> None:
    """Make the trial's run, or bring it up to date; its id is the trial's, and another result's says so."""
    import wandb

    trial = run.trial
    identity = f"{trial.trial_id}-{run.digest[:6]}" if again else trial.trial_id
    # What was shown of it before, or half shown by somebody who was killed: this has all of that.
    for left in folder.glob(f"wandb/*run-*-{identity}"):
        shutil.rmtree(left, ignore_errors=True)
    made = wandb.init(
        id=identity,
        project=_project(run.sweep),
        group=f"{run.sweep}/{trial.cell}"[:LONGEST],
        name=trial.label[:LONGEST],
        config={"levels": trial.levels, "seed": trial.seed, "profile": run.profile, **trial.config},
        dir=str(folder),
        resume="allow",
        settings=wandb.Settings(
            console="off", disable_git=True, save_code=False, silent=True, init_timeout=ANSWER_S
        ),
    )
    made.define_metric("epoch")
    made.define_metric("*", step_metric="epoch")
    for epoch, metrics in run.curves:
        made.log({**_finite(metrics), "epoch": epoch}, step=epoch)
    made.summary.update({**_finite(run.metrics), "status": run.status, "trial": trial.trial_id})
    made.finish(exit_code=0)


def _project(sweep: str) -> str:
    return os.environ.get("WANDB_PROJECT") or sweep[:LONGEST]


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
