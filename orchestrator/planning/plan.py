"""What remains to be done: the trials a sweep asks for against the records a store has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from orchestrator.planning.expand import Expansion
from orchestrator.planning.origin import code_note, edit_notes, trained_by_other_code
from orchestrator.planning.trials import TrialSpec, keeps
from orchestrator.process.words import counted
from orchestrator.records import MEASURED, TrialRecord

RETRAINS = "`orch sweep SPEC --keep encoder --retrain-unkept` (retrain_unkept=True) trains"
"""What makes an encoder that is not there."""


class Plan(NamedTuple):
    """A sweep's trials, each in exactly one group."""

    expansion: Expansion
    todo: tuple[TrialSpec, ...]
    """To be trained: new, interrupted, or failed before."""
    done: tuple[TrialSpec, ...]
    """In the store: completed, collapsed or diverged."""
    records: Mapping[str, TrialRecord]
    anew: frozenset[str] = frozenset()
    """Ids of those in `todo` that have results, of other code, which are set aside."""
    edited: Mapping[str, list[str]] = {}
    """Of those in `todo`: the plug-ins for whose edit they are missing, by trial id, where that is known."""
    lost: Mapping[str, str] = {}
    """Of those that are done: why the encoder that was kept cannot be used any more, by trial id."""

    def __repr__(self) -> str:
        """What a notebook shows: the counts, not thousands of trials."""
        return f"<Plan: {len(self.todo)} to train, {len(self.done)} done>"

    @property
    def failed_before(self) -> tuple[TrialSpec, ...]:
        """Those in `todo` that failed last time."""
        return tuple(t for t in self.todo if self._status(t) == "failed")

    @property
    def interrupted(self) -> tuple[TrialSpec, ...]:
        """Those in `todo` that were begun and not finished."""
        return tuple(t for t in self.todo if self._status(t) in ("running", "stopped"))

    @property
    def by_other_code(self) -> dict[str, list[str]]:
        """Of those that are done: the files whose code has changed since, by trial id."""
        return trained_by_other_code(self.done, self.records)

    def with_changed_anew(self) -> Plan:
        """The plan that also trains again what other code has trained."""
        return self._with_anew(frozenset(self.by_other_code))

    @property
    def unkept(self) -> tuple[TrialSpec, ...]:
        """Of those that are done: those that have an encoder which was not kept."""
        return tuple(
            trial
            for trial in self.done
            if self.records[trial.id].status in MEASURED
            and self.records[trial.id].encoder is None
            and "encoder" in keeps(trial.cell)
        )

    def with_unkept_anew(self) -> Plan:
        """The plan that also trains again those whose encoder was not kept, or is lost."""
        return self._with_anew(frozenset(trial.id for trial in self.unkept) | self.lost.keys())

    def _with_anew(self, others: frozenset[str]) -> Plan:
        others |= self.anew
        done = tuple(trial for trial in self.done if trial.id not in others)
        finished = {trial.id for trial in done}
        todo = tuple(trial for trial in self.expansion.trials if trial.id not in finished)
        return self._replace(todo=todo, done=done, anew=others)

    def status(self, trial_id: str) -> str:
        """Status of one trial: its record's, or "missing"."""
        record = self.records.get(trial_id)
        return record.status if record else "missing"

    def _status(self, trial: TrialSpec) -> str:
        return self.status(trial.id)


def seeds_of_cells(expansion: Expansion) -> str:
    """How many seeds cells have, in words."""
    numbers = sorted({len(expansion.seeds_of(cell)) for cell in expansion.cells})
    few, many = (numbers[0], numbers[-1]) if numbers else (0, len(expansion.seeds))
    return counted(many, "seed") if few in (0, many) else f"{few} to {many} seeds"


def size(expansion: Expansion) -> str:
    """How many cells, seeds and trials, in words."""
    seeds = seeds_of_cells(expansion)
    out = f", {len(expansion.excluded)} excluded" if expansion.excluded else ""
    return (
        f"{counted(len(expansion.cells), 'cell')} × {seeds} = {counted(len(expansion.trials), 'trial')}{out}"
    )


def make_plan(expansion: Expansion, records: Mapping[str, TrialRecord]) -> Plan:
    """The plan that completes `expansion`, given the records of its trials."""
    done = tuple(t for t in expansion.trials if t.id in records and records[t.id].is_done)
    finished = {t.id for t in done}
    todo = tuple(t for t in expansion.trials if t.id not in finished)
    return Plan(expansion, todo, done, records)


def encoder_notes(plan: Plan) -> list[str]:
    """A line on the trials whose encoders were not kept, and one on those whose encoders are lost."""
    notes: list[str] = []
    if bare := plan.unkept:
        were, them, their = (
            ("was", "it", "its encoder") if len(bare) == 1 else ("were", "them", "their encoders")
        )
        so = f", so {'it is' if len(bare) == 1 else 'they are'} not evaluated"
        kept = f"{counted(len(bare), 'trial')} {were} trained without keeping {their}"
        notes.append(f"{kept}{so if plan.expansion.spec.evaluations else ''}; {RETRAINS} {them} anew")
    if lost := [trial for trial in plan.done if trial.id in plan.lost]:
        first = f"the encoder of {lost[0].label} ({lost[0].id}) {plan.lost[lost[0].id]}"
        more = f", and {counted(len(lost) - 1, 'more encoder')} cannot be used" if lost[1:] else ""
        notes.append(f"{first}{more}; {RETRAINS} {'them' if more else 'it'} anew")
    return notes


def will_run(plan: Plan, where: str) -> str:
    """What will be trained, in words; `where` says where results are kept."""
    other = code_note(len(plan.done), plan.by_other_code)
    other = f"; {other}; --retrain-changed trains them anew" if other else ""
    if not plan.todo:
        return f"nothing to do: all {len(plan.done)} trials are in {where}{other}"
    number = len(plan.todo)
    parts = ["1 trial will run" if number == 1 else f"{number} trials will run", f"{len(plan.done)} done"]
    if plan.interrupted:
        number = len(plan.interrupted)
        parts.append("1 goes on where it stopped" if number == 1 else f"{number} go on where they stopped")
    if plan.failed_before:
        number = len(plan.failed_before)
        parts.append(
            f"{number} failed before and " + ("is tried again" if number == 1 else "are tried again")
        )
    if plan.anew:
        parts.append(f"{len(plan.anew)} of them anew")
    parts += edit_notes(plan.edited)
    return f"{', '.join(parts)}; results in {where}{other}"
