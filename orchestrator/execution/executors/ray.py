"""Trials on Ray, in a child process that may die without harm."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from orchestrator.errors import ExecutionError
from orchestrator.execution.address import check_reachable, parsed_address
from orchestrator.execution.child.executor import ChildExecutor
from orchestrator.execution.child.messages import Settings, Train
from orchestrator.execution.options import Options
from orchestrator.language.sweep_spec import SweepSpec
from orchestrator.process.machine import cores
from orchestrator.process.waiting import said_if_slow
from orchestrator.recording.workspace import Workspace
from trainers.config.base import Runtime

if TYPE_CHECKING:
    from orchestrator.execution.child.main import Driver

LOAD_S = 180.0  # in which Ray must have been imported, on a machine that is busy with much else


def make(spec: SweepSpec, space: Workspace, options: Options, *, say: Callable[[str], None]) -> ChildExecutor:
    """The executor of a driver."""
    settings = Settings(
        runtime=Runtime(data_root=space.data_root, download=options.download, keep=options.keep),
        checkpoints=space.checkpoints,
        resources=spec.resources.with_auto if options.pack else spec.resources,
        schedule=spec.schedule,
        address=options.address,
        ship_code=options.ship_code,
        verbose=options.verbose,
    )
    return ChildExecutor("ray", settings, logs=space.logs, say=say)


def address_in(text: str | None) -> str | None:
    """The cluster that is meant by what was typed; None: this machine.

    Raises:
        UsageError: it is no address.
    """
    return parsed_address(text) if text else None


def check(spec: SweepSpec, options: Options, *, say: Callable[[str], None]) -> None:
    """Check that there is a cluster, or that this machine has the cores.

    Raises:
        ExecutionError: there is none, or it has too few.
    """
    most = spec.resources.most_cpus
    if options.address is not None:
        with said_if_slow(f"looking for Ray at {options.address}", say):
            check_reachable(options.address)
    elif most > cores():
        raise ExecutionError(
            f"a trial asks for {most} CPUs, this process has {cores()}; "
            "lower `resources.cpus` in the sweep file"
        )


def train(job: Train, driver: Driver, after: contextlib.ExitStack) -> None:
    """What the child does; here alone Ray is loaded."""
    driver.doing("loading Ray", LOAD_S)
    from orchestrator.execution.ray import executor

    executor.train(job, driver, after)
