"""Trials by what a person calls them."""

from __future__ import annotations

from orchestrator.errors import UsageError
from orchestrator.language.hints import nearest
from orchestrator.planning.expand import Expansion
from orchestrator.planning.trials import TrialSpec


def find_trial(expansion: Expansion, text: str) -> TrialSpec:
    """The trial of the one cell that `text` names, in an expansion of one seed."""
    return find_trials(expansion, text)[0]


def find_trials(expansion: Expansion, text: str) -> list[TrialSpec]:
    """The trials of the one cell that `text` names: label, levels as axis=level, or the start of an id.

    Raises:
        UsageError: it names no cell, or several.
    """
    wanted = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
    wanted = {axis.strip(): level.strip() for axis, level in wanted.items()}

    def fits(trial: TrialSpec) -> bool:
        if wanted:
            return wanted.items() <= dict(trial.cell.choice).items()
        same = trial.cell.label.casefold() == text.casefold()
        return same or (len(text) >= 4 and (trial.id.startswith(text) or trial.cell.id.startswith(text)))

    found = [trial for trial in expansion.trials if fits(trial)]
    named = list(dict.fromkeys(trial.cell.label for trial in found))
    if len(named) == 1:
        return found
    labels = [cell.label for cell in expansion.cells]
    if named:
        raise UsageError(f"'{text}' fits {len(named)} cells: {'; '.join(named[:8])}")
    raise UsageError(f"no cell '{text}'; {nearest(text, labels)}")
