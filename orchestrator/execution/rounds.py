"""Training what nobody else trains, round after round, until nothing is left to wait for."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from orchestrator.errors import Interrupted, StoreAway, UsageError
from orchestrator.events import Event, Finished
from orchestrator.execution.checks import remove_checkpoints
from orchestrator.execution.options import Options
from orchestrator.execution.run import SweepResult, run_sweep
from orchestrator.execution.screen.lines import Make, ResumeNotes, another_result
from orchestrator.planning.plan import (
    RETRAINS,
    Plan,
    Unfit,
    from_elsewhere,
    hindered,
    make_plan,
    stages,
    start_notes,
    unfit,
    will_run,
)
from orchestrator.planning.trials import TrialSpec, in_words
from orchestrator.process.driver import Owner
from orchestrator.process.signals import Stop, stop_signals
from orchestrator.process.streams import ignoring_closed_pipes
from orchestrator.process.words import counted
from orchestrator.recording.claims.joint import JointClaims
from orchestrator.recording.journal.store import JournaledStore
from orchestrator.recording.logs import TrialLogs
from orchestrator.recording.store_port import Executor
from orchestrator.recording.trial_files import lay_encoders, lost_encoders, parent_records
from orchestrator.recording.workspace import Workspace
from orchestrator.records import SweepInfo, TrialRecord
from trainers.attempt.isolation import discard_checkpoints

UNTIL = "wait until it gives encoders: the same command runs them then"
Say = Callable[[str], None]
Only = Callable[[Plan], tuple[TrialSpec, ...]]
WAIT_S = 2.0  # between two looks at what another driver has done


class Prepared(NamedTuple):
    """A sweep that can start: everything that can be wrong beforehand has been looked at."""

    plan: Plan
    store: JournaledStore
    executor: Executor
    info: SweepInfo
    space: Workspace
    options: Options
    only: Only | None = None
    """Chooses what is trained of what is missing."""
    trains: bool = True
    """Whether anything is to be trained or evaluated."""
    writes: bool = True
    """Whether the store and the home folder take anything; else what is there is shown."""


def startable(plan: Plan, store: JournaledStore, *, looks: bool, say: Say) -> Plan:
    """The plan without trials that can never start, for what they start from came to nothing; that is said.

    `looks`: whether encoders of other sweeps are looked at; from a server they would be fetched for that.

    Raises:
        UsageError: there are such that can start when something else is trained first; nothing is.
    """
    parents = parent_records(from_elsewhere(plan.todo), plan.records, store)
    lost = dict(plan.lost)
    if looks:
        lost |= lost_encoders((one for i, one in parents.items() if i not in plan.records), store)
    found = {} if store.away else hindered(plan.todo, parents, lost)  # which else would know what is there
    notes = start_notes(plan.expansion, found.values())
    if any(one.cure is not None for one in found.values()):
        raise UsageError("\n".join(notes))
    for note in notes:
        say(f"orch: {note}")
    return plan._replace(todo=tuple(trial for trial in plan.todo if trial.id not in found))


def trained_in_turns(
    prepared: Prepared, claims: JointClaims, stop: Stop, say: Say, screen: Make
) -> SweepResult:
    """Train what is planned; a trial that starts from the encoder of another comes after that.

    What cannot start, for the other has come to nothing, is said and left out.
    """
    plan, store = prepared.plan, prepared.store
    if all(trial.parent is None for trial in plan.todo):
        return trained(prepared, claims, stop, say, screen)
    turns, count, left, waits = stages(plan.todo), Counter[str](), dict[str, Unfit](), False
    result = SweepResult(count, dict(plan.records), interrupted=False)
    for number, todo in enumerate(turns, 1):
        parents = parent_records(todo, result.records, store)
        without = unfit(todo, parents, {}, left)
        if unknown := [one for one in without.values() if store.away and not one.known]:
            waits = True
            say(f"{store.away}; {counted(len(unknown), 'trial')} {UNTIL}")
        for note in start_notes(plan.expansion, [one for one in without.values() if one not in unknown]):
            say(f"orch: {note}")
        left |= without
        mine = tuple(trial for trial in todo if trial.id not in without)
        given = {one.id: parents[one.parent.id] for one in mine if one.parent is not None}
        if turns[1:] and mine:
            more = f", {len(given)} from encoders of others" if given else ""
            say(f"turn {number} of {len(turns)}: {counted(len(mine), 'trial')}{more}")
        if mine:
            now = prepared._replace(plan=plan._replace(todo=mine, later=sum(map(len, turns[number:]))))
            result = trained(now, claims, stop, say, screen, given, result.records)
            count += result.trained
        if result.interrupted or result.hopeless or result.waits:
            break
    return result._replace(trained=count, waits=waits or result.waits)


def trained(
    prepared: Prepared,
    claims: JointClaims,
    stop: Stop,
    say: Say,
    screen: Make,
    given: Mapping[str, TrialRecord] = {},
    known: Mapping[str, TrialRecord] | None = None,
) -> SweepResult:
    """Train what nobody else trains, again and again until nothing is left to wait for.

    `given` has the record of the trial whose encoder another starts from, by the other's id; `known` what
    is known of the sweep's trials by now, None: what was planned with.
    """
    plan = prepared.plan
    wanted = {trial.id for trial in plan.todo}
    if wanted and prepared.store.away is None:
        prepared.store.flush()  # what was claimed before is anybody's from here on, and must be known
    trained: Counter[str] = Counter()
    first, told, records = True, list[str](), dict(plan.records if known is None else known)
    while (held := _taken(claims, wanted) if wanted else {}) is not None:
        plan, asked = _planned_again(prepared, plan, wanted, records)
        mine = tuple(trial for trial in plan.todo if trial.id in wanted and trial.id not in held)
        waited_for = [trial for trial in plan.todo if trial.id in held]
        if prepared.writes:
            prepared.store.adopt({trial.id: trial.label for trial in plan.done}, prepared.info)
        if mine or (first and not waited_for):
            say(will_run(plan._replace(todo=mine), prepared.store.describe()))
        first = False
        if stop.requested:
            break
        try:
            mine = _made_ready(prepared, plan, mine, given, say)
        except StoreAway as error:
            what = "trials" if any(trial.parent is not None for trial in mine) else "evaluations"
            say(f"{error}; {what} {UNTIL}")
            return SweepResult(trained, records, interrupted=False, waits=True)
        result = _run(prepared, plan._replace(todo=mine), claims, screen, asked=asked)
        trained += result.trained
        records |= result.records
        if result.overtaken:
            say(f"orch: others took this driver for dead, and have done {counted(result.overtaken, 'trial')}")
            continue
        if result.interrupted or result.hopeless or not waited_for:
            return result._replace(trained=trained, records=records)
        wanted = {trial.id for trial in waited_for}
        owners = sorted({str(held[trial.id]) for trial in waited_for})
        if not mine:
            prepared.executor.close()  # its Ray would be idle for as long as that takes
        # Given back, for their driver may in turn wait for one that has failed here.
        prepared.store.flush()
        if _taken(claims, ()) is None:
            break
        if owners != told:  # they may take up and give back trials for hours
            told = owners
            trials = counted(len(wanted), "trial")
            say(f"waiting for {trials}, which {' and '.join(owners)} trains; Ctrl-C stops waiting")
        if not _waited(claims, wanted, prepared, records):
            break
    return SweepResult(trained, records, interrupted=True)


def _taken(claims: JointClaims, wanted: Collection[str]) -> dict[str, Owner] | None:
    """Who has those of the wanted trials that are not this driver's now; None: the user will not wait."""
    try:
        return claims.take(sorted(wanted))
    except Interrupted:
        return None


def _planned_again(
    prepared: Prepared, plan: Plan, wanted: Collection[str], records: dict[str, TrialRecord]
) -> tuple[Plan, bool]:
    """The plan by what the store has now, which is added to `records`; and whether the store has answered.

    What another driver finished until just now is done, and what it began is known. It is `plan` where
    that was made of the same records.
    """
    records |= prepared.store.records(wanted) if wanted else {}
    asked = prepared.store.away is None
    # Another driver may have trained anew what had lost its encoder.
    had_lost = [records[i] for i in prepared.plan.lost if i in wanted and i in records]
    if records == plan.records and not had_lost:
        return plan, asked
    whole = prepared.space.whole_encoders
    lost = lost_encoders((one for one in had_lost if one.is_done), prepared.store, whole)
    again = make_plan(plan.expansion, dict(records))
    again = again._replace(edited=plan.edited, lost=lost, later=plan.later)
    return prepared.options.with_anew(again), asked


def _made_ready(
    prepared: Prepared,
    plan: Plan,
    mine: tuple[TrialSpec, ...],
    given: Mapping[str, TrialRecord],
    say: Say,
) -> tuple[TrialSpec, ...]:
    """Those of `mine` that can begin: without checkpoints that do not count, with the encoder they need.

    Why others have no encoder is said.

    Raises:
        StoreAway: the store does not answer.
        ExecutionError: a checkpoint that does not count cannot be removed.
    """
    anew = {trial.id for trial in mine if prepared.options.fresh or trial.id in plan.anew}
    for trial_id in anew:
        remove_checkpoints(prepared.space.checkpoints / trial_id)  # nodes with others remove theirs
    mine = tuple(trial._replace(anew=uuid.uuid4().hex) if trial.id in anew else trial for trial in mine)
    wanted = [(trial.id, given[trial.id]) for trial in mine if trial.id in given]
    without = lay_encoders(wanted, prepared.store, prepared.space.checkpoints)
    told: dict[tuple[str, str], list[TrialSpec]] = {}
    for trial in mine:
        if trial.id in without:
            told.setdefault(without[trial.id], []).append(trial)
    for (parent, why), waiting in told.items():
        one, what = waiting[0], "trial"
        if one.parent is not None:
            of = one.parent.label
        else:
            of, what = in_words(label for _, label in one.cell.choice[:-1]), "evaluation"
            of = f"{of} · seed {one.seed}"
        wait = f"{counted(len(waiting), what)} wait{'s' if len(waiting) == 1 else ''} for it"
        say(f"orch: the encoder of {of} ({parent}) {why}; {wait}; {RETRAINS} it anew")
    return tuple(trial for trial in mine if trial.id not in without)


def _waited(
    claims: JointClaims, wanted: set[str], prepared: Prepared, records: dict[str, TrialRecord]
) -> bool:
    """Wait until a trial of another driver is done or free; False if the user does not want to.

    What they finish meanwhile is added to `records`.
    """
    with stop_signals() as stop:
        while not stop.requested:
            time.sleep(WAIT_S)
            done = prepared.store.records(wanted)
            records |= {i: record for i, record in done.items() if record.is_done}
            left = {i for i in wanted if i not in done or not done[i].is_done}
            if not left or len(claims.held(left)) < len(left):
                return True
    return False


def _run(prepared: Prepared, plan: Plan, claims: JointClaims, screen: Make, *, asked: bool) -> SweepResult:
    shown = screen(plan)
    logs = TrialLogs(prepared.space.logs)
    folder = prepared.space.checkpoints
    resumes = ResumeNotes(plan, folder)

    def on_event(event: Event) -> None:
        note = resumes.note(event) or another_result(plan, event, prepared.info.provenance)
        logs.on_event(event, note)
        if note:
            with ignoring_closed_pipes():
                shown.tell(event, note)
        if not (isinstance(event, Finished) and event.outcome.status == "stopped"):
            with ignoring_closed_pipes():
                shown.on_event(event)  # that a sweep was stopped is told once, not for each trial

    keep = prepared.options.keep_checkpoints
    try:
        return run_sweep(
            plan,
            store=prepared.store,
            executor=prepared.executor,
            info=prepared.info,
            on_event=on_event,
            discard=lambda i: None if keep else discard_checkpoints(folder / i),
            keep_going=prepared.options.keep_going,
            lapsed=claims.lapsed,
            folder=folder,
            asked=asked,
        )
    finally:
        with ignoring_closed_pipes():
            shown.close()
