"""What a sweep file says of the numbers of a command: which must come, and where they are read."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, field_validator

from trainers.attempt.command.numbers import name_fault
from trainers.config.base import Frozen

_ROUNDING = 1e-6  # of single precision


class Metric(Frozen):
    """A number that every trial must report."""

    kind: Literal["final", "curve"] = "final"
    """"final": it must be there at the end. "curve": at least once, after some epoch."""
    unit: Literal["plain", "percent", "share"] = "plain"
    """What is reported: "percent" from 0 to 100; "share" from 0 to 1, which tables print in percent."""

    def fault(self, value: float) -> str | None:
        """Why a value cannot be of this unit; None: it can."""
        most = {"percent": 100.0, "share": 1.0}.get(self.unit)
        if most is None or not math.isfinite(value) or -_ROUNDING <= value / most <= 1 + _ROUNDING:
            return None
        other = "unit: percent" if self.unit == "share" and 1 < value <= 100 else "unit: plain"
        return f"is {value:g}, and a {self.unit} is from 0 to {most:g}; report such, or declare {other}"


def _metric(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


def _name(value: str) -> str:
    if why := name_fault(value):
        raise ValueError(f"{value[:60]!r} is no name of a metric: {why}")
    return value


Metrics = dict[
    Annotated[str, AfterValidator(_name)],
    Annotated[Metric, BeforeValidator(_metric, json_schema_input_type=Metric | Literal["final", "curve"])],
]
"""Metrics by name; a bare word is their kind."""


def _patterns(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Reads(Frozen):
    """What the command writes by itself, and where. Paths are from its working folder, or {folder}/..."""

    stdout: Annotated[
        tuple[str, ...], BeforeValidator(_patterns, json_schema_input_type=str | list[str])
    ] = ()
    r"""Regular expressions, looked for in each line that it prints; their named groups are numbers by
    metric, such as 'acc=(?P<top1>[0-9.]+)'. A group `epoch` says which epoch the numbers after it are of."""
    csv: str | None = None
    """A file with a line of names and a line for each epoch, whose column is `epoch`, or else `step`."""
    tensorboard: str | None = None
    """A folder with event files, also below it: its scalars by tag. Their step is taken for the epoch, where
    there is no scalar `epoch` of that step."""
    mlflow: bool = False
    """Whether it logs into MLflow: MLFLOW_TRACKING_URI is set for it, to a file of its own."""

    @field_validator("stdout")
    @classmethod
    def _are_expressions(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                groups = re.compile(pattern).groupindex
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
            for name in groups:
                _name(name)
            if not groups:
                raise ValueError(f"{pattern!r} names no metric; write (?P<name>...) around its number")
        return patterns
