"""A table that a sweep must fill, and the numbers that were published of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, WithJsonSchema, model_validator

from orchestrator.errors import UsageError
from trainers.config.base import Frozen

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
EVALUATIONS = "evaluations"
LONGEST_NAME, LONGEST_PROFILE = 200, 40
"""Characters of the name of a sweep, table or figure, and of a profile.

Files are called by them (name-profile, name.html), whose names have at most 255 bytes; so are tags of MLflow
("orch.in.name"), with at most 250.
"""
LevelName = Annotated[str, WithJsonSchema({"type": ["string", "number", "boolean"]})]
"""A level of an axis: its label, or, in a file, the value it stands for."""


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
    metric: str = "probe/top1"
    """Final metric of a trial."""
    unit: Literal["percent", "plain"] | None = None
    """How it is printed; percent for accuracies unless said otherwise."""
    digits: int = Field(1, ge=0, le=6)
    """Digits after the point."""
    baseline: dict[str, LevelName] = {}
    """The cell that the others are compared with, paired by seed: {axis: level}."""
    expected: Literal["rising", "falling"] | None = None
    """How a theory says the numbers go down each column; the table says whether they do."""
    published: Published | None = None
    """The numbers that were published of it, printed beside ours."""

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
    values = {key: value for key, value in values.items() if key not in ("published", "expected")}
    if metric is not None and metric != (own.metric if own else None):
        values = {key: value for key, value in values.items() if key not in ("unit", "digits")}
        values["metric"] = metric
        if not TableSpec.model_validate(values).in_percent:
            values["digits"] = 3
    if rows:
        values |= {"rows": rows[0] if list(rows) == ["cells"] else tuple(rows), "columns": ()}
    if columns:
        values["columns"] = tuple(columns)
    placed = {*rows, *columns}
    values["where"] = {axis: level for axis, level in values.get("where", {}).items() if axis not in placed}
    try:
        return TableSpec.model_validate(values)
    except ValidationError as error:
        raise UsageError(f"--{error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}") from None


def _as_tuple(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value
