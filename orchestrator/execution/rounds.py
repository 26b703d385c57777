"""Training what nobody else trains, round after round, until nothing is left to wait for."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

from orchestrator.errors import Interrupted, StoreAway
from orchestrator.events import Event, Finished
from orchestrator.execution.options import Options
from orchestrator.execution.run import SweepResult, run_sweep
from orchestrator.execution.screen.lines import ResumeNotes, Screen
from orchestrator.planning.plan import RETRAINS, Plan, make_plan, will_run
from orchestrator.planning.trials import TrialSpec, in_words
from orchestrator.process.signals import Stop, stop_signals
from orchestrator.process.streams import ignoring_closed_pipes
from orchestrator.process.words import counted
from orchestrator.recording.claims.joint import JointClaims
from orchestrator.recording.journal.store import JournaledStore
from orchestrator.recording.logs import TrialLogs
from orchestrator.recording.store_port import Executor
from orchestrator.recording.trial_files import lay_encoders, lost_encoders
from orchestrator.recording.workspace import Workspace
from orchestrator.records import SweepInfo, TrialRecord, record_of, unequal_metrics
from trainers.attempt.isolation import discard_checkpoints

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


def with_anew(plan: Plan, options: Options) -> Plan:
    """The plan with what the options say is trained again."""
    if options.retrain_changed:
        plan = plan.with_changed_anew()
    return plan.with_unkept_anew() if options.retrain_unkept else plan


def trained(
    prepared: Prepared,
    claims: JointClaims,
    stop: Stop,
    say: Say,
    screen: Callable[[Plan], Screen],
    given: Mapping[str, TrialRecord] = {},
) -> SweepResult:
    """Train what nobody else trains, again and again until nothing is left to wait for.

    `given` has the record of the trial whose encoder another starts from, by the other's id.
    """
    wanted = {trial.id for trial in prepared.plan.todo}
    if wanted and prepared.store.away is None:
        prepared.store.flush()  # what was claimed before is anybody's from here on, and must be known
    trained: Counter[str] = Counter()
    first, told, records = True, list[str](), dict(prepared.plan.records)

    def stopped() -> SweepResult:
        return SweepResult(trained, records, interrupted=True)

    while True:
        try:
            held = claims.take(sorted(wanted)) if wanted else {}
        except Interrupted:
            return stopped()
        # Read again: what another driver finished until just now is done, and what it began is known.
        records |= prepared.store.records(wanted) if wanted else {}
        asked = prepared.store.away is None
        # Another driver may have trained anew what had lost its encoder.
        had_lost = [records[i] for i in prepared.plan.lost if i in wanted and i in records]
        whole = prepared.space.whole_encoders
        lost = lost_encoders((one for one in had_lost if one.is_done), prepared.store, whole)
        plan = make_plan(prepared.plan.expansion, records)._replace(edited=prepared.plan.edited, lost=lost)
        plan = with_anew(plan, prepared.options)
        mine = tuple(trial for trial in plan.todo if trial.id in wanted and trial.id not in held)
        waited_for = [trial for trial in plan.todo if trial.id in held]
        prepared.store.adopt({trial.id: trial.label for trial in plan.done}, prepared.info)
        if mine or (first and not waited_for):
            say(will_run(plan._replace(todo=mine), prepared.store.describe()))
        first = False
        if stop.requested:
            return stopped()
        for trial in mine:
            if prepared.options.fresh or trial.id in plan.anew:
                discard_checkpoints(prepared.space.checkpoints / trial.id)
        try:
            mine = _with_encoders(prepared, mine, given, say)
        except StoreAway as error:
            say(f"{error}; evaluations wait until it gives encoders: the same command runs them then")
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
        try:
            claims.take(())
        except Interrupted:
            return stopped()
        if owners != told:  # they may take up and give back trials for hours
            told = owners
            trials = counted(len(wanted), "trial")
            say(f"waiting for {trials}, which {' and '.join(owners)} trains; Ctrl-C stops waiting")
        if not _waited(claims, wanted, prepared, records):
            return stopped()


def _with_encoders(
    prepared: Prepared, mine: tuple[TrialSpec, ...], given: Mapping[str, TrialRecord], say: Say
) -> tuple[TrialSpec, ...]:
    """Those of `mine` that need no other trial's encoder, or have got it now; why others have not is said.

    Raises:
        StoreAway: the store does not answer.
    """
    wanted = [(trial.id, given[trial.id]) for trial in mine if trial.id in given]
    without = lay_encoders(wanted, prepared.store, prepared.space.checkpoints)
    told: dict[tuple[str, str], list[TrialSpec]] = {}
    for trial in mine:
        if trial.id in without:
            told.setdefault(without[trial.id], []).append(trial)
    for (parent, why), waiting in told.items():
        of = in_words(label for _, label in waiting[0].cell.choice[:-1])
        wait = f"{counted(len(waiting), 'evaluation')} wait{'s' if len(waiting) == 1 else ''} for it"
        told_of = f"the encoder of {of} · seed {waiting[0].seed} ({parent})"
        say(f"orch: {told_of} {why}; {wait}; {RETRAINS} it anew")
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


def _run(
    prepared: Prepared,
    plan: Plan,
    claims: JointClaims,
    screen: Callable[[Plan], Screen],
    *,
    asked: bool,
) -> SweepResult:
    shown = screen(plan)
    logs = TrialLogs(prepared.space.logs)
    folder = prepared.space.checkpoints
    resumes = ResumeNotes(plan, folder)

    def on_event(event: Event) -> None:
        note = resumes.note(event) or _another_result(prepared, plan, event)
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


def _another_result(prepared: Prepared, plan: Plan, event: Event) -> str | None:
    """That a trial which was trained anew has another result than before; None if it has not."""
    before = plan.records.get(event.trial_id)
    if event.trial_id not in plan.anew or before is None or not isinstance(event, Finished):
        return None
    now = record_of(event.trial_id, event.outcome, prepared.info.provenance)
    told = [f"{now.status}, before {before.status}"] if now.status != before.status else []
    names = [n for n in unequal_metrics(now, before) if n in now.metrics and n in before.metrics]
    if now.status == before.status and names:
        name = next((one for one in names if one.startswith("probe/")), names[0])
        more = f" and {counted(len(names) - 1, 'more metric')}" if names[1:] else ""
        told = [f"{name} {now.metrics.get(name)}, before {before.metrics.get(name)}{more}"]
    if now.encoder and before.encoder and now.encoder != before.encoder:
        told.append(f"encoder {now.encoder[:12]}, before {before.encoder[:12]}: its evaluations run anew")
    if not told or not (now.is_done and before.is_done):
        return None
    kept = f"; run {before.run}, set aside, has what was before" if before.run else ""
    return f"trained anew with another result: {'; '.join(told)}{kept}"
