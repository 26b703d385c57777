"""Cells and trials, and the ids by which the same config is trained once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from orchestrator.errors import printable
from orchestrator.planning.designs import Choice
from orchestrator.records import TrialFacts
from trainers.config.base import LoopConfig, canonical, identity_dump
from trainers.config.filesets import named_in
from trainers.config.foreign import code_of, used_by

ID_LENGTH = 12
BASE = "base"
"""What stands where no axis has a level, and a table's `baseline` may call it too."""


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
        own = self.by_seed.get(seed, self)
        return own.loop.model_validate({**own.fields, "seed": seed})

    def trial_id(self, seed: int) -> str:
        """Id of the trial that this cell and `seed` make."""
        own = self.by_seed.get(seed, self)
        return _hash(f"{own.head}{seed}{own.tail}")

    @property
    def is_foreign(self) -> bool:
        """Whether it has a plug-in from outside the package, or files of its own."""
        own = list(self.fields.values())
        return code_of(self.loop) is not None or any(used_by(own)) or any(named_in(own))

    @property
    def id(self) -> str:
        """Hash of the config without its seed; shared by all its trials."""
        return _hash(self.head + self.tail)


class TrialSpec(NamedTuple):
    """A cell and a seed: trained once, whoever asks for it."""

    id: str
    cell: Cell
    seed: int

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
    return " · ".join(printable(label) or '""' for label in labels if label is not None) or BASE


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
