"""Units in which cells report a table's metrics, as the settings of commands say them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from orchestrator.language.cells.axes import Axis
from orchestrator.language.settings import Tree, nested
from orchestrator.language.table_spec import TableSpec
from trainers.config.foreign import PluginError
from trainers.config.plugins import load, names

COMMAND = "command"
"""The trainer whose settings say the units of its metrics."""
_PRINTED = {"share": "percent", "percent": "plain", "plain": "plain"}
"""How a table prints what is reported: a share in percent, and percents as they are."""
_CALLED = {"share": "a share"}


def with_units(
    table: TableSpec, base: Tree, profiles: Mapping[str, Tree], axes: Mapping[str, Axis]
) -> TableSpec:
    """The table, in the units in which its cells report, where it has none of its own.

    Raises:
        ValueError: its cells report in different ones.
    """
    said = [
        (what, nested({key: tree[key] for key in tree if key.partition(".")[0] in ("trainer", "metrics")}))
        for what, tree in layers_of_cells(table.where, base, profiles, axes)
    ]
    found = {one.metric: one.unit or _printed(table, one.metric, said) for one in table.parts}
    if all(one.unit == found[one.metric] for one in table.parts):
        return table
    also = [dict(one) | {"unit": found[one.metric]} for one in table.also]
    return TableSpec.model_validate(dict(table) | {"unit": found[table.metric], "also": also})


def layers_of_cells(
    where: Mapping[str, str], base: Tree, profiles: Mapping[str, Tree], axes: Mapping[str, Axis]
) -> Iterator[tuple[str, Tree]]:
    """What the cells with these levels may be made of, in words, with its settings."""
    shown = {
        name: [one for one in axis.levels if where.get(name, one.label) == one.label]
        for name, axis in axes.items()
    }
    levels = [
        (f"level '{one.label}' of axis '{name}'", one.settings) for name, own in shown.items() for one in own
    ]
    # Base and profiles do not reach cells whose level chooses another trainer.
    own = base.get("trainer")
    chosen = [one.settings.get("trainer", own) for name in where if name in shown for one in shown[name]]
    if all(trainer == own for trainer in chosen):
        yield from [("the base", base), *((f"profile '{name}'", tree) for name, tree in profiles.items())]
    yield from levels


def _printed(table: TableSpec, metric: str, said: list[tuple[str, Tree]]) -> str | None:
    """How the table prints a metric; None: as its name says."""
    units = dict(_units(metric, said))
    if len(set(units.values())) > 1:
        told = ", ".join(f"{_CALLED.get(unit, unit)} ({what})" for what, unit in units.items())
        raise ValueError(
            f"table '{table.name}': its cells report {metric} in different units: {told}; report and declare "
            "one in all, or fix one kind of cell by where, or give the table a `unit`"
        )
    return next((_PRINTED[unit] for unit in units.values()), None)


def _units(metric: str, said: list[tuple[str, Tree]]) -> Iterator[tuple[str, str]]:
    """The units of a metric, and who says them: commands, and other trainers beside them that report it."""
    trainers = dict.fromkeys(str(tree["trainer"]) for _, tree in said if "trainer" in tree)
    found: list[tuple[str, str]] = []
    silent: list[tuple[str, str]] = []
    for what, tree in said if COMMAND in trainers else ():
        metrics = tree.get("metrics") if tree.get("trainer", COMMAND) == COMMAND else None
        one = metrics.get(metric) if isinstance(metrics, dict) else None
        unit = one.get("unit") if isinstance(one, dict) else None
        if isinstance(unit, str) and unit in _PRINTED:
            found.append((what, unit))
        elif isinstance(one, dict | str) and unit is None:
            silent.append((what, "plain"))
    found = found or silent  # what says no unit has that of another layer, where one says it
    for name in trainers if found else ():
        with contextlib.suppress(PluginError):
            if name != COMMAND and name in names("loops") and metric in _reported(name):
                share = TableSpec(name="t", rows="cells", metric=metric).in_percent
                yield f"trainer '{name}'", "share" if share else "plain"
    yield from found


def _reported(trainer: str) -> tuple[str, ...]:
    loop = load("loops", trainer)
    return (*getattr(loop, "METRICS", ()), *getattr(loop, "FINAL_METRICS", ()))
