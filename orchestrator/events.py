"""What happens to trials, as values; in JSON they travel from where a trial is trained to the driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from trainers.attempt.report import EpochReport, Outcome

VALUE = ConfigDict(extra="forbid")
"""What is read from another process has no field that nobody knows."""


@dataclass(frozen=True, config=VALUE)
class Started:
    """A trial was taken up by a worker."""

    trial_id: str
    attempt: int
    """1 for the first execution, 2 after its worker was lost once, ..."""
    worker: str
    """Where it runs: node and process."""
    event: Literal["started"] = "started"


@dataclass(frozen=True, config=VALUE)
class Progressed:
    """A trial finished an epoch."""

    trial_id: str
    report: EpochReport
    event: Literal["progressed"] = "progressed"


@dataclass(frozen=True, config=VALUE)
class Deferred:
    """A trial has to be started again under other conditions; its checkpoint is kept."""

    trial_id: str
    reason: str
    event: Literal["deferred"] = "deferred"


@dataclass(frozen=True, config=VALUE)
class Finished:
    """A trial came to its end, whichever it was."""

    trial_id: str
    outcome: Outcome
    event: Literal["finished"] = "finished"


Event = Started | Progressed | Deferred | Finished
OnEvent = Callable[[Event], None]
