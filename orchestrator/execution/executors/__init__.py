"""Executors: a file each, found by its name.

    address_in(text)                       the cluster that is meant, or None
    check(spec, options, *, say)           raises ExecutionError if it cannot have what it needs
    make(spec, space, options, *, say)     the executor of a driver
    train(job, driver, after)              what a child process does that has it

`Executor` in recording/store_port.py says what one must do;
tests/contracts/test_executors.py holds it to that.
"""

from __future__ import annotations

from types import ModuleType

from orchestrator.errors import UsageError
from orchestrator.recording.store_port import Executor
from trainers.config.base import Runtime
from trainers.config.families import members, module


def names() -> tuple[str, ...]:
    """The executors there are."""
    return members(__name__)


def load(name: str) -> ModuleType:
    """An executor's file.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in names():
        raise UsageError(f"no executor '{name}'; known: {', '.join(names())}")
    return module(__name__, name)


def nobody() -> Executor:
    """Stands where nothing is left to train, and so nobody is needed."""
    executor: Executor = load("serial").SerialExecutor(runtime=Runtime(), folder=None)
    return executor
