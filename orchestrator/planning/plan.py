"""What remains to be done: the trials a sweep asks for against the records a store has."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from orchestrator.language.cells.seeds import as_typed
from orchestrator.planning.expand import Expansion
from orchestrator.planning.origin import code_note, edit_notes, trained_by_other_code
from orchestrator.planning.trials import TrialSpec, keeps
from orchestrator.process.words import counted, listed
from orchestrator.records import MEASURED, TrialRecord

RETRAINS = "`orch sweep SPEC --keep encoder --retrain-unkept` trains"
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
    """Ids of those in `todo` that have results, which are set aside: of other code, or ended early."""
    edited: Mapping[str, list[str]] = {}
    """Of those in `todo`: the plug-ins for whose edit they are missing, by trial id, where that is known."""
    lost: Mapping[str, str] = {}
    """Of those that are done: why the encoder that was kept cannot be used any more, by trial id."""
    later: int = 0
    """How many come in later turns, for they start from encoders of those in `todo`."""

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
    def cut_before(self) -> tuple[TrialSpec, ...]:
        """Those in `todo` that a search has ended early."""
        return tuple(t for t in self.todo if self._status(t) == "pruned")

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


def kept(expansion: Expansion, asked: Iterable[Literal["encoder"]]) -> tuple[Literal["encoder"], ...]:
    """What is kept of a sweep's trials: what its file names, what is asked for, what others of it need."""
    chained = any(cell.start is not None and cell.start.file is None for cell in expansion.cells)
    needed: tuple[Literal["encoder"], ...] = ("encoder",) if expansion.spec.evaluations or chained else ()
    return tuple(dict.fromkeys((*expansion.spec.keep, *asked, *needed)))


def make_plan(expansion: Expansion, records: Mapping[str, TrialRecord]) -> Plan:
    """The plan that completes `expansion`, given the records of its trials.

    What a search has ended early is no result of a sweep that compares equal budgets: it is trained anew.
    """
    search = expansion.spec.searches
    done = tuple(t for t in expansion.trials if t.id in records and records[t.id].counts(search=search))
    finished = {t.id for t in done}
    todo = tuple(t for t in expansion.trials if t.id not in finished)
    anew = frozenset(t.id for t in todo if t.id in records and records[t.id].is_done)
    return Plan(expansion, todo, done, records, anew)


def cut_note(plan: Plan) -> list[str]:
    """What is said of trials in `todo` that a search has ended early; nothing where there are none."""
    number = len(plan.cut_before)
    return (
        [f"{number} that a search ended early {'is' if number == 1 else 'are'} trained whole"]
        if number
        else []
    )


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


def stages(todo: Sequence[TrialSpec]) -> list[tuple[TrialSpec, ...]]:
    """`todo` by turns: a trial that starts from the encoder of another of them comes after that."""
    there = {trial.id for trial in todo}
    turns: dict[str, int] = {}

    def turn(trial: TrialSpec) -> int:
        if trial.id not in turns:
            parent = trial.parent
            turns[trial.id] = 1 + turn(parent) if parent is not None and parent.id in there else 0
        return turns[trial.id]

    found: dict[int, list[TrialSpec]] = {}
    for trial in todo:
        found.setdefault(turn(trial), []).append(trial)
    return [tuple(found[number]) for number in sorted(found)]


class Unfit(NamedTuple):
    """Why a trial cannot start: the encoder that it would start from is not there."""

    trial: TrialSpec
    why: str
    """In words on the other trial that follow "which"."""
    cure: Literal["train", "keep"] | None
    """What makes the encoder: the other trial is trained, or trained anew; None: nothing does."""
    known: bool = True
    """Whether there is a record of the other trial, or it is known that there can be none."""


_NEVER = "can never start"
_STANDS = {"running": "is running", "stopped": "was stopped", "pruned": "was pruned"}


def unfit(
    todo: Iterable[TrialSpec],
    parents: Mapping[str, TrialRecord],
    lost: Mapping[str, str],
    before: Mapping[str, Unfit] = {},
) -> dict[str, Unfit]:
    """Why trials cannot start from another's encoder, by their ids; those that can are absent.

    Args:
        todo: trials.
        parents: records of those from whose encoders they start.
        lost: why an encoder that was kept cannot be used, by the id of its trial.
        before: those of earlier turns.
    """
    found: dict[str, Unfit] = {}
    for trial in todo:
        if (parent := trial.parent) is None:
            continue
        if parent.id in before and before[parent.id].cure is None:
            found[trial.id] = Unfit(trial, _NEVER, None)
        elif (record := parents.get(parent.id)) is None:
            found[trial.id] = Unfit(trial, "was not trained", "train", known=False)
        elif record.status != "completed":
            why = _STANDS.get(record.status, record.status) + (f" ({record.reason})" if record.reason else "")
            found[trial.id] = Unfit(trial, why, None if record.is_done else "train")
        elif record.encoder is None:
            found[trial.id] = Unfit(trial, "was trained without keeping its encoder", "keep")
        elif parent.id in lost:
            found[trial.id] = Unfit(trial, f"has lost its encoder: it {lost[parent.id]}", "keep")
    return found


def from_elsewhere(todo: Sequence[TrialSpec]) -> list[TrialSpec]:
    """Those that start from the encoder of a trial which is none of `todo`."""
    there = {trial.id for trial in todo}
    return [one for one in todo if one.parent is not None and one.parent.id not in there]


def hindered(
    todo: Sequence[TrialSpec], parents: Mapping[str, TrialRecord], lost: Mapping[str, str]
) -> dict[str, Unfit]:
    """Why trials of a plan cannot start, by their ids; also those that would start from such for good.

    Arguments are those of `unfit`, with `parents` of the trials `from_elsewhere`.
    """
    found = unfit(from_elsewhere(todo), parents, lost)
    for turn in stages(todo):
        never = {i for i, one in found.items() if one.cure is None}
        found |= unfit([one for one in turn if one.parent and one.parent.id in never], parents, lost, found)
    return found


def start_notes(expansion: Expansion, found: Iterable[Unfit]) -> list[str]:
    """A line on each cell from whose encoders others would start and cannot, with what to do."""
    together: dict[tuple[str | None, str, str], list[Unfit]] = {}
    for one in found:
        start, parent = one.trial.cell.start, one.trial.parent
        assert start is not None and parent is not None
        together.setdefault((start.file, parent.cell.label, one.why), []).append(one)
    lines = []
    for (file, label, why), those in together.items():
        seeds = sorted({one.trial.parent.seed for one in those if one.trial.parent is not None})
        whose = f"{label}, seed{'s' * (len(seeds) > 1)} {listed(map(str, seeds), 8)}"
        whose += f" of {file}" if file else ""
        way = "name another cell or seed, or leave these out by `exclude`"
        way = way if why == _NEVER else f"a result, and stays: {way}"
        if (cure := those[0].cure) is not None:
            way = f"`{_training(expansion, those[0].trial, seeds, anew=cure == 'keep')}` trains it"
        number = counted(len(those), "trial")
        lines.append(f"{number} would start from the encoder of {whose}, which {why}; {way}")
    return lines


def _training(expansion: Expansion, trial: TrialSpec, seeds: Sequence[int], *, anew: bool) -> str:
    """The command that trains what a trial starts from, under these seeds."""
    start = trial.cell.start
    assert start is not None
    words, there = ["orch", "sweep", start.file or "SPEC"], frozenset(expansion.every_seed)
    if start.asked.sweep is not None:
        there = expansion.spec.parents[start.asked.sweep].spec.every_seed
        words += ["--profile", start.profile] if start.profile else []
        words += ["--keep", "encoder"]
    if not there.issuperset(seeds):
        words += ["--seeds", as_typed(seeds)]
    return shlex.join([*words, "--retrain-unkept"] if anew else words)


def will_run(plan: Plan, where: str) -> str:
    """What will be trained, in words; `where` says where results are kept."""
    other = code_note(len(plan.done), plan.by_other_code)
    other = f"; {other}; --retrain-changed trains them anew" if other else ""
    if not plan.todo:
        every, number = len(plan.expansion.trials), len(plan.done)
        those = f"all {number}" if number == every else f"{number} of {every}"
        return f"nothing to do: {those} trials are in {where}{other}"
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
    if anew := sum(trial.id in plan.anew for trial in plan.todo):
        parts.append(f"{anew} of them anew")
    parts += cut_note(plan)
    parts += edit_notes({one.id: plan.edited[one.id] for one in plan.todo if one.id in plan.edited})
    return f"{', '.join(parts)}; results in {where}{other}"
