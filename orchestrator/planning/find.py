"""Trials by what a person calls them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import TypeVar

from orchestrator.errors import UsageError
from orchestrator.language.cells.axes import level_of, same_number
from orchestrator.language.hints import cut, nearest
from orchestrator.planning.designs import Choice
from orchestrator.planning.evaluations import EVALUATION, Evaluations
from orchestrator.planning.trials import BASE, BETWEEN, Expansion, TrialSpec, in_words
from orchestrator.process.words import listed

One = TypeVar("One")


def find_trial(expansion: Expansion, text: str) -> TrialSpec:
    """The trial of the one cell that `text` names, in an expansion of one seed."""
    return find_trials(expansion, text)[0]


def find_seed(expansion: Expansion, text: str, seed: int) -> TrialSpec:
    """The trial of a seed of the one cell that `text` names.

    Raises:
        UsageError: it names no cell, or several, or the sweep does not ask for that seed.
    """
    found = {trial.seed: trial for trial in find_trials(expansion, text)}
    if seed not in found:
        raise UsageError(f"no seed {seed} of cell '{cut(text)}'; seeds: {', '.join(map(str, found))}")
    return found[seed]


def find_counted(expansion: Expansion, text: str) -> list[TrialSpec]:
    """The trials of the one cell that `text` names, but for those that the file excludes."""
    out = {trial.id for trial, _ in expansion.excluded}
    return [trial for trial in find_trials(expansion, text) if trial.id not in out]


def find_trials(expansion: Expansion, text: str) -> list[TrialSpec]:
    """The trials of the one cell that `text` names: label, levels as axis=level, or the start of an id.

    Those that do not count are among them. Of several cells that are one config each may be named. What a
    cell is called exactly comes before what differs in capitals, or in how numbers are written.

    Raises:
        UsageError: it names no cell, or several.
    """
    wanted = _levels(expansion, text)
    chosen = _called(expansion.cells, text, lambda cell: cell.choice)
    if not chosen and wanted:
        chosen = [cell for cell in expansion.cells if wanted.items() <= dict(cell.choice).items()]
    by_id = not chosen and not wanted and len(text) >= 4
    found: dict[str, TrialSpec] = {}
    for seed in expansion.every_seed:
        for cell in expansion.cells if by_id else chosen:
            if seed not in expansion.own_seeds.get(cell.choice, expansion.seeds):
                continue
            trial = TrialSpec(cell.trial_id(seed), cell, seed)
            if not by_id or trial.id.startswith(text) or cell.id.startswith(text):
                found.setdefault(trial.id, trial)
    named = list(dict.fromkeys(trial.cell.label for trial in found.values()))
    if len(named) == 1:
        return list(found.values())
    if named:
        raise UsageError(f"'{cut(text)}' fits {len(named)} cells: {'; '.join(named[:8])}")
    raise UsageError(f"no cell '{cut(text)}'; {nearest(text, [cell.label for cell in expansion.cells])}")


def find_evaluations(found: Evaluations, text: str) -> list[TrialSpec]:
    """The evaluations of a cell's encoders that `text` names: "cell · evaluation", levels, or an id's start.

    Empty where it names none. Levels are axis=level,...,evaluation=name.

    Raises:
        UsageError: it names several.
    """
    wanted, every = _levels(found.sweep, text), [trial for trial, _ in found.every]
    chosen = _called(every, text, lambda trial: trial.cell.choice)
    if not chosen:  # of a sweep without axes: base · evaluation
        chosen = _called(every, text, lambda trial: ((BASE, BASE), *trial.cell.choice))
    if not chosen and EVALUATION in wanted:
        chosen = [trial for trial in every if wanted.items() <= dict(trial.cell.choice).items()]
    if not chosen and not wanted and len(text) >= 4:
        chosen = [trial for trial in every if trial.id in found.parents and trial.id.startswith(text)]
    named = list(dict.fromkeys(trial.cell.label for trial in chosen))
    if len({one.id for one in chosen}) == 1 and chosen[0].id in found.parents:
        return chosen[:1]  # of encoders that are one, whatever their cells are called
    if len(named) > 1:
        raise UsageError(f"'{cut(text)}' fits {len(named)} evaluations: {listed(named, 8, '; ')}")
    return chosen


def _called(ones: Iterable[One], text: str, choice: Callable[[One], Choice]) -> list[One]:
    """Those whose levels in words are `text`; else but for capitals; else but for how numbers are written."""
    parts = [part.strip() for part in text.split(BETWEEN.strip())]
    near: dict[int, list[One]] = {}
    for one in ones:
        labels = [label for _, label in choice(one) if label is not None]
        name = in_words(labels)
        if name == text:
            near.setdefault(0, []).append(one)
        elif _folded(name) == _folded(text):
            near.setdefault(1, []).append(one)
        elif len(labels) == len(parts) and all(map(_alike, labels, parts)):
            near.setdefault(2, []).append(one)
    return near[min(near)] if near else []


def _alike(label: str, text: str) -> bool:
    return _folded(label) == _folded(text) or same_number(label, text)


def _folded(text: str) -> str:
    """`text` whatever its capitals, and however its accents are encoded."""
    return unicodedata.normalize("NFC", text).casefold()


def _levels(expansion: Expansion, text: str) -> dict[str, str]:
    """Levels that `text` names as axis=level,..., by axis; a level may have commas of its own."""
    axes = expansion.spec.axes
    names = "|".join(sorted(map(re.escape, [*axes, EVALUATION]), key=len, reverse=True))
    before, *parts = re.split(rf"(?:^|,)\s*({names})\s*=", text)
    pairs = zip(parts[::2], parts[1::2], strict=True)
    wanted = {axis: level.strip() for axis, level in pairs} if not before.strip() else {}
    return {axis: level_of(axes[axis], level) if axis in axes else level for axis, level in wanted.items()}
