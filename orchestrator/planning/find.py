"""Trials by what a person calls them."""

from __future__ import annotations

from orchestrator.errors import UsageError
from orchestrator.language.axes import level_of
from orchestrator.language.hints import cut, nearest
from orchestrator.planning.expand import Expansion
from orchestrator.planning.trials import TrialSpec


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


def find_trials(expansion: Expansion, text: str) -> list[TrialSpec]:
    """The trials of the one cell that `text` names: label, levels as axis=level, or the start of an id.

    Those that do not count are among them. Of several cells that are one config each may be named.

    Raises:
        UsageError: it names no cell, or several.
    """
    axes = expansion.spec.axes
    pairs = [part.partition("=") for part in text.split(",") if "=" in part]
    wanted = {axis.strip(): level.strip() for axis, _, level in pairs}
    wanted = {a: level_of(axes[a], level) if a in axes else level for a, level in wanted.items()}

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
