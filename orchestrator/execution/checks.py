"""What is looked at before the first trial of a sweep: it would fail in all of them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from orchestrator.errors import ExecutionError, UsageError
from orchestrator.execution import executors
from orchestrator.execution.options import Options
from orchestrator.planning.data import larger_than_data, missing_data, missing_packages
from orchestrator.planning.expand import Expansion
from orchestrator.planning.origin import trained_on_other_files
from orchestrator.planning.plan import Plan, kept
from orchestrator.planning.trials import TrialSpec, keeps
from orchestrator.process.machine import existing
from orchestrator.process.waiting import said_if_slow
from orchestrator.recording.workspace import Workspace
from trainers.attempt.checkpoint import clear
from trainers.attempt.folders import Folder, unusable
from trainers.datasets.base import listed_once

ACCEPTED = "accepted_data.json"
"""In the home folder: pairs of listings that somebody has called the same images, for that very change."""
SPACE_NEEDED = 200_000_000  # bytes: a database, checkpoints of a few small trials, figures


def check_before_training(
    plan: Plan,
    space: Workspace,
    options: Options,
    *,
    say: Callable[[str], None],
    evaluations: Plan | None = None,
) -> None:
    """Check what would fail in every trial, of the sweep or of its evaluations.

    Raises:
        UsageError: data, room on the disk or the folder of checkpoints is not there, or the data is other.
        ExecutionError: the executor cannot have what it needs.
    """
    with listed_once():
        _check_data(plan, space, options, say=say)
        if evaluations is not None:
            every = evaluations._replace(todo=every_evaluation(evaluations))
            _check_data(every, space, options, say=say)
    executors.load(options.executor).check(plan.expansion.spec, options, say=say)
    with said_if_slow(f"looking whether {space.checkpoints} keeps checkpoints", say):
        problem = unusable(space.checkpoints)
    if problem:
        raise UsageError(f"checkpoints at {problem}")
    _check_space(space)


def every_evaluation(plan: Plan) -> tuple[TrialSpec, ...]:
    """A trial of each cell that is evaluated, whether or not its encoder is there yet."""
    seed = plan.expansion.seeds[0]
    return tuple(TrialSpec(cell.trial_id(seed), cell, seed) for cell in plan.expansion.cells)


def remove_checkpoints(folder: Folder) -> None:
    """Remove a trial's checkpoints, from which it would go on.

    Raises:
        ExecutionError: one cannot be removed.
    """
    try:
        clear(folder)
    except OSError as error:
        why = " ".join(str(error).split())
        raise ExecutionError(
            f"{folder}: a checkpoint cannot be removed ({why})", "remove it, or mend that"
        ) from None


def kept_by(expansion: Expansion, options: Options) -> tuple[Literal["encoder"], ...]:
    """What is kept of the trials of a sweep, by its file and by the options.

    Raises:
        UsageError: none of its trials has that.
    """
    wanted = kept(expansion, options.keep)
    if options.retrain_unkept and not wanted:
        raise UsageError("--retrain-unkept trains again what was not kept; add --keep encoder")
    if wanted and not any("encoder" in keeps(cell) for cell in expansion.cells):
        names = ", ".join(dict.fromkeys(cell.trainer for cell in expansion.cells))
        raise UsageError(f"keep: encoder: trials of {names} have none; leave it out")
    return wanted


def _check_data(plan: Plan, space: Workspace, options: Options, *, say: Callable[[str], None]) -> None:
    """Check that the data is there, and what done trials have seen.

    Raises:
        UsageError: it is not.
    """
    _check_same_data(plan, space, options, say=say)
    if not options.address and (problems := list(missing_packages(trial.cell for trial in plan.todo))):
        raise UsageError("\n".join(problems))  # which no download cures
    # Where a cluster trains, its nodes are asked for the data.
    with said_if_slow("looking for the data", say):
        problems = [] if options.address else list(missing_data(plan.todo, space.data_root))
        if not problems or options.download:
            problems = list(larger_than_data((trial.cell for trial in plan.todo), space.data_root))
    if problems:
        raise UsageError("\n".join(problems))


def _check_same_data(plan: Plan, space: Workspace, options: Options, *, say: Callable[[str], None]) -> None:
    """Check that the files of data sets are those that the sweep's done trials have seen.

    Raises:
        UsageError: they are not, and nobody has ever said in this home that they are the same images.
    """
    if options.address:
        return
    with said_if_slow("looking whether the data is what trials have seen", say):
        others = trained_on_other_files(plan.done, plan.records, space.data_root)
    file = space.home / ACCEPTED
    try:
        accepted = {(str(before), str(now)) for before, now in json.loads(file.read_bytes())}
    except (OSError, ValueError, TypeError):
        accepted = set()
    if problems := [text for pair, text in others.items() if pair not in accepted]:
        if not options.accept_data:
            raise UsageError("\n".join(problems))
        part = file.with_name(f".{file.name}.{os.getpid()}")
        part.write_text(json.dumps(sorted(accepted | others.keys())), encoding="utf-8")
        part.replace(file)
    for before, now in others:
        say(f"{now} are taken for the same images as the {before} that trials have seen ({file})")


def _check_space(space: Workspace) -> None:
    for flag, folder in {"--home": space.home, "--checkpoints": space.checkpoints}.items():
        if not isinstance(folder, Path):
            continue
        free = shutil.disk_usage(existing(folder)).free
        if free < SPACE_NEEDED:
            raise UsageError(
                f"{folder}: {free // 1_000_000} MB free, a sweep needs {SPACE_NEEDED // 1_000_000} MB; "
                f"free some space, or choose another folder with {flag}"
            )
