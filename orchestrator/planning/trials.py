"""Cells and trials, and the ids by which the same config is trained once."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from orchestrator.errors import printable
from orchestrator.language.cells.chains import StartsFrom
from orchestrator.language.sweep_spec import SweepSpec
from orchestrator.planning.designs import Choice
from orchestrator.records import TrialFacts
from trainers.config.base import LoopConfig, canonical, identity_dump
from trainers.config.filesets import named_in
from trainers.config.foreign import code_of, used_by
from trainers.config.plugins import behind

ID_LENGTH = 12
BASE = "base"
"""What stands where no axis has a level, and a table's `baseline` may call it too."""
BETWEEN = " · "
"""What parts the levels of a cell in words."""


class Cell(NamedTuple):
    """One level per axis, seed open."""

    choice: Choice
    loop: type[LoopConfig]
    fields: dict[str, Any]
    """Validated blocks of the config by name; what is absent has its default."""
    head: str
    """Canonical JSON of the config before the seed's number; `tail` is what follows it."""
    tail: str
    by_seed: Mapping[int, Cell] = {}
    """The cell of each seed, where more than the seed differs: of evaluations, whose encoders do."""
    start: Start | None = None
    """Whose trained encoders its trials start from; its own id holds the other cell's."""

    @property
    def trainer(self) -> str:
        """Name of the loop that trains it."""
        return str(self.loop.model_fields["trainer"].default)

    @property
    def label(self) -> str:
        """Its levels in words; "base" where there are none."""
        return in_words(label for _, label in self.choice)

    def config(self, seed: int = 0) -> LoopConfig:
        """The resolved config with a seed."""
        own = self.of(seed)
        return own.loop.model_validate({**own.fields, "seed": seed})

    def trial_id(self, seed: int) -> str:
        """Id of the trial that this cell and `seed` make."""
        own = self.of(seed)
        return _hash(f"{own.head}{seed}{own.tail}")

    def of(self, seed: int) -> Cell:
        """The cell as a seed's trial has it: with its encoder's digest, or the trial that it starts from."""
        own = self.by_seed.get(seed, self)
        if own.start is None or own.start.cell is None:
            return own
        encoder, parent = own.fields["encoder"], own.start.trial(seed).id
        before, now = (f'"from_trial":"{one}"' for one in (encoder.from_trial, parent))
        fields = own.fields | {"encoder": encoder.starting_from(parent)}
        return own._replace(fields=fields, head=own.head.replace(before, now, 1), start=None)

    @property
    def is_foreign(self) -> bool:
        """Whether it has a plug-in from outside the package, or files of its own."""
        own = list(self.fields.values())
        return code_of(self.loop) is not None or any(used_by(own)) or any(named_in(own))

    @property
    def id(self) -> str:
        """Hash of the config without its seed; shared by all its trials."""
        return _hash(self.head + self.tail)


class Start(NamedTuple):
    """Whose trained encoder the trials of a cell start from."""

    asked: StartsFrom
    place: str
    """Where the file says so."""
    cell: Cell | None = None
    """The other trials' cell; None: it was not looked for yet."""
    file: str | None = None
    """The other sweep's file, as commands name it; None: it is the same sweep."""
    profile: str | None = None
    """Profile of the other sweep."""

    def trial(self, seed: int) -> TrialSpec:
        """The trial from which that of `seed` starts."""
        assert self.cell is not None
        own = seed if self.asked.seed == "same" else self.asked.seed
        return TrialSpec(self.cell.trial_id(own), self.cell, own)


class TrialSpec(NamedTuple):
    """A cell and a seed: trained once, whoever asks for it."""

    id: str
    cell: Cell
    seed: int
    anew: str | None = None  # marks a beginning that goes on from no checkpoint of an earlier one

    def __repr__(self) -> str:
        """Its id and label; its config is long."""
        return f"<TrialSpec {self.id}: {self.label}>"

    @property
    def config(self) -> LoopConfig:
        """The resolved config."""
        return self.cell.config(self.seed)

    @property
    def label(self) -> str:
        """Cell and seed in words."""
        return f"{self.cell.label} · seed {self.seed}"

    @property
    def parent(self) -> TrialSpec | None:
        """The trial from whose trained encoder it starts."""
        return None if self.cell.start is None else self.cell.start.trial(self.seed)

    @property
    def facts(self) -> TrialFacts:
        """What a store keeps of it besides results."""
        config = self.config
        return TrialFacts(
            trial_id=self.id,
            cell_id=self.cell.id,
            label=self.label,
            cell=self.cell.label,
            seed=self.seed,
            levels={axis: level for axis, level in self.cell.choice if level is not None},
            identity=identity_dump(config),
            config=config.model_dump(mode="json"),
        )


def cell_of(config: LoopConfig, choice: Choice) -> Cell:
    """The cell of a config that was made whole, whatever its seed."""
    identity = identity_dump(config)
    before = canonical({name: value for name, value in identity.items() if name < "seed"})[:-1]
    after = canonical({name: value for name, value in identity.items() if name > "seed"})[1:]
    head = before + ("," if len(before) > 1 else "") + '"seed":'
    fields = {
        name: getattr(config, name) for name in type(config).model_fields if name not in ("seed", "trainer")
    }
    return Cell(choice, type(config), fields, head, ("," if len(after) > 1 else "") + after)


def in_words(labels: Iterable[str | None]) -> str:
    """Labels of levels as a person reads them, in one line; None where an axis has no level."""
    return BETWEEN.join(printable(label) or '""' for label in labels if label is not None) or BASE


def same_configs(cells: Iterable[Cell]) -> list[list[Cell]]:
    """The cells that come to one config, whose trials are trained once."""
    found: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        found.setdefault((cell.head, cell.tail), []).append(cell)
    return [together for together in found.values() if len(together) > 1]


def trial_id(config: LoopConfig) -> str:
    """First 12 hex digits of sha256 over the canonical JSON of everything that decides the numbers."""
    return id_of(identity_dump(config))


def id_of(identity: Mapping[str, Any]) -> str:
    """The id of the trial whose numbers this decides."""
    return _hash(canonical(identity))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]


def keeps(cell: Cell) -> tuple[str, ...]:
    """What trials of a cell can leave behind."""
    return getattr(behind(cell.loop), "KEEPS", ())


class Aim(NamedTuple):
    """How narrow intervals shall be, and how many seeds a cell may have for it."""

    half_width: float
    """Of the 95 % interval, in the unit of the table: points where it prints percent."""
    most_seeds: int
    metric: str = ""
    """Of which; of the first table's when the sweep was trained."""
    scale: int = 100
    """By what numbers of that table are multiplied where people read them."""


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
