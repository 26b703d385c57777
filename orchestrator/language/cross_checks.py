"""Whether the parts of a sweep fit each other."""

from __future__ import annotations

from typing import Any

from orchestrator.errors import Problem
from orchestrator.language.hints import nearest
from orchestrator.language.sweep_spec import SweepSpec
from orchestrator.language.table_spec import Published, TableSpec
from orchestrator.language.yaml_text import place_of


def cross_references(spec: SweepSpec, tree: Any, default: str) -> Any:
    """Problems between the parts: names of axes, levels and profiles that do not exist."""

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
