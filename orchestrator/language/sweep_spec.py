"""What a sweep file says, typed: one YAML file, one question. Nothing is expanded or run here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from orchestrator.errors import Problem, SpecError
from orchestrator.language.axes import Axis
from orchestrator.language.hints import nearest, problems_of
from orchestrator.language.json_schema import config_tree_schema, settings_schema
from orchestrator.language.resources import SweepResources
from orchestrator.language.settings import merged, nested
from orchestrator.language.yaml_text import parse
from trainers.config.base import Frozen
from trainers.config.plugins import Member

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"


def _tree(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("expected a mapping of settings")
    nested(value)  # so that a malformed path is an error here, with the others
    return value


Settings = Annotated[Any, BeforeValidator(_tree), settings_schema]
"""Settings by path, dotted or nested; kept as read, so that every key knows its line."""


class Published(Frozen):
    """A table's published numbers."""

    source: str
    """Where they are printed: paper and table."""
    profile: str | None = None
    """The profile that trains what was published; under another one there is no verdict."""
    tolerance: float | None = Field(None, ge=0)
    """Largest gap that counts as reproduced, in the unit of `values`; None: shown, with no verdict, as for
    numbers of another protocol."""
    values: tuple[tuple[float | None, ...], ...]
    """Rows of values in the table's unit, in the order of its rows and columns; null where there is none."""
    spread: tuple[tuple[Annotated[float, Field(ge=0)] | None, ...], ...] | None = None
    """Published standard deviations, alike; a gap within two of them counts as reproduced, too."""

    @model_validator(mode="after")
    def _spread_has_the_shape_of_values(self) -> Published:
        if self.spread is not None and [*map(len, self.spread)] != [*map(len, self.values)]:
            raise ValueError("spread: expected as many rows and numbers as values has")
        for values, spread in zip(self.values, self.spread or (), strict=False):
            if any(v is None and sd is not None for v, sd in zip(values, spread, strict=False)):
                raise ValueError("spread: a number stands where values has null")
        return self


class TableSpec(Frozen):
    """A table the sweep must fill."""

    name: str = Field(pattern=NAME)
    rows: str | tuple[str, ...]
    """Axis, or axes, down the table; "cells" lists every cell."""
    columns: str | tuple[str, ...] = ()
    """Axis, or axes, across; empty for a single column."""
    where: dict[str, str] = {}
    """Fixed levels of further axes: {axis: level}."""
    metric: str = "probe/top1"
    """Final metric of a trial."""
    unit: Literal["percent", "plain"] | None = None
    """How it is printed; percent for accuracies unless said otherwise."""
    digits: int = Field(1, ge=0, le=6)
    """Digits after the point."""
    baseline: dict[str, str] = {}
    """The cell that the others are compared with, paired by seed: {axis: level}."""
    expected: Literal["rising", "falling"] | None = None
    """How a theory says the numbers go down each column; the table says whether they do."""
    published: Published | None = None

    @property
    def in_percent(self) -> bool:
        """Whether the metric is a share that is printed in percent."""
        accuracy = self.metric.endswith(("top1", "top5"))
        return accuracy if self.unit is None else self.unit == "percent"

    @property
    def axes(self) -> tuple[str, ...]:
        """Every axis that rows, columns and `where` speak of."""
        return (*self.row_axes, *self.column_axes, *self.where)

    @property
    def row_axes(self) -> tuple[str, ...]:
        """Axes of the rows; none where the rows are cells."""
        return () if self.rows == "cells" else _as_tuple(self.rows)

    @property
    def column_axes(self) -> tuple[str, ...]:
        """Axes of the columns."""
        return _as_tuple(self.columns)


class FigureSpec(Frozen):
    """A figure the sweep draws."""

    kind: Annotated[str, Member("orchestrator.answer.figures", "figure kind")]
    name: str | None = Field(None, pattern=NAME)
    """File name; the kind if not given."""
    columns: tuple[str, ...] = ()
    """eigenspace: of F, Wp, alignment, asymmetry (all if empty). curves: metrics. spectra: of embedding,
    feature (both if empty), F, Wp."""
    over: str | None = None
    """curves, eigenspace: a metric that replaces the epochs on the horizontal axis, such as dynamics/time."""
    where: dict[str, str] = {}
    """Fixed levels: only these cells are drawn."""

    @property
    def file_name(self) -> str:
        """Its file's name, without ending."""
        return self.name or self.kind


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


def load(file: str, read: Callable[[str, str | None], tuple[str, str]]) -> SweepSpec:
    """The sweep that `file` describes, its `extends` resolved.

    Args:
        file: the file as the user named it.
        read: (name, name of the file that refers to it) to (resolved name, text).

    Raises:
        SpecError: with every problem found.
    """
    tree = _with_parents(file, None, read, ())
    return cross_checked(validated(tree, f"{file}:1"), f"{file}:1", tree)


def validated(tree: dict[str, Any], default: str) -> SweepSpec:
    """The sweep that `tree` says, from the place `default` where its keys know none.

    Raises:
        SpecError: with every problem found.
    """
    try:
        return SweepSpec.model_validate(tree)
    except ValidationError as error:
        raise SpecError(problems_of(error, tree, default=default)) from None


def cross_checked(spec: SweepSpec, default: str, tree: Any = None) -> SweepSpec:
    """`spec`, if its parts fit each other.

    Args:
        spec: a sweep.
        default: where it is from.
        tree: what it was read from, whose keys know their lines; None: it was built in Python.

    Raises:
        SpecError: with every name of an axis, level or profile that does not exist.
    """
    if problems := list(_cross_references(spec, {} if tree is None else tree, default)):
        raise SpecError(problems)
    return spec


def _with_parents(
    file: str,
    child: str | None,
    read: Callable[[str, str | None], tuple[str, str]],
    seen: tuple[str, ...],
) -> dict[str, Any]:
    name, text = read(file, child)
    if name in seen:
        raise SpecError([Problem(f"{child}:1", "extends", f"a circle: {' -> '.join((*seen, name))}")])
    tree = parse(text, name)
    parent = tree.pop("extends", None)
    if parent is None:
        return tree
    if not isinstance(parent, str):
        raise SpecError([Problem(f"{name}:1", "extends", f"expected a file name, got {parent!r}")])
    above = _with_parents(parent, name, read, (*seen, name))
    if "base" in above and isinstance(above["base"], dict) and isinstance(tree.get("base"), dict):
        tree["base"] = merged(nested(above["base"]), nested(tree["base"]))
    if isinstance(above.get("axes"), dict) and isinstance(tree.get("axes"), dict):
        tree["axes"] = above["axes"] | tree["axes"]
    if isinstance(above.get("profiles"), dict) and isinstance(tree.get("profiles"), dict):
        tree["profiles"] = above["profiles"] | {
            name: merged(nested(above["profiles"][name]), nested(own))
            if isinstance(above["profiles"].get(name), dict) and isinstance(own, dict)
            else own
            for name, own in tree["profiles"].items()
        }
    return above | tree


def _cross_references(spec: SweepSpec, tree: Any, default: str) -> Any:
    """Problems between the parts: names of axes, levels and profiles that do not exist."""
    from orchestrator.language.yaml_text import place_of

    def problem(path: tuple[str | int, ...], message: str) -> Problem:
        return Problem(place_of(tree, path, default), ".".join(map(str, path)), message)

    def levels(settings: dict[str, str], path: tuple[str | int, ...]) -> Any:
        for axis, level in settings.items():
            if axis not in spec.axes:
                yield problem((*path, axis), f"no such axis; {nearest(axis, spec.axes)}")
            elif level not in spec.axes[axis].labels:
                hint = nearest(level, spec.axes[axis].labels)
                yield problem((*path, axis), f"no level '{level}' on axis '{axis}'; {hint}")

    for name, axis in spec.axes.items():
        if spec.design == "leave_one_out" and len(axis.levels) != 1:
            message = (
                f"leave_one_out needs one level per axis, the part that is left out; got {len(axis.levels)}"
            )
            yield problem(("axes", name), message)
        for other, wanted in axis.when.items():
            earlier = list(spec.axes)[: list(spec.axes).index(name)]
            if other not in earlier:
                yield problem(("axes", name, "when", other), f"no earlier axis; {nearest(other, earlier)}")
                continue
            for label in wanted:
                yield from levels({other: label}, ("axes", name, "when"))
    for index, table in enumerate(spec.tables):
        path = ("tables", index)
        known = [*spec.axes, "cells"]
        for field, axes in (("rows", table.row_axes), ("columns", table.column_axes)):
            for axis_name in axes:
                if axis_name not in spec.axes:
                    yield problem((*path, field), f"no axis '{axis_name}'; {nearest(axis_name, known)}")
        yield from levels(table.where, (*path, "where"))
        at_base = {axis for axis, level in table.baseline.items() if level == "base"}
        free = at_base if spec.design != "grid" else set()
        yield from levels({a: v for a, v in table.baseline.items() if a not in free}, (*path, "baseline"))
        open_axes = [
            name
            for name, axis in spec.axes.items()
            if name not in table.axes
            and all(table.where.get(other, wanted[0]) in wanted for other, wanted in axis.when.items())
        ]
        if open_axes and spec.design == "grid" and table.rows != "cells":
            message = f"axis '{open_axes[0]}' is neither in rows, columns nor where; its levels share a place"
            yield problem(path, message)
        published = table.published
        if published and published.profile and published.profile not in spec.profiles:
            hint = nearest(published.profile, spec.profiles)
            yield problem((*path, "published", "profile"), f"no profile '{published.profile}'; {hint}")
        if published and all(a in spec.axes for a in (*table.row_axes, *table.column_axes)):
            yield from _shape_problems(spec, table, published, path, problem)
    for index, figure in enumerate(spec.figures):
        yield from levels(figure.where, ("figures", index, "where"))
    for index, cells in enumerate(spec.resources.cells):
        yield from levels(cells.where, ("resources", "cells", index, "where"))
    for block, names in (
        ("tables", [table.name for table in spec.tables]),
        ("figures", [figure.file_name for figure in spec.figures]),
    ):
        for index, name in enumerate(names):
            if name in names[:index]:
                yield problem((block, index), f"two {block} are called '{name}'; give one another `name`")


def _shape_problems(spec: SweepSpec, table: TableSpec, published: Published, path: Any, problem: Any) -> Any:
    if table.rows == "cells" or spec.design != "grid" or any(axis.when for axis in spec.axes.values()):
        return  # its rows are known once the sweep is expanded: `planning.layout` checks them
    expected = (_count(spec, table.row_axes), _count(spec, table.column_axes))
    widths = sorted({len(row) for row in published.values})
    if len(published.values) != expected[0] or widths != [expected[1]]:
        got = f"{len(published.values)} rows of {' or '.join(map(str, widths))}"
        message = f"expected {expected[0]} rows of {expected[1]} values, got {got}"
        yield problem((*path, "published", "values"), message)


def _count(spec: SweepSpec, axes: tuple[str, ...]) -> int:
    number = 1
    for axis in axes:
        number *= len(spec.axes[axis].levels)
    return number


def _as_tuple(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value
