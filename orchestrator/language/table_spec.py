"""A table that a sweep must fill, and the numbers that were published of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, WithJsonSchema, model_validator
from pydantic.config import JsonDict

from orchestrator.errors import UsageError
from trainers.config.base import Frozen

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
EVALUATIONS = "evaluations"
LONGEST_NAME, LONGEST_PROFILE = 200, 40
"""Characters of the name of a sweep, table or figure, and of a profile.

Files are called by them (name-profile, name.html), whose names have at most 255 bytes; so are tags of MLflow
("orch.in.name"), with at most 250.
"""
MOST_EXPECTED = 20
"""Expectations of one table: each trial carries them."""
LevelName = Annotated[str, WithJsonSchema({"type": ["string", "number", "boolean"]})]
"""A level of an axis: its label, or, in a file, the value it stands for."""


Best = Literal["highest", "lowest"] | None
MARKS = ("signs", "words")
Words = Annotated[str, Field(min_length=1, max_length=500)]


class Published(Frozen):
    """A table's published numbers."""

    source: str
    """Where they are printed: paper and table."""
    what: Literal["published", "theory"] = "published"
    """Whether somebody has measured these numbers, or a theory says them; heads their column."""
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


class Expectation(Frozen):
    """What is expected of a cell, or of two: written down before they are trained, and judged then."""

    cell: dict[str, LevelName]
    """The cell: {axis: level}, so that one cell of the table fits."""
    minus: dict[str, LevelName] | None = None
    """Another cell: then the difference of the two is meant, paired by seed."""
    at_least: float | None = Field(None, allow_inf_nan=False)
    """Lower bound of the mean, in the table's unit; 0 for a sign."""
    at_most: float | None = Field(None, allow_inf_nan=False)
    """Upper bound of the mean, in the table's unit."""
    collapses: bool | None = None
    """Instead of bounds: whether more than half of the cell's trials collapse."""
    claim: Words | None = None
    """Whose claim this tests, in words, for an index of claims; no part of what trials are trained under."""
    source: Words | None = None
    """Where the claim is made, perhaps with the numbers; also no part of it."""

    @model_validator(mode="after")
    def _says_one_thing(self) -> Expectation:
        bounded = self.at_least is not None or self.at_most is not None
        if bounded == (self.collapses is not None):
            raise ValueError("expected at_least, at_most or both; or else collapses: true or false")
        if self.collapses is not None and self.minus is not None:
            raise ValueError("collapses is said of one cell; leave out minus")
        if self.at_least is not None and self.at_most is not None and self.at_least >= self.at_most:
            raise ValueError(f"at_least {self.at_least} is not below at_most {self.at_most}")
        if self.cell == self.minus:
            raise ValueError("cell and minus are one cell")
        return self


class Further(Frozen):
    """A further metric of a table."""

    metric: str
    """Final metric of a trial."""
    unit: Literal["percent", "plain"] | None = None
    """How it is printed; percent for accuracies unless said otherwise."""
    digits: int | None = Field(None, ge=0, le=6)
    """Digits after the point; 1 of percents and 3 of others, unless said otherwise."""
    best: Best = None
    """Whether more or less of it is better; marks the best, as far as seeds show."""
    claim: Words | None = None
    """What its numbers, or their direction, are said to show, in words."""
    source: Words | None = None
    """Where that is said."""
    expected: Literal["rising", "falling"] | None = None
    """How a theory says its numbers go down each column."""
    expectations: tuple[Expectation, ...] = Field((), max_length=MOST_EXPECTED)
    """What is expected of it."""
    published: Published | None = None
    """What was published of it."""


_OR_SEVERAL: JsonDict = {"type": ["string", "array"], "items": {"type": ["string", "object"]}}


class TableSpec(Frozen):
    """A table the sweep must fill."""

    name: str = Field(pattern=NAME, max_length=LONGEST_NAME)
    """Name of the table and of its files."""
    rows: str | tuple[str, ...]
    """Axis, or axes, down the table; "cells" lists every cell."""
    columns: str | tuple[str, ...] = ()
    """Axis, or axes, across; empty for a single column. "evaluations": the metric, and each evaluation's
    top1."""
    where: dict[str, LevelName] = {}
    """Fixed levels of further axes: {axis: level}."""
    metric: str = Field("probe/top1", json_schema_extra=_OR_SEVERAL)
    """Final metric of a trial, or several: [probe/top1, knn/top1], a column each; the first is what unit,
    digits, published numbers and expectations of the table are of. A further one may have its own."""
    unit: Literal["percent", "plain"] | None = None
    """How it is printed; percent for accuracies unless said otherwise."""
    digits: int = Field(1, ge=0, le=6)
    """Digits after the point."""
    best: Best = None
    """Whether more or less of it is better: marks the cells that no other is shown to beat, where seeds show
    so."""
    marks: Literal["signs", "words"] | None = None
    """How trials that collapsed, diverged, failed or are missing are told in a cell: by signs with a legend,
    "† 1/3", or in words, "1 of 3 collapsed"; signs unless said otherwise."""
    baseline: dict[str, LevelName] = {}
    """The cell that the others are compared with, paired by seed: {axis: level}."""
    claim: Words | None = None
    """What the numbers, or their direction, are said to show, in words, for an index of claims."""
    source: Words | None = None
    """Where that is said."""
    expected: Literal["rising", "falling"] | None = None
    """How a theory says the numbers go down each column; the table says whether they do."""
    expectations: tuple[Expectation, ...] = Field((), max_length=MOST_EXPECTED)
    """What is expected of single cells, and of differences between two. Trials carry what was written when
    they began, so that the table can say whether it was predicted."""
    published: Published | None = None
    """The numbers that were published of it, printed beside ours."""
    also: tuple[Further, ...] = Field((), max_length=20)
    """Further metrics, as a list under `metric` has them."""

    @model_validator(mode="before")
    @classmethod
    def _first_and_further(cls, values: Any) -> Any:
        listed = values.get("metric") if isinstance(values, dict) else None
        if not isinstance(listed, (list, tuple)):
            return values
        named = [{"metric": one} if isinstance(one, str) else one for one in listed]
        metrics = [one.get("metric") if isinstance(one, dict) else None for one in named]
        if (
            not metrics
            or not all(isinstance(one, str) for one in metrics)
            or len(set(metrics)) < len(metrics)
        ):
            raise ValueError("metric: expected a metric, or a list of different ones")
        first = dict(named[0])
        read = {key: value for key, value in values.items() if key != "metric"}
        if twice := sorted(read.keys() & (first.keys() | {"also"})):
            said = ", ".join(twice)
            raise ValueError(
                f"{said}: said of the table and under metric; expected one of them, leave one out"
            )
        return read | {"also": named[1:], "metric": first.pop("metric")} | first

    @property
    def further(self) -> tuple[TableSpec, ...]:
        """The same table of each further metric."""
        columns = () if self.columns == EVALUATIONS else self.columns
        same: dict[str, Any] = {"name": self.name, "rows": self.rows, "columns": columns}
        same |= {"where": self.where, "marks": self.marks, "baseline": self.baseline}
        made = []
        for one in self.also:
            own = TableSpec(**same | dict(one) | {"digits": 1 if one.digits is None else one.digits})
            digits = 3 if one.digits is None and not own.in_percent else own.digits
            made.append(TableSpec.model_validate(dict(own) | {"digits": digits}))
        return tuple(made)

    @property
    def parts(self) -> tuple[TableSpec, ...]:
        """The table of each of its metrics."""
        return (self, *self.further)

    @property
    def metrics(self) -> tuple[str, ...]:
        """All that it shows."""
        return (self.metric, *(one.metric for one in self.also))

    @property
    def in_percent(self) -> bool:
        """Whether the metric is a share that is printed in percent."""
        accuracy = self.metric.endswith(("top1", "top5"))
        return accuracy if self.unit is None else self.unit == "percent"

    @property
    def in_words(self) -> bool:
        """Whether marks are words."""
        return self.marks == "words"

    @property
    def scale(self) -> int:
        """By what a number is multiplied where people read it."""
        return 100 if self.in_percent else 1

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
        if self.columns == EVALUATIONS:
            return ()
        return _as_tuple(self.columns)


def asked_table(
    tables: Sequence[TableSpec],
    name: str | None,
    *,
    metric: str | None,
    rows: Sequence[str],
    columns: Sequence[str],
) -> TableSpec:
    """A table that a sweep's file does not have: one of its own with another metric, or other axes.

    What was published, or is expected, is of the table as the file has it, and is left out.

    Raises:
        UsageError: there is no table of that name.
    """
    named = [table for table in tables if name in (None, table.name)]
    own = next((table for table in named if table.metric == metric), named[0] if named else None)
    if own is None and name is not None:
        known = ", ".join(table.name for table in tables) or "none"
        raise UsageError(f"no table '{name}'; tables: {known}")
    values: dict[str, Any] = own.model_dump(exclude_unset=True) if own else {"name": "table", "rows": "cells"}
    values = {key: value for key, value in values.items() if key not in _SAID}
    if "also" in values:
        also = [{key: value for key, value in one.items() if key not in _SAID} for one in values["also"]]
        values["also"] = also
    if metric is not None and metric != (own.metric if own else None):
        values = {key: value for key, value in values.items() if key not in ("unit", "digits", "best")}
        values = {key: value for key, value in values.items() if key != "also"} | {"metric": metric}
        if not TableSpec.model_validate(values).in_percent:
            values["digits"] = 3
    if EVALUATIONS in columns:
        if len(columns) > 1:
            raise UsageError("--columns evaluations: is a column for each; name axes under --rows")
        rows = rows or ((*own.row_axes, *own.column_axes) if own else ()) or ("cells",)
    if rows:
        values |= {"rows": rows[0] if list(rows) == ["cells"] else tuple(rows), "columns": ()}
    if columns:
        values["columns"] = EVALUATIONS if EVALUATIONS in columns else tuple(columns)
    placed = {*rows, *columns}
    values["where"] = {axis: level for axis, level in values.get("where", {}).items() if axis not in placed}
    try:
        return TableSpec.model_validate(values)
    except ValidationError as error:
        raise UsageError(f"--{error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}") from None


_SAID = frozenset({"published", "expected", "expectations", "claim", "source"})
"""What others say of a table's numbers, as the file has them."""


def _as_tuple(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value
