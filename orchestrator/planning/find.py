"""Trials by what a person calls them."""

from __future__ import annotations

from orchestrator.errors import UsageError
from orchestrator.language.cells.axes import level_of
from orchestrator.language.hints import cut, nearest
from orchestrator.planning.evaluations import Evaluations, name_of
from orchestrator.planning.trials import Expansion, TrialSpec, in_words
from orchestrator.process.words import listed


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

    Those that do not count are among them. Of several cells that are one config each may be named.

    Raises:
        UsageError: it names no cell, or several.
    """
    wanted = _levels(expansion, text)

    def fits(trial: TrialSpec) -> bool:
        if trial.cell.label.casefold() == text.casefold():
            return True
        if wanted:
            return wanted.items() <= dict(trial.cell.choice).items()
        return len(text) >= 4 and (trial.id.startswith(text) or trial.cell.id.startswith(text))

    found: dict[str, TrialSpec] = {}
    for seed in expansion.every_seed:
        for cell in expansion.cells:
            if seed not in expansion.own_seeds.get(cell.choice, expansion.seeds):
                continue
            trial = TrialSpec(cell.trial_id(seed), cell, seed)
            if trial.id not in found and fits(trial):
                found[trial.id] = trial
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
    wanted = _levels(found.sweep, text)

    def fits(trial: TrialSpec) -> bool:
        of = in_words(label for _, label in trial.cell.choice[:-1])
        if text.casefold() in (trial.cell.label.casefold(), f"{of} · {name_of(trial)}".casefold()):
            return True
        if "evaluation" in wanted:
            return wanted.items() <= dict(trial.cell.choice).items()
        return len(text) >= 4 and trial.id in found.parents and trial.id.startswith(text)

    chosen = [trial for trial, _ in found.every if fits(trial)]
    named = list(dict.fromkeys(trial.cell.label for trial in chosen))
    if len({one.id for one in chosen}) == 1 and chosen[0].id in found.parents:
        return chosen[:1]  # of encoders that are one, whatever their cells are called
    if len(named) > 1:
        raise UsageError(f"'{cut(text)}' fits {len(named)} evaluations: {listed(named, 8, '; ')}")
    return chosen


def _levels(expansion: Expansion, text: str) -> dict[str, str]:
    """Levels that `text` names as axis=level,..., by axis."""
    axes = expansion.spec.axes
    pairs = [part.partition("=") for part in text.split(",") if "=" in part]
    wanted = {axis.strip(): level.strip() for axis, _, level in pairs}
    return {a: level_of(axes[a], level) if a in axes else level for a, level in wanted.items()}
