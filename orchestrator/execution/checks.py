"""What is looked at before the first trial of a sweep: it would fail in all of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.execution import executors
from orchestrator.execution.options import Options
from orchestrator.planning.data import larger_than_data, missing_data, missing_packages
from orchestrator.planning.origin import trained_on_other_files
from orchestrator.planning.plan import Plan
from orchestrator.process.waiting import said_if_slow
from orchestrator.recording.workspace import Workspace
from trainers.attempt.folders import unusable

SPACE_NEEDED = 200_000_000  # bytes: a database, checkpoints of a few small trials, figures


def check_before_training(
    plan: Plan, space: Workspace, options: Options, *, say: Callable[[str], None]
) -> None:
    """Check what would fail in every trial.

    Raises:
        UsageError: data, room on the disk or the folder of checkpoints is not there, or the data is other.
        ExecutionError: the executor cannot have what it needs.
    """
    _check_same_data(plan, space, options, say=say)
    if not options.address and (problems := list(missing_packages(trial.cell for trial in plan.todo))):
        raise UsageError("\n".join(problems))  # which no download cures
    # Where a cluster trains, its nodes are asked for the data.
    with said_if_slow("looking for the data", say):
        problems = [] if options.address else list(missing_data(plan.todo, space.data_root))
    if problems and not options.download:
        raise UsageError("\n".join(problems))
    if problems := list(larger_than_data((trial.cell for trial in plan.todo), space.data_root)):
        raise UsageError("\n".join(problems))
    executors.load(options.executor).check(plan.expansion.spec, options, say=say)
    with said_if_slow(f"looking whether {space.checkpoints} keeps checkpoints", say):
        problem = unusable(space.checkpoints)
    if problem:
        raise UsageError(f"checkpoints at {problem}")
    _check_space(space)


def _check_same_data(plan: Plan, space: Workspace, options: Options, *, say: Callable[[str], None]) -> None:
    """Check that the files of data sets are those that the sweep's done trials have seen.

    Raises:
        UsageError: they are not, and nobody has said that they are the same images.
    """
    if options.address or options.accept_data:
        return
    with said_if_slow("looking whether the data is what trials have seen", say):
        problems = trained_on_other_files(plan.done, plan.records, space.data_root)
    if problems:
        raise UsageError("\n".join(problems))


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
