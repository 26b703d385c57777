"""From a sweep to its cells and trials: settings laid over the base, validated, given their ids."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from orchestrator.errors import Problem, SpecError, UsageError, printable
from orchestrator.language.hints import cut, nearest
from orchestrator.language.seeds import seeds_listed
from orchestrator.language.settings import merged
from orchestrator.language.sweep_spec import SweepSpec
from orchestrator.language.yaml_text import place_of
from orchestrator.planning.cells import Builder
from orchestrator.planning.designs import Choice, choices
from orchestrator.planning.losses import CHANGES, Layer, layer_of, merged_in_silence
from orchestrator.planning.trials import Cell, TrialSpec, same_configs

LONGEST_CELL = 230
"""Bytes of a cell's label: with its seed it is the name of a run, of which MLflow's databases keep 250."""


class Aim(NamedTuple):
    """How narrow intervals shall be, and how many seeds a cell may have for it."""

    half_width: float
    """Of the 95 % interval, in the unit of the table: points where it prints percent."""
    most_seeds: int
    metric: str = ""
    """Of which; of the first table's when the sweep was trained."""


class Expansion(NamedTuple):
    """Everything a sweep asks for under one profile."""

    spec: SweepSpec
    profile: str | None
    cells: tuple[Cell, ...]
    seeds: tuple[int, ...]
    """Those of every cell that has none of its own."""
    trials: tuple[TrialSpec, ...]
    """Seed by seed, so that every cell has a number early; equal configs appear once."""
    changed: tuple[str, ...] = ()
    """Paths that `--set` changed: the profile is then not what the file says it is."""
    own_seeds: Mapping[Choice, tuple[int, ...]] = {}
    """Seeds of cells that have others."""
    excluded: tuple[tuple[TrialSpec, str], ...] = ()
    """Trials that would be asked for and do not count, each with the reason."""
    seeds_given: bool = False
    """Whether `seeds` are others than the file's."""
    aim: Aim | None = None
    """Where seeds are added until intervals are narrow."""

    def seeds_of(self, cell: Cell) -> tuple[int, ...]:
        """The seeds of a cell that count."""
        seeds = self.own_seeds.get(cell.choice, self.seeds)
        without = {trial.id for trial, _ in self.excluded}
        return tuple(s for s in seeds if cell.trial_id(s) not in without) if without else seeds

    @property
    def every_seed(self) -> tuple[int, ...]:
        """Those of any cell."""
        others = itertools.chain.from_iterable(self.own_seeds.values())
        return tuple(dict.fromkeys((*self.seeds, *sorted(others)))) if self.own_seeds else self.seeds

    @property
    def typed_seeds(self) -> tuple[int, ...] | None:
        """The seeds that `--seeds` would say; None where only the file can say them."""
        return None if self.spec.cell_seeds and not self.seeds_given else self.seeds

    @property
    def every_trial(self) -> tuple[TrialSpec, ...]:
        """Its trials, and those that do not count."""
        return (*self.trials, *(trial for trial, _ in self.excluded))

    @property
    def left_out(self) -> tuple[str, ...]:
        """A line on the trials that do not count; none where all do."""
        told = [f"{trial.label} ({printable(reason)})" for trial, reason in self.excluded]
        of = f"{len(told)} of {len(self.every_trial)} trials"
        return (f"excluded by the sweep file, {of}: {'; '.join(told)}",) if told else ()

    def with_seeds(self, own: Mapping[Choice, tuple[int, ...]]) -> Expansion:
        """The same cells, where these have seeds of their own."""
        asked = self._replace(own_seeds=own, excluded=())
        asked = asked._replace(excluded=tuple(_excluded(asked)))
        return asked._replace(trials=tuple(_trials(asked)))

    @property
    def merged(self) -> tuple[str, ...]:
        """The cells that come to one config, a line for each such config; not more lines than one reads."""
        groups = [[f"'{cell.label}'" for cell in together] for together in same_configs(self.cells)]
        more = [f"{len(groups) - 5} more configs of several cells each"] if len(groups) > 5 else []
        lines = [f"cells {', '.join(g[:-1])} and {g[-1]} are one config, trained once" for g in groups[:5]]
        return (*lines, *more)

    @property
    def brief_setting(self) -> str | None:
        """The profile in a few words."""
        if len(self.changed) <= 3:
            return self.setting
        return f"{self.profile or 'none'}, {len(self.changed)} settings changed"

    @property
    def setting(self) -> str | None:
        """The profile in words, with what was changed of it."""
        if not self.changed:
            return self.profile
        return f"{self.profile or 'none'}, changed: {', '.join(self.changed)}"


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
        cells = tuple(_cells(spec, layers, default_place))
    asked = Expansion(spec, profile, cells, chosen_seeds, (), tuple(map(str, changes or ())))
    if seeds is not None:
        return asked._replace(seeds_given=True).with_seeds({})
    return asked.with_seeds(dict(_own_seeds(spec, cells)))


def _own_seeds(spec: SweepSpec, cells: Sequence[Cell]) -> Iterator[tuple[Choice, tuple[int, ...]]]:
    """Cells to which the file gives seeds of their own; of several entries that fit the last counts."""
    for cell in cells:
        for one in reversed(spec.cell_seeds):
            if one.where.items() <= dict(cell.choice).items():
                yield cell.choice, seeds_listed(one.seeds)
                break


def _excluded(asked: Expansion) -> Iterator[tuple[TrialSpec, str]]:
    """The trials that a file excludes, as far as they would be asked for."""
    seen: set[str] = set()
    for one, cell in itertools.product(asked.spec.exclude, asked.cells):
        fits = one.cell.items() <= dict(cell.choice).items() and one.seed in asked.seeds_of(cell)
        if fits and (identity := cell.trial_id(one.seed)) not in seen:
            seen.add(identity)
            yield TrialSpec(identity, cell, one.seed), one.reason


def _trials(asked: Expansion) -> Iterator[TrialSpec]:
    """The trials, seed by seed; equal configs once."""
    seen: set[str] = set()
    seeds = [(cell, frozenset(asked.seeds_of(cell))) for cell in asked.cells]
    for seed in asked.every_seed:
        for cell, own in seeds:
            if seed in own and (identity := cell.trial_id(seed)) not in seen:
                seen.add(identity)
                yield TrialSpec(identity, cell, seed)


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


def _cells(spec: SweepSpec, layers: Sequence[Layer], place: str) -> Iterator[Cell]:
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
