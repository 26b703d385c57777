"""What the cells of a sweep have cost: hours of their trials, as those have told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from orchestrator.planning.expand import Expansion
from orchestrator.planning.trials import Cell

Files = Mapping[str, Mapping[str, bytes]]
BATCH = 200
"""Trials whose files are held in memory at once."""


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
    known: Sequence[str],
    files: Callable[[Sequence[str]], Files],
    seconds: Callable[[bytes], float | None],
) -> tuple[list[Cost], Cost]:
    """Each cell in the order of the file, and all together, where each trial counts once.

    Args:
        expansion: the trials asked for; those that do not count were paid for, too.
        known: ids of trials that the store has.
        files: what lies beside trials, by id and name.
        seconds: the time of all epochs together, from a trial's curves; None where they do not say it.
    """
    spent: dict[str, Spent] = {}
    there = set(known)
    asked = [trial.id for trial in expansion.every_trial if trial.id in there]
    for start in range(0, len(asked), BATCH):
        for one, beside in files(asked[start : start + BATCH]).items():
            if (told := _spent(beside, seconds)) is not None:
                spent[one] = told
    share = {cell.choice: _share(expansion, cell) for cell in expansion.cells}
    ids = {
        cell.choice: [i for seed in _seeds(expansion, cell) if (i := cell.trial_id(seed)) in there]
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


def _spent(beside: Mapping[str, bytes], seconds: Callable[[bytes], float | None]) -> Spent | None:
    """What provenance says; of a trial that was resumed or did not come to its end, the sum of its epochs."""
    try:
        facts = json.loads(beside["provenance.json"])["trial"]
    except (KeyError, ValueError, TypeError):
        return None
    wall = facts.get("wall_s")
    if (wall is None or "resumed_at_epoch" in facts) and "spectra.npz" in beside:
        wall = max(filter(None, (wall, seconds(beside["spectra.npz"]))), default=None)
    if not isinstance(wall, int | float):
        return None
    return Spent(wall / 3600, str(facts.get("device", "cpu")) != "cpu")


def records_of(rows: Sequence[Cost], total: Cost) -> dict[str, Any]:
    """For programs: every cell, and all together."""
    return {"cells": [one._asdict() for one in rows], "all": total._asdict()}
