"""From a sweep to its cells and trials: settings laid over the base, validated, given their ids."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from orchestrator.errors import Problem, SpecError, UsageError
from orchestrator.language.hints import cut, nearest
from orchestrator.language.settings import merged
from orchestrator.language.sweep_spec import SweepSpec
from orchestrator.language.yaml_text import place_of
from orchestrator.planning.cells import Builder
from orchestrator.planning.designs import choices
from orchestrator.planning.losses import CHANGES, Layer, layer_of, merged_in_silence
from orchestrator.planning.trials import Cell, TrialSpec, cell_of, same_configs
from orchestrator.process.words import counted
from orchestrator.records import MEASURED, TrialRecord
from trainers.config.base import LoopConfig
from trainers.config.plugins import Plugin, behind, config_type

LONGEST_CELL = 230
"""Bytes of a cell's label: with its seed it is the name of a run, of which MLflow's databases keep 250."""


class Expansion(NamedTuple):
    """Everything a sweep asks for under one profile."""

    spec: SweepSpec
    profile: str | None
    cells: tuple[Cell, ...]
    seeds: tuple[int, ...]
    trials: tuple[TrialSpec, ...]
    """Seed by seed, so that every cell has a number early; equal configs appear once."""
    changed: tuple[str, ...] = ()
    """Paths that `--set` changed: the profile is then not what the file says it is."""

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
    seen: set[str] = set()
    trials: list[TrialSpec] = []
    for seed in chosen_seeds:
        for cell in cells:
            identity = cell.trial_id(seed)
            if identity not in seen:
                seen.add(identity)
                trials.append(TrialSpec(identity, cell, seed))
    made = Expansion(spec, profile, cells, chosen_seeds, tuple(trials), tuple(map(str, changes or ())))
    evaluations(made, {}, place=default_place)  # what is wrong with one is told now
    return made


def protocols(expansion: Expansion) -> dict[str, str]:
    """What each evaluation of a sweep is, in a few words, by its name."""
    told = {}
    with expansion.spec.names():
        for name, raw in expansion.spec.evaluations.items():
            own = Plugin("evaluations").choose(raw)
            parts = [own.name.replace("_", " ")]
            parts += [f"{100 * own.labels:g} % of the labels"] if own.labels is not None else []
            parts += [f"on {own.data.name}"] if own.data is not None else []
            parts += [f"after {counted(own.blocks, 'projector block')}"] if own.blocks else []
            told[name] = ", ".join(parts)
    return told


class Evaluations(NamedTuple):
    """The evaluations that a sweep asks for."""

    expansion: Expansion
    """Its cells are those of the sweep, each under every evaluation; its trials those that can run."""
    parents: Mapping[str, TrialSpec]
    """Whose encoder each trial evaluates, by its id."""
    waiting: Mapping[str, int]
    """Trials whose encoder is not kept, or not trained yet, by the evaluation's name."""


def evaluations(expansion: Expansion, records: Mapping[str, TrialRecord], *, place: str = "") -> Evaluations:
    """The evaluations of a sweep's encoders, as far as records of its trials have them.

    Raises:
        SpecError: one does not fit a cell, such as more blocks than its projector has.
    """
    spec, cells, trials = expansion.spec, list[Cell](), dict[str, TrialSpec]()
    parents: dict[str, TrialSpec] = {}
    waiting: Counter[str] = Counter()
    with spec.names():
        chosen = {name: Plugin("evaluations").choose(raw) for name, raw in spec.evaluations.items()}
        of = [cell for cell in expansion.cells if "encoder" in getattr(behind(cell.loop), "KEEPS", ())]
        for name, protocol in chosen.items():
            keys = spec.evaluations[name] if isinstance(spec.evaluations[name], dict) else ()
            at = next((key.place for key in keys if getattr(key, "place", "")), place)
            for cell in of:
                by_seed: dict[int, Cell] = {}
                for seed in expansion.seeds:
                    record = records.get(cell.trial_id(seed))
                    digest = record.encoder if record is not None and record.status in MEASURED else None
                    by_seed[seed] = _evaluation(cell, name, protocol, digest, seed, at)
                    waiting[name] += digest is None
                    own = TrialSpec(by_seed[seed].trial_id(seed), by_seed[seed], seed)
                    if digest is not None and own.id not in trials:
                        trials[own.id] = own
                        parents[own.id] = TrialSpec(cell.trial_id(seed), cell, seed)
                cells.append(by_seed[expansion.seeds[0]]._replace(by_seed=by_seed))
    ordered = tuple(sorted(trials.values(), key=lambda one: expansion.seeds.index(one.seed)))
    return Evaluations(expansion._replace(cells=tuple(cells), trials=ordered), parents, waiting)


def _evaluation(cell: Cell, name: str, protocol: Any, digest: str | None, seed: int, place: str) -> Cell:
    """The cell that evaluates an encoder; of one that is not there, under a digest that no encoder has."""
    config: Any = cell.config(seed)
    loop = config_type("loops", "evaluation")
    encoder = {"network": config.encoder, "projector": config.projector, "sha256": digest or "0" * 64}
    try:
        made = loop.model_validate(
            {"encoder": encoder, "protocol": protocol, "data": protocol.data or config.data, "seed": seed}
        )
    except ValidationError as error:
        told = f"{error.errors()[0]['msg'].removeprefix('Value error, ')}, in cell '{cell.label}'"
        raise SpecError([Problem(place, f"evaluations.{name}", told)]) from None
    assert isinstance(made, LoopConfig)
    return cell_of(made, (*cell.choice, ("evaluation", name)))


def evaluated(
    expansion: Expansion,
    records: Mapping[str, TrialRecord],
    read: Callable[[Collection[str]], Mapping[str, TrialRecord]],
) -> dict[str, TrialRecord]:
    """Records of a sweep's trials, each with what evaluations of its encoder have found, as <name>/<metric>.

    Args:
        expansion: the sweep.
        records: of its trials, as they were trained.
        read: gives records of other trials.
    """
    if not expansion.spec.evaluations:
        return dict(records)
    found, there = evaluations(expansion, records), dict(records)
    results = read([trial.id for trial in found.expansion.trials])
    cells = {cell.choice: cell for cell in expansion.cells}
    for cell in found.expansion.cells:
        name, choice = str(cell.choice[-1][1]), cell.choice[:-1]
        for seed in expansion.seeds:
            result = results.get(cell.trial_id(seed))
            if result is None or not result.is_done:
                continue
            parent = cells[choice].trial_id(seed)
            own = {metric.replace("evaluation/", f"{name}/", 1): v for metric, v in result.metrics.items()}
            there[parent] = there[parent].model_copy(update={"metrics": there[parent].metrics | own})
    return there


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
