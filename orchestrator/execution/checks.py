"""What is looked at before the first trial of a sweep: it would fail in all of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from orchestrator.errors import ExecutionError, UsageError
from orchestrator.execution import address as addresses
from orchestrator.planning.data import missing_data
from orchestrator.planning.plan import Plan
from orchestrator.process.machine import cores
from orchestrator.process.waiting import said_if_slow
from orchestrator.recording.workspace import Workspace
from trainers.attempt.folders import unusable

SPACE_NEEDED = 200_000_000  # bytes: a database, checkpoints of a few small trials, figures


def check_before_training(
    plan: Plan,
    space: Workspace,
    *,
    address: str | None,
    download: bool,
    on_ray: bool,
    say: Callable[[str], None],
) -> None:
    """Check what would fail in every trial.

    Raises:
        UsageError: data, room on the disk or the folder of checkpoints is not there.
        ExecutionError: the cluster is not there, or this machine has too few cores.
    """
    # Where a cluster trains, its nodes are asked for the data.
    problems = [] if address else list(missing_data(plan.todo, space.data_root))
    if problems and not download:
        raise UsageError("\n".join(problems))
    most = plan.expansion.spec.resources.most_cpus
    if address is not None:
        with said_if_slow(f"looking for Ray at {address}", say):
            addresses.check_reachable(address)
    elif most > cores() and on_ray:
        raise ExecutionError(
            f"a trial asks for {most} CPUs, this process has {cores()}; "
            "lower `resources.cpus` in the sweep file"
        )
    if problem := unusable(space.checkpoints):
        raise UsageError(f"checkpoints at {problem}")
    _check_space(space)


def _check_space(space: Workspace) -> None:
    for flag, folder in {"--home": space.home, "--checkpoints": space.checkpoints}.items():
        if not isinstance(folder, Path):
            continue
        free = shutil.disk_usage(_existing(folder)).free
        if free < SPACE_NEEDED:
            raise UsageError(
                f"{folder}: {free // 1_000_000} MB free, a sweep needs {SPACE_NEEDED // 1_000_000} MB; "
                f"free some space, or choose another folder with {flag}"
            )


def _existing(folder: Path) -> Path:
    return folder if folder.exists() else _existing(folder.parent)
