"""From a sweep to its cells and trials: settings laid over the base, validated, given their ids."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from orchestrator.errors import Problem, SpecError, UsageError
from orchestrator.language.cells.seeds import seeds_listed
from orchestrator.language.hints import cut, nearest
from orchestrator.language.settings import merged
from orchestrator.language.sweep_spec import SweepSpec
from orchestrator.language.yaml_text import place_of
from orchestrator.planning.cells import Builder
from orchestrator.planning.cells.chains import with_parents
from orchestrator.planning.designs import Choice, choices
from orchestrator.planning.evaluations import evaluations
from orchestrator.planning.losses import CHANGES, Layer, layer_of, merged_in_silence
from orchestrator.planning.trials import Aim as Aim
from orchestrator.planning.trials import Cell
from orchestrator.planning.trials import Expansion as Expansion
from orchestrator.process.words import counted
from trainers.config.plugins import behind

LONGEST_CELL = 230
"""Bytes of a cell's label: with its seed it is the name of a run, of which MLflow's databases keep 250."""


def expand(
    spec: SweepSpec,
    *,
    profile: str | None = None,
    changes: dict[str, Any] | None = None,
    seeds: Sequence[int] | None = None,
    default_place: str = "",
) -> Expansion:
    """All cells and trials of `spec`.

    Args:
        spec: the sweep.
        profile: name of the profile laid over the base; None lays nothing.
        changes: settings laid over base and profile, before any axis (`--set`).
        seeds: seeds instead of the spec's.
        default_place: place named in an error that no line can be found for.

    Raises:
        UsageError: no such profile.
        SpecError: settings that make no valid config; every problem of every cell, once.
    """
    layers = layers_of(spec, profile, changes)
    chosen_seeds = tuple(seeds) if seeds is not None else spec.seed_list
    with spec.names():
        cells = tuple(_cells(spec, profile, layers, default_place))
    asked = Expansion(spec, profile, cells, chosen_seeds, (), tuple(map(str, changes or ())))
    given = seeds is not None
    made = asked._replace(seeds_given=given).with_seeds({} if given else dict(_own_seeds(spec, cells)))
    evaluations(made, {}, place=default_place)  # what is wrong with one is told now
    return made


def _own_seeds(spec: SweepSpec, cells: Sequence[Cell]) -> Iterator[tuple[Choice, tuple[int, ...]]]:
    """Cells to which the file gives seeds of their own; of several entries that fit the last counts."""
    for cell in cells:
        for one in reversed(spec.cell_seeds):
            if one.where.items() <= dict(cell.choice).items():
                yield cell.choice, seeds_listed(one.seeds)
                break


def layers_of(spec: SweepSpec, profile: str | None, changes: dict[str, Any] | None) -> list[Layer]:
    """What every cell starts from, the lowest first; arguments as of `expand`.

    Raises:
        UsageError: no such profile.
    """
    if profile is not None and profile not in spec.profiles:
        raise UsageError(f"no profile '{profile}'; {nearest(profile, spec.profiles)}")
    layers = [layer_of("the base", spec.base)]
    if profile is not None:
        layers.append(layer_of(f"profile '{profile}'", spec.profiles[profile]))
    if changes:
        layers.append(layer_of(CHANGES, changes))
    return layers


def _cells(spec: SweepSpec, profile: str | None, layers: Sequence[Layer], place: str) -> Iterator[Cell]:
    """Every cell of the design, in the order of the axes; SpecError with every problem of every cell.

    A level may choose another trainer. Base and profile speak of the base's own trainer, so such a cell
    starts from nothing but its levels.
    """
    trainers = {
        (axis, level.label): {key: value}
        for axis, factor in spec.axes.items()
        for level in factor.levels
        for key, value in level.settings.items()
        if key == "trainer"
    }
    base = functools.reduce(merged, (layer.settings for layer in layers))
    builders: dict[str, Builder | None] = {}
    cells: list[Cell] = []
    unknown: list[Problem] = []
    for choice in choices(spec):
        own = next((trainers[pair] for pair in reversed(choice) if pair in trainers), base)
        name = str(own.get("trainer"))
        if name not in builders:
            try:
                under = layers if name == base.get("trainer") else [Layer("the level", None, own)]
                builders[name] = Builder(spec, under, place)
            except SpecError as error:  # kept, so that what is wrong with the other cells is told with it
                unknown += error.problems
                builders[name] = None
        builder = builders[name]
        cell = None if builder is None else builder.cell(choice)
        if cell is not None:
            cells.append(cell)
    problems = unknown + [one for builder in builders.values() if builder for one in builder.problems]
    if not problems:
        cells = with_parents(spec, profile, cells, expand)
        kept = {cell.loop: builder for cell in cells if (builder := builders[cell.trainer])}
        problems = list(merged_in_silence(cells, lambda cell: kept[cell.loop].undone(cell.choice), place))
    if spec.schedule:
        for cell in cells:
            field = cell.loop.model_fields.get("epochs")
            epochs = cell.fields.get("epochs", field and field.default)
            if epochs is not None and spec.schedule.grace_epochs >= epochs:
                message = f"{spec.schedule.grace_epochs} epochs for every trial, but cell '{cell.label}' has "
                message += f"{epochs} in all; lower it, or leave out `schedule`"
                where = place_of(base, ("epochs",), place)
                problems.append(Problem(where, "schedule.grace_epochs", message))
                break
    long = next((cell for cell in cells if len(cell.label.encode()) > LONGEST_CELL), None)
    if long is not None and not problems:
        message = f"cell '{cut(long.label)}': its levels together have {len(long.label.encode())} bytes, "
        message += f"{LONGEST_CELL} fit into the name of a run; shorten their labels"
        problems = [Problem(place, "axes", message)]
    if problems:
        raise SpecError(problems)
    yield from cells


def draws(cells: Iterable[Cell | None]) -> bool:
    """Whether trials of these cells draw anything at random: then one seed decides nothing."""
    return any(getattr(behind(cell.loop), "DRAWS", True) for cell in cells if cell is not None)


def seeds_of_cells(expansion: Expansion) -> str:
    """How many seeds cells have, in words."""
    numbers = sorted({len(expansion.seeds_of(cell)) for cell in expansion.cells})
    few, many = (numbers[0], numbers[-1]) if numbers else (0, len(expansion.seeds))
    return counted(many, "seed") if few in (0, many) else f"{few} to {many} seeds"


def size(expansion: Expansion) -> str:
    """How many cells, seeds and trials, in words."""
    seeds = seeds_of_cells(expansion)
    out = f", {len(expansion.excluded)} excluded" if expansion.excluded else ""
    return (
        f"{counted(len(expansion.cells), 'cell')} × {seeds} = {counted(len(expansion.trials), 'trial')}{out}"
    )
