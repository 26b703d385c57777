"""Trials on Ray, in a child process that may die without harm."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from orchestrator.execution.child.executor import ChildExecutor
from orchestrator.execution.child.messages import Settings, Train
from orchestrator.execution.options import Options
from orchestrator.language.sweep_spec import SweepSpec
from orchestrator.recording.workspace import Workspace
from trainers.config.base import Runtime

if TYPE_CHECKING:
    from orchestrator.execution.child.main import Driver

LOAD_S = 180.0  # in which Ray must have been imported, on a machine that is busy with much else


def make(spec: SweepSpec, space: Workspace, options: Options, *, say: Callable[[str], None]) -> ChildExecutor:
    """The executor of a driver."""
    settings = Settings(
        runtime=Runtime(data_root=space.data_root, download=options.download),
        checkpoints=space.checkpoints,
        resources=spec.resources.packed if options.pack else spec.resources,
        schedule=spec.schedule,
        address=options.address,
        ship_code=options.ship_code,
        verbose=options.verbose,
    )
    return ChildExecutor("ray", settings, logs=space.logs, say=say)


def train(job: Train, driver: Driver, after: contextlib.ExitStack) -> None:
    """What the child does; here alone Ray is loaded."""
    driver.doing("loading Ray", LOAD_S)
    from orchestrator.execution.ray import executor

    executor.train(job, driver, after)
