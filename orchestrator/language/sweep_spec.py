"""What a sweep file says, typed: one YAML file, one question. Nothing is expanded or run here."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from orchestrator.errors import UsageError
from orchestrator.language.cells.axes import Axis, label_of, level_of
from orchestrator.language.cells.chains import Parent
from orchestrator.language.cells.seeds import (
    CellSeeds,
    Excluded,
    Seeds,
    given_seeds,
    or_a_range,
    seeds_listed,
)
from orchestrator.language.cells.units import with_units
from orchestrator.language.figure_spec import FigureSpec
from orchestrator.language.hints import shown
from orchestrator.language.json_schema import settings_schema, sweep_schema
from orchestrator.language.resources import SweepResources
from orchestrator.language.settings import nested
from orchestrator.language.table_spec import LONGEST_NAME, LONGEST_PROFILE, NAME, TableSpec
from trainers.config import foreign
from trainers.config.base import Frozen
from trainers.config.foreign import PluginError
from trainers.config.plugins import Plugin

MOST_AXES = 100
MOST_PARTS = 100
"""Tables, and figures, of one sweep."""


def _tree(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        what = shown(value)
        hint = f"; write {value.replace('=', ': ', 1)}" if isinstance(value, str) and "=" in what else ""
        raise ValueError(f"expected a mapping of settings, got {what}{hint}")
    nested(value)  # so that a malformed path is an error here, with the others
    return value


Settings = Annotated[Any, BeforeValidator(_tree), settings_schema]
"""Settings by path, dotted or nested; kept as read, so that every key knows its line."""


def _protocol(value: Any) -> Any:
    return nested(value) if isinstance(value, dict) else value


def _named(part: Any, axes: dict[str, Any]) -> Any:
    """A part of a sweep in which each level that is given as a number has its label."""
    if isinstance(part, (list, tuple)):
        return [_named(one, axes) for one in part]
    if not isinstance(part, dict):
        return part
    named = dict(part)
    for key, value in part.items():
        if key in ("cells", "expectations", "metric", "also"):
            named[key] = _named(value, axes)
        elif key in ("where", "baseline", "cell", "minus") and isinstance(value, dict):
            named[key] = {
                axis: level_of(axes[axis], level) if axis in axes else label_of(level)
                for axis, level in value.items()
            }
    return named


class ScheduleSpec(Frozen):
    """A pruning scheduler of Ray Tune, for sweeps that search. Never beside a table."""

    name: Literal["asha", "median"]
    """"asha": rungs by successive halving. "median": ends what is worse than the median of the others."""
    metric: str = "train/loss"
    """Metric of each epoch by which trials are compared."""
    mode: Literal["min", "max"] = "min"
    """Whether less or more of it is better."""
    grace_epochs: int = Field(1, ge=1)
    """Epochs that every trial gets."""
    reduction: float = Field(3.0, gt=1)
    """asha: one in so many trials goes on at each rung."""


class SweepSpec(Frozen):
    """A sweep: the cells of a table, as settings laid over a base."""

    version: Literal[1]
    """Version of this format."""
    name: str = Field(pattern=NAME, max_length=LONGEST_NAME)
    """Name of the sweep and of its experiment in MLflow."""
    question: str | None = None
    """What the sweep answers, in one sentence."""
    plugins: tuple[str, ...] = ()
    """Methods, data sets, encoders, optimizers and trainers of one's own: files (./mine.py), folders
    (./mine/, all their *.py), relative to this file, or importable modules."""
    base: Settings
    """The config that every cell starts from."""
    profiles: dict[Annotated[str, Field(pattern=NAME, max_length=LONGEST_PROFILE)], Settings] = {}
    """Named settings laid over the base, such as "laptop" and "paper"; one is chosen for each run."""
    axes: dict[str, Axis] = Field({}, max_length=MOST_AXES)
    """Factors by name, each with its levels."""
    design: Literal["grid", "one_at_a_time", "leave_one_out"] = "grid"
    """"grid": all combinations. "one_at_a_time": the base, and each level alone over it.
    "leave_one_out": every axis's one level together, and all of them but one."""
    seeds: Seeds = Field(1, json_schema_extra=or_a_range)
    """Number of seeds, from 0, a list of them, or 0-4."""
    cell_seeds: tuple[CellSeeds, ...] = Field((), max_length=MOST_PARTS)
    """Seeds of some cells instead; where two of these fit, the later counts. `--seeds` replaces all."""
    exclude: tuple[Excluded, ...] = Field((), max_length=MOST_PARTS)
    """Trials that do not count, such as those of a broken node; each table names them with the reason."""
    resources: SweepResources = SweepResources()
    """What one trial needs of a node, and how many run at once."""
    evaluations: dict[
        Annotated[str, Field(pattern=NAME, max_length=LONGEST_PROFILE)],
        Annotated[Any, Plugin("evaluations", as_written=True), BeforeValidator(_protocol)],
    ] = Field({}, max_length=MOST_PARTS)
    """Evaluations of each trial's encoder by name, each a trial of its own; keeps encoders. Metrics of one
    are called as it is: few/top1."""
    tables: tuple[TableSpec, ...] = Field((), max_length=MOST_PARTS)
    """The tables that it must fill."""
    figures: tuple[FigureSpec, ...] = Field((), max_length=MOST_PARTS)
    """The figures that it draws."""
    keep: tuple[Literal["encoder"], ...] = Field((), json_schema_extra={"uniqueItems": True})
    """What of each trained network is kept beside its results: [encoder]. No part of a trial's id."""
    schedule: ScheduleSpec | None = None
    """A pruning scheduler, for sweeps that search; never beside a table."""
    _known: foreign.Known = PrivateAttr(default_factory=dict)
    _parents: dict[str, Parent] = PrivateAttr(default_factory=dict)

    def with_plugins(self, known: foreign.Known) -> Self:
        """This sweep, whose names mean these plug-ins, whatever becomes of their files."""
        own = self.model_copy()
        own._known = known
        return own

    def with_parents(self, parents: dict[str, Parent]) -> Self:
        """This sweep, whose trials may start from the encoders of these, by what it calls them."""
        own = self.model_copy()
        own._parents = parents
        return own

    @property
    def parents(self) -> dict[str, Parent]:
        """The sweeps from whose encoders its trials may start, by what it calls them."""
        return self._parents

    @contextlib.contextmanager
    def names(self) -> Iterator[None]:
        """Within, a plug-in's name means what it means in this sweep, and that of no other sweep's anything.

        Raises:
            PluginError: its plug-ins have not been looked at before, and one cannot be used.
        """
        with foreign.knowing(self._known) as known:
            if self.plugins and not known:
                foreign.join(*self.plugins)
            yield

    _given = field_validator("seeds", mode="before")(given_seeds)

    @field_validator("plugins")
    @classmethod
    def _plugins_stay_where_they_are(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(foreign.resolved(entry, Path()) for entry in entries)

    @field_validator("axes")
    @classmethod
    def _conditions_name_levels(cls, axes: dict[str, Any]) -> dict[str, Any]:
        named = dict(axes)
        for name, axis in axes.items():
            when = {
                a: tuple(level_of(axes[a], v) for v in w) if a in axes else w for a, w in axis.when.items()
            }
            if when != axis.when:
                named[name] = type(axis)(levels=axis.levels, when=when)
        return named

    @field_validator("resources", "cell_seeds", "exclude", "tables", "figures", mode="before")
    @classmethod
    def _levels_have_their_names(cls, value: Any, info: ValidationInfo) -> Any:
        return _named(value, info.data.get("axes", {}))

    @field_validator("tables")
    @classmethod
    def _tables_know_units(cls, tables: tuple[TableSpec, ...], info: ValidationInfo) -> tuple[TableSpec, ...]:
        """What commands say of their metrics is how tables print them, unless a table says otherwise."""
        base, profiles, axes = (info.data.get(field, {}) for field in ("base", "profiles", "axes"))
        return tuple(with_units(table, base, profiles, axes) for table in tables)

    @model_validator(mode="after")
    def _tables_need_equal_budgets(self) -> SweepSpec:
        if self.tables and self.schedule:
            raise ValueError(
                "a table needs equal budgets in every cell, but `schedule` stops trials early; "
                "remove `schedule`, or `tables`"
            )
        return self

    @property
    def searches(self) -> bool:
        """Whether it ends trials early, so that their results are its own alone."""
        return self.schedule is not None

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds themselves."""
        return seeds_listed(self.seeds)

    @property
    def every_seed(self) -> frozenset[int]:
        """Those that any cell may have, whether or not they count."""
        return frozenset(self.seed_list).union(*(seeds_listed(one.seeds) for one in self.cell_seeds))


def written_schema() -> str:
    """The JSON Schema of sweep files, with the plug-ins that are known by now.

    Raises:
        UsageError: one that is installed cannot be used.
    """
    try:
        return json.dumps(sweep_schema(SweepSpec.model_json_schema()), indent=2) + "\n"
    except PluginError as error:
        raise UsageError(str(error)) from None
