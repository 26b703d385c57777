"""Trials as they travel to a child process: what their cells share is sent once, code and files too."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import Base64Bytes

from orchestrator.errors import ExecutionError
from orchestrator.planning.designs import Choice
from orchestrator.planning.trials import Cell, TrialSpec
from trainers.config import filesets
from trainers.config.base import Frozen, LoopConfig
from trainers.config.examined import Carried
from trainers.config.foreign import PluginError, knowing, receive, used_by
from trainers.config.plugins import config_type


class WireCell(Frozen):
    """A cell as plain values."""

    choice: Choice
    trainer: str
    config: dict[str, Any]
    """What was set of the config, of some seed."""
    head: str
    tail: str

    def cell(self) -> Cell:
        """The cell.

        Raises:
            ValidationError: its config is none, as this process knows configs.
        """
        loop = config_type("loops", self.trainer)
        assert issubclass(loop, LoopConfig)
        config = loop.model_validate(self.config)
        fields = {name: getattr(config, name) for name in self.config if name != "seed"}
        return Cell(self.choice, loop, fields, self.head, self.tail)


class Trials(Frozen):
    """Trials as plain values: what they have in common once."""

    cells: tuple[WireCell, ...]
    trials: tuple[tuple[str, int, int], ...]
    """(id, place of its cell, seed) of each."""
    anew: dict[str, str] = {}
    """Marks of those that begin anew, by id."""
    plugins: tuple[Carried, ...] = ()
    """Code that they need and that is not of this package."""
    parcels: tuple[tuple[str, Base64Bytes], ...] = ()
    """Files that they need: what they are kept under, and a zip file of them."""

    def specs(self) -> list[TrialSpec]:
        """The trials.

        Raises:
            ExecutionError: they are other trials in this process than in the one that sent them, or their
                plug-ins cannot be had here.
        """
        with knowing({}):
            try:
                receive(self.plugins)
            except PluginError as error:
                raise ExecutionError(f"plug-in {error}") from None
            filesets.receive([filesets.Parcel(key, archive) for key, archive in self.parcels])
            cells = [one.cell() for one in self.cells]
        specs = [TrialSpec(i, cells[place], seed, self.anew.get(i)) for i, place, seed in self.trials]
        for spec in specs:
            if spec.cell.trial_id(spec.seed) != spec.id:
                raise ExecutionError(
                    f"trial {spec.label} arrived as another one; was orch updated meanwhile?"
                )
        return specs


def on_the_wire(trials: Iterable[TrialSpec]) -> Trials:
    """`trials` as plain values."""
    places: dict[str, int] = {}
    anew: dict[str, str] = {}
    cells: list[WireCell] = []
    listed = []
    plugins: dict[str, Carried] = {}
    sets: list[filesets.FileSet] = []
    for trial in trials:
        cell = trial.cell.of(trial.seed)
        identity = f"{cell.head}\n{cell.tail}\n{cell.choice}"
        if identity not in places:
            places[identity] = len(cells)
            # Only what was set: some configs refuse a setting that counts for nothing, be it their default.
            config = cell.config()
            dumped = config.model_dump(mode="json", exclude_unset=True)
            plugins |= {one.carried.module: one.carried for one in used_by(config)}
            sets += filesets.named_in(config)
            cells.append(
                WireCell(
                    choice=cell.choice, trainer=cell.trainer, config=dumped, head=cell.head, tail=cell.tail
                )
            )
        listed.append((trial.id, places[identity], trial.seed))
        if trial.anew is not None:
            anew[trial.id] = trial.anew
    return Trials(
        cells=tuple(cells),
        trials=tuple(listed),
        anew=anew,
        plugins=tuple(_texts_once(plugins.values())),
        parcels=tuple((one.key, base64.b64encode(one.archive)) for one in filesets.parcels(sets)),
    )


def _texts_once(plugins: Iterable[Carried]) -> Iterator[Carried]:
    """The plug-ins, each with the files that no other before it brings; its own it has always."""
    sent: set[str] = set()
    for one in plugins:
        yield one._replace(
            files={name: file for name, file in one.files.items() if name not in sent or name == one.module}
        )
        sent |= one.files.keys()
