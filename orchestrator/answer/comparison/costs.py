"""What the cells of a sweep have cost: hours of their trials, as those have told."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from orchestrator.planning.expand import Expansion
from orchestrator.planning.trials import Cell
from orchestrator.records import TrialRecord, duration_of

Files = Mapping[str, Mapping[str, bytes]]
PROVENANCE, SPECTRA = "provenance.json", "spectra.npz"
BATCH = 200
"""Trials whose curves are held in memory at once."""


class Spent(NamedTuple):
    """What one trial has told."""

    hours: float
    on_gpu: bool


class Cost(NamedTuple):
    """A cell, or several together."""

    name: str
    trials: int
    """Those that the store has; of equal configs, those of each cell."""
    timed: int
    """Those that have told how long they took."""
    hours: float
    """Of wall time, summed over trials."""
    gpu_hours: float
    """Wall time on a GPU times the share of it that the sweep gives a trial."""


def costs(
    expansion: Expansion,
    known: Mapping[str, TrialRecord],
    files: Callable[[Sequence[str], Sequence[str]], Files],
    seconds: Callable[[bytes], float | None],
) -> tuple[list[Cost], Cost]:
    """Each cell in the order of the file, and all together, where each trial counts once.

    Args:
        expansion: the trials asked for; those that do not count were paid for, too.
        known: what the store has of trials.
        files: those of some names that lie beside trials, by id and name; asked of trials whose records have
            no time.
        seconds: the time of all epochs together, from a trial's curves; None where they do not say it.
    """
    asked = [trial.id for trial in expansion.every_trial if trial.id in known]
    spent = {i: Spent(s / 3600, known[i].on_gpu) for i in asked if (s := known[i].spent_s) is not None}
    spent |= _told([i for i in asked if i not in spent], files, seconds)
    share = {cell.choice: _share(expansion, cell) for cell in expansion.cells}
    ids = {
        cell.choice: [i for seed in _seeds(expansion, cell) if (i := cell.trial_id(seed)) in known]
        for cell in expansion.cells
    }
    rows = [
        _sum(cell.label, {i: share[cell.choice] for i in ids[cell.choice]}, spent) for cell in expansion.cells
    ]
    every = {i: share[choice] for choice, own in ids.items() for i in own}
    return rows, _sum("all", every, spent)


def _seeds(expansion: Expansion, cell: Cell) -> Iterator[int]:
    yield from expansion.own_seeds.get(cell.choice, expansion.seeds)


def _share(expansion: Expansion, cell: Cell) -> float:
    return expansion.spec.resources.of(dict(cell.choice), gpus=1.0).share


def _sum(name: str, shares: Mapping[str, float], spent: Mapping[str, Spent]) -> Cost:
    timed = {i: spent[i] for i in shares if i in spent}
    gpu = sum(one.hours * shares[i] for i, one in timed.items() if one.on_gpu)
    return Cost(name, len(shares), len(timed), sum(one.hours for one in timed.values()), gpu)


def _told(
    asked: Sequence[str],
    files: Callable[[Sequence[str], Sequence[str]], Files],
    seconds: Callable[[bytes], float | None],
) -> dict[str, Spent]:
    """What provenance says; of a trial that was resumed or did not come to its end, the sum of its epochs."""
    facts: dict[str, dict[str, Any]] = {}
    for one, beside in (files(asked, (PROVENANCE,)) if asked else {}).items():
        with contextlib.suppress(KeyError, ValueError, TypeError):
            facts[one] = dict(json.loads(beside[PROVENANCE])["trial"])
    walls = {one: duration_of(told.get("wall_s")) for one, told in facts.items()}
    partly = [one for one, told in facts.items() if walls[one] is None or "resumed_at_epoch" in told]
    for start in range(0, len(partly), BATCH):
        for one, beside in files(partly[start : start + BATCH], (SPECTRA,)).items():
            epochs = duration_of(seconds(beside[SPECTRA])) if SPECTRA in beside else None
            walls[one] = max(filter(None, (walls[one], epochs)), default=None)
    return {
        one: Spent(wall / 3600, str(facts[one].get("device", "cpu")) != "cpu")
        for one, wall in walls.items()
        if wall is not None
    }


def together(first: Cost, second: Cost) -> Cost:
    """Both, of trials that are none of the other's."""
    return Cost(
        first.name,
        first.trials + second.trials,
        first.timed + second.timed,
        first.hours + second.hours,
        first.gpu_hours + second.gpu_hours,
    )


def records_of(rows: Sequence[Cost], total: Cost, evaluations: Sequence[Cost] = ()) -> dict[str, Any]:
    """For programs: every cell, every evaluation of its encoders, and all together."""
    told: dict[str, Any] = {"cells": [one._asdict() for one in rows]}
    if evaluations:
        told["evaluations"] = [one._asdict() for one in evaluations]
    return told | {"all": total._asdict()}
