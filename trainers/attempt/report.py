"""What a trial tells while it trains and when it ends. Plain values: it crosses processes and files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from pydantic import ConfigDict, field_validator

from trainers.attempt.arrays import Array
from trainers.config.base import Frozen

Status = Literal["completed", "collapsed", "diverged", "pruned", "failed", "stopped"]
"""How a trial ended. Collapse and divergence are findings: they are never retried. A pruned one was ended
by the schedule of a sweep that searches."""

ErrorClass = Literal["code", "data", "memory", "worker", "storage"]
"""An exception in its code; data that is not there; more GPU memory than there is; its worker lost too
often without going forward; its checkpoint could not be written or read. Only the last three can end
differently when tried again."""


class EpochReport(Frozen):
    """What a trial measured after an epoch; epoch 0 is the untrained network."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    epoch: int
    """Epochs trained so far."""
    epochs: int
    """Epochs the trial will train in all; 0: nobody knows."""
    metrics: dict[str, float]
    """Finite numbers by name, such as "train/loss"."""
    arrays: dict[str, Array] = {}
    """Spectra by name, such as "F" [d], at the epochs that record them."""
    replayed: bool = False
    """Whether it was measured before an interruption and is repeated from the checkpoint."""

    @property
    def stage(self) -> str:
        """How far the trial is, such as 3/20."""
        return f"{self.epoch}/{self.epochs}" if self.epochs else f"{self.epoch}"

    @field_validator("arrays")
    @classmethod
    def _arrays_are_real_numbers(cls, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        for name, array in arrays.items():
            if array.dtype.kind not in "fiub":
                raise ValueError(f"array '{name}': expected real numbers, got {array.dtype}")
        return arrays


class Outcome(Frozen):
    """The final record of a trial."""

    status: Status
    metrics: dict[str, float] = {}
    """Final numbers by name; empty for a trial that failed."""
    reason: str | None = None
    """What a reader must know of the end, in one line: the evidence of a collapse, also of a dimensional one
    that is `completed`; the step of a divergence; the error of a failure."""
    error: ErrorClass | None = None
    """Why a trial failed, as far as what to do next depends on it."""
    details: dict[str, Any] = {}
    """Facts for provenance: fingerprints of data and streams, versions, hardware, seconds."""


Report = Callable[[EpochReport], None]
