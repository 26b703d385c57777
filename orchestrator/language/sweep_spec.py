"""What a sweep file says, typed: one YAML file, one question. Nothing is expanded or run here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from orchestrator.language.axes import Axis
from orchestrator.language.figure_spec import FigureSpec
from orchestrator.language.json_schema import config_tree_schema, settings_schema
from orchestrator.language.resources import SweepResources
from orchestrator.language.settings import nested
from orchestrator.language.table_spec import NAME, TableSpec
from trainers.config.base import Frozen


def _tree(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("expected a mapping of settings")
    nested(value)  # so that a malformed path is an error here, with the others
    return value


Settings = Annotated[Any, BeforeValidator(_tree), settings_schema]
"""Settings by path, dotted or nested; kept as read, so that every key knows its line."""


class ScheduleSpec(Frozen):
    """A pruning scheduler of Ray Tune, for sweeps that search. Never beside a table."""

    name: Literal["asha", "median"]
    metric: str = "train/loss"
    mode: Literal["min", "max"] = "min"
    grace_epochs: int = Field(1, ge=1)
    """Epochs that every trial gets."""
    reduction: float = Field(3.0, gt=1)
    """asha: one in so many trials goes on at each rung."""


class SweepSpec(Frozen):
    """A sweep: the cells of a table, as settings laid over a base."""

    version: Literal[1]
    """Version of this format."""
    name: str = Field(pattern=NAME)
    """Name of the sweep and of its experiment in MLflow."""
    question: str | None = None
    """What the sweep answers, in one sentence."""
    plugins: tuple[str, ...] = ()
    """Methods, data sets, encoders, optimizers and trainers of one's own: files (./mine.py), folders
    (./mine/, all their *.py), relative to this file, or importable modules."""
    base: Annotated[Any, BeforeValidator(_tree), config_tree_schema]
    """The config that every cell starts from."""
    profiles: dict[Annotated[str, Field(pattern=NAME)], Settings] = {}
    """Named settings laid over the base, such as "laptop" and "paper"; one is chosen for each run."""
    axes: dict[str, Axis] = {}
    """Factors by name, each with its levels."""
    design: Literal["grid", "one_at_a_time", "leave_one_out"] = "grid"
    """"grid": all combinations. "one_at_a_time": the base, and each level alone over it.
    "leave_one_out": every axis's one level together, and all of them but one."""
    seeds: Annotated[int, Field(ge=1, le=10_000)] | tuple[Annotated[int, Field(ge=0)], ...] = 1
    """Number of seeds, from 0, or a list of them."""
    resources: SweepResources = SweepResources()
    tables: tuple[TableSpec, ...] = ()
    figures: tuple[FigureSpec, ...] = ()
    schedule: ScheduleSpec | None = None

    @field_validator("seeds", mode="before")
    @classmethod
    def _seeds_are_numbers(cls, value: Any) -> Any:
        # Without this, the error would list what is wrong with each of the two forms.
        wrong = "expected a number of seeds from 1 to 10000, or a list of different seeds from 0"
        if isinstance(value, bool) or not isinstance(value, (int, list, tuple)):
            raise ValueError(f"{wrong}; got {value!r}")
        if isinstance(value, int):
            if not 1 <= value <= 10_000:
                raise ValueError(f"{wrong}; got {value}")
            return value
        whole = all(isinstance(s, int) and not isinstance(s, bool) and 0 <= s < 2**31 for s in value)
        if not value or not whole or len(set(value)) != len(value):
            raise ValueError(f"{wrong}; got {list(value)}")
        return value

    @model_validator(mode="after")
    def _tables_need_equal_budgets(self) -> SweepSpec:
        if self.tables and self.schedule:
            raise ValueError(
                "a table needs equal budgets in every cell, but `schedule` stops trials early; "
                "remove `schedule`, or `tables`"
            )
        return self

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds themselves."""
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds
