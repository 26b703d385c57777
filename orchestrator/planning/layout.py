"""Where the cells of a sweep stand in its tables, before any result."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from orchestrator.errors import UsageError
from orchestrator.language.hints import nearest
from orchestrator.language.table_spec import Published, TableSpec
from orchestrator.planning.expand import Expansion
from orchestrator.planning.trials import BASE, Cell, in_words
from trainers.config.plugins import behind


class Layout(NamedTuple):
    """Where a table's cells stand, before any result."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[Cell | None, ...], ...]
    """By row and column; None where the design has no such cell."""
    published: tuple[tuple[float | None, ...], ...]
    """Published values, alike, in the unit of results."""
    published_sd: tuple[tuple[float | None, ...], ...]
    """Their standard deviations, alike."""
    baseline: Cell | None


def layout(expansion: Expansion, spec: TableSpec) -> Layout:
    """Rows, columns and places of a table.

    Raises:
        UsageError: two cells share a place, the baseline is not one cell, or published values do not fit.
    """
    row_axes = tuple(expansion.spec.axes) if spec.rows == "cells" else spec.row_axes
    inside = _inside(expansion, spec, (*row_axes, *spec.column_axes))
    if inside and not any(_may_report(cell, spec.metric) for cell in inside):
        known = sorted({name for cell in inside for name in _declared(cell) or ()})
        hint = f"; {nearest(spec.metric, known)}" if known else ""
        raise UsageError(
            f"table '{spec.name}': none of its cells reports '{spec.metric}', as they are set{hint}"
        )
    row_keys, rows = _headers(expansion, inside, row_axes, spec)
    column_keys, columns = _headers(expansion, inside, spec.column_axes, spec)
    places: dict[Any, Cell] = {}
    for cell in inside:
        place = (_place(cell, row_axes), _place(cell, spec.column_axes))
        if place in places:
            raise UsageError(
                f"table '{spec.name}': cells '{places[place].label}' and '{cell.label}' share a place; "
                "name the axis they differ in under rows, columns or where"
            )
        places[place] = cell
    cells = tuple(tuple(places.get((row, column)) for column in column_keys) for row in row_keys)
    for one in spec.expectations:
        for named in (one.cell, one.minus):
            if named is not None:  # {}: the only cell of a table without axes
                one_cell(expansion, spec, named)
    published = _published(spec, rows, columns)
    spread = _published(spec, rows, columns, spread=True)
    baseline = one_cell(expansion, spec, spec.baseline, what="baseline") if spec.baseline else None
    return Layout(rows, columns, cells, published, spread, baseline)


def _may_report(cell: Cell, metric: str) -> bool:
    """Whether trials of a cell may report a metric, as the cell is set."""
    unreported, declared = getattr(behind(cell.loop), "unreported", None), _declared(cell)
    if declared is not None:
        return metric in declared
    return unreported is None or metric not in unreported(cell.config())


def _declared(cell: Cell) -> Collection[str] | None:
    """The metrics that trials of a cell report, where its settings say which."""
    declared = getattr(behind(cell.loop), "declared", None)
    return None if declared is None else declared(cell.config())


def _inside(expansion: Expansion, spec: TableSpec, axes: tuple[str, ...]) -> list[Cell]:
    """The cells that a table over `axes` shows.

    A design that moves one axis at a time has cells in which an axis outside the table is moved; they
    belong to another table. Where nothing is moved, that axis has no level, or in "leave_one_out" its own.
    """
    cells = [cell for cell in expansion.cells if spec.where.items() <= dict(cell.choice).items()]
    design = expansion.spec.design
    if design == "grid":
        return cells
    outside = [axis for axis in expansion.spec.axes if axis not in (*axes, *spec.where)]
    unmoved = {
        axis: None if design == "one_at_a_time" else expansion.spec.axes[axis].labels[0] for axis in outside
    }
    return [cell for cell in cells if unmoved.items() <= dict(cell.choice).items()]


def _headers(
    expansion: Expansion, cells: Sequence[Cell], axes: tuple[str, ...], spec: TableSpec
) -> tuple[list[tuple[str | None, ...]], tuple[str, ...]]:
    """Keys and labels of the rows or columns: the combinations that occur, in the order of the axes."""
    if not axes:
        return [()], (spec.metric,)
    order = {axis: expansion.spec.axes[axis].labels for axis in axes}

    def rank(key: tuple[str | None, ...]) -> tuple[int, ...]:
        pairs = zip(axes, key, strict=True)
        return tuple(-1 if label is None else order[axis].index(label) for axis, label in pairs)

    keys = sorted({_place(cell, axes) for cell in cells}, key=rank)
    return keys, tuple(in_words(key) for key in keys)


def _place(cell: Cell, axes: tuple[str, ...]) -> tuple[str | None, ...]:
    chosen = dict(cell.choice)
    return tuple(chosen[axis] for axis in axes)


def one_cell(
    expansion: Expansion, spec: TableSpec, named: Mapping[str, str], *, what: str = "expected cell"
) -> Cell:
    """The one cell of a table that has these levels.

    Raises:
        UsageError: none has, or several.
    """
    row_axes = tuple(expansion.spec.axes) if spec.rows == "cells" else spec.row_axes
    inside = _inside(expansion, spec, (*row_axes, *spec.column_axes))
    wanted = {
        axis: None if level == BASE and BASE not in expansion.spec.axes[axis].labels else level
        for axis, level in named.items()
    }
    matching = [cell for cell in inside if wanted.items() <= dict(cell.choice).items()]
    if len(matching) != 1:
        raise UsageError(
            f"table '{spec.name}': {what} {dict(named)} fits {len(matching)} of its cells; "
            "name one level of every axis of the table"
        )
    return matching[0]


def _published(
    spec: TableSpec, rows: Sequence[str], columns: Sequence[str], *, spread: bool = False
) -> tuple[tuple[float | None, ...], ...]:
    """Published values, or their standard deviations, in the unit of results."""
    published: Published | None = spec.published
    values = None if published is None else published.spread if spread else published.values
    if published is None or values is None:
        return ((None,) * len(columns),) * len(rows)
    if len(published.values) != len(rows) or any(len(row) != len(columns) for row in published.values):
        raise UsageError(
            f"table '{spec.name}': published values have {len(published.values)} rows of "
            f"{[len(row) for row in published.values]}; the table has {len(rows)} rows of {len(columns)}"
        )
    scale = 100 if spec.in_percent else 1
    return tuple(tuple(None if v is None else v / scale for v in row) for row in values)
