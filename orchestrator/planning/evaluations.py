"""The evaluations of kept encoders that a sweep asks for: trials of their own, a column in tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from orchestrator.errors import Problem, SpecError
from orchestrator.planning.designs import Choice
from orchestrator.planning.trials import Cell, Expansion, TrialSpec, cell_of, keeps
from orchestrator.process.words import counted
from orchestrator.records import MEASURED, Origin, TrialRecord
from trainers.config.base import LoopConfig
from trainers.config.plugins import Plugin, config_type

EVALUATION = "evaluation"
"""What stands before an evaluation's name where levels are named by their axes."""


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


def place_in(settings: Any) -> str | None:
    """Where in a file the first of these settings stands; None where that is not known."""
    keys = settings if isinstance(settings, dict) else ()
    return next((key.place for key in keys if getattr(key, "place", "")), None)


class Evaluations(NamedTuple):
    """The evaluations that a sweep asks for."""

    expansion: Expansion
    """Its cells are those of the sweep, each under every evaluation; its trials those that can run."""
    parents: Mapping[str, TrialSpec]
    """Whose encoder each trial evaluates, by its id."""
    waiting: Mapping[str, int]
    """Trials whose encoder is not kept, or not trained yet, by the evaluation's name."""
    sweep: Expansion
    """Whose encoders they evaluate."""

    def parent_of(self, trial: TrialSpec) -> TrialSpec:
        """The trial whose encoder `trial` evaluates, whether or not that is there yet."""
        cell = next(one for one in self.sweep.cells if one.choice == trial.cell.choice[:-1])
        return TrialSpec(cell.trial_id(trial.seed), cell, trial.seed)

    def of(self, trials: Iterable[TrialSpec]) -> list[TrialSpec]:
        """The evaluations of these trials; the ids of those whose encoders are not there mean nothing."""
        wanted = {(one.cell.choice, one.seed) for one in trials}
        return [one for one, of in self.every if (of.cell.choice, of.seed) in wanted]

    @property
    def every(self) -> list[tuple[TrialSpec, TrialSpec]]:
        """Each that can run, or waits for its encoder, when its id means nothing; and the trial of that."""
        own, cells = self.expansion, {cell.choice: cell for cell in self.sweep.cells}
        found = [(cell, cells[cell.choice[:-1]], seed) for cell in own.cells for seed in own.seeds_of(cell)]
        return [
            (TrialSpec(cell.trial_id(seed), cell, seed), TrialSpec(of.trial_id(seed), of, seed))
            for cell, of, seed in found
        ]


def name_of(trial: TrialSpec) -> str:
    """What the sweep calls the evaluation that this trial is."""
    return str(trial.cell.choice[-1][1])


def evaluations(expansion: Expansion, records: Mapping[str, TrialRecord], *, place: str = "") -> Evaluations:
    """The evaluations of a sweep's encoders, as far as records of its trials have them.

    Raises:
        SpecError: one does not fit a cell, such as more blocks than its projector has.
    """
    spec, cells, trials = expansion.spec, list[Cell](), dict[str, TrialSpec]()
    parents: dict[str, TrialSpec] = {}
    seeds: dict[Choice, tuple[int, ...]] = {}
    waiting: Counter[str] = Counter()
    with spec.names():
        chosen = {name: Plugin("evaluations").choose(raw) for name, raw in spec.evaluations.items()}
        of = [cell for cell in expansion.cells if "encoder" in keeps(cell)] if chosen else []
        for name, protocol in chosen.items():
            at = place_in(spec.evaluations[name]) or place
            for cell in of:
                by_seed: dict[int, Cell] = {}
                for seed in expansion.seeds_of(cell):
                    record = records.get(cell.trial_id(seed))
                    digest = record.encoder if record is not None and record.status in MEASURED else None
                    by_seed[seed] = _evaluation(cell, name, protocol, digest, seed, at)
                    waiting[name] += digest is None
                    own = TrialSpec(by_seed[seed].trial_id(seed), by_seed[seed], seed)
                    if digest is not None and own.id not in trials:
                        trials[own.id] = own
                        parents[own.id] = TrialSpec(cell.trial_id(seed), cell, seed)
                if by_seed:  # else all its seeds are excluded, and nothing is asked of it
                    cells.append(next(iter(by_seed.values()))._replace(by_seed=by_seed))
                    seeds[cells[-1].choice] = tuple(by_seed)
    order = expansion.every_seed.index
    asked = expansion._replace(cells=tuple(cells), own_seeds=seeds, excluded=(), aim=None)
    ordered = tuple(sorted(trials.values(), key=lambda one: order(one.seed)))
    return Evaluations(asked._replace(trials=ordered), parents, waiting, expansion)


def _evaluation(cell: Cell, name: str, protocol: Any, digest: str | None, seed: int, place: str) -> Cell:
    """The cell that evaluates an encoder; of one that is not there, under a digest that no encoder has."""
    config: Any = cell.config(seed)
    loop = config_type("loops", "evaluation")
    network = config.encoder.starting_from(None)
    encoder = {"network": network, "projector": config.projector, "sha256": digest or "0" * 64}
    try:
        made = loop.model_validate(
            {"encoder": encoder, "protocol": protocol, "data": protocol.data or config.data, "seed": seed}
        )
    except ValidationError as error:
        told = f"{error.errors()[0]['msg'].removeprefix('Value error, ')}, in cell '{cell.label}'"
        raise SpecError([Problem(place, f"evaluations.{name}", told)]) from None
    assert isinstance(made, LoopConfig)
    return cell_of(made, (*cell.choice, (EVALUATION, name)))


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
        for seed in found.expansion.seeds_of(cell):
            result = results.get(cell.trial_id(seed))
            if result is None or not result.is_done:
                continue
            parent = cells[choice].trial_id(seed)
            own = {metric.replace("evaluation/", f"{name}/", 1): v for metric, v in result.metrics.items()}
            record = there[parent]
            facts = {field: getattr(result, field) for field in Origin.model_fields}
            origins = record.evaluations | {name: Origin(**facts)}
            there[parent] = record.model_copy(
                update={"metrics": record.metrics | own, "evaluations": origins}
            )
    return there
