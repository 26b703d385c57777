"""Drives a sweep: what can be wrong is looked at first, then what is missing is trained and shown."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from orchestrator.answer import publish
from orchestrator.errors import Interrupted, OrchError
from orchestrator.events import Event, Finished
from orchestrator.execution import executors
from orchestrator.execution.checks import check_before_training
from orchestrator.execution.options import Options
from orchestrator.execution.publishing import Answer, answered, published
from orchestrator.execution.resume_notes import ResumeNotes
from orchestrator.execution.run import SweepResult, plan_sweep, run_sweep
from orchestrator.execution.screen import Screen
from orchestrator.planning.expand import Expansion
from orchestrator.planning.plan import Plan, make_plan, will_run
from orchestrator.planning.trials import TrialSpec
from orchestrator.process.command import SUBMITTED, typed_command
from orchestrator.process.driver import this_driver
from orchestrator.process.provenance import provenance
from orchestrator.process.signals import Stop, stop_signals
from orchestrator.process.streams import ignoring_closed_pipes
from orchestrator.process.waiting import said_if_slow
from orchestrator.process.words import counted
from orchestrator.recording.claims.home import Claims
from orchestrator.recording.claims.joint import JointClaims
from orchestrator.recording.claims.shared import SharedClaims
from orchestrator.recording.journal.store import JournaledStore
from orchestrator.recording.logs import TrialLogs
from orchestrator.recording.store_port import Executor
from orchestrator.recording.workspace import Workspace
from orchestrator.records import SweepInfo, TrialRecord
from trainers.attempt.isolation import discard_checkpoints

Say = Callable[[str], None]
Only = Callable[[Plan], tuple[TrialSpec, ...]]
WAIT_S = 2.0  # between two looks at what another driver has done
WRITING_ENDS = "the table is made; stopping once it is kept in the store, Ctrl-C again stops at once"


class Prepared(NamedTuple):
    """A sweep that can start: everything that can be wrong beforehand has been looked at."""

    plan: Plan
    store: JournaledStore
    executor: Executor
    info: SweepInfo
    space: Workspace
    options: Options


def prepare(
    expansion: Expansion, space: Workspace, options: Options, *, say: Say, only: Only | None = None
) -> Prepared:
    """Store, plan and executor of a sweep; nothing is trained or written yet.

    Of what is missing, `only` chooses what is trained now; None: everything.

    Raises:
        StoreError: the store does not answer.
        UsageError: a table or figure cannot be made of these cells; data, room on the disk, the folder of
            checkpoints or an executor of that name are not there.
    """
    publish.check(expansion)
    _ = space.checkpoints  # first: an address that holds a secret must not reach the journal
    space.check_writable()
    if os.environ.get(SUBMITTED):
        os.chdir(space.home)  # Ray may remove a job's own folder before its driver has ended
    refusal: OrchError | None = None
    executor: Executor
    kind = executors.load(options.executor)
    try:
        options = options._replace(address=kind.address_in(options.address))
        executor = kind.make(expansion.spec, space, options, say=say)
    except OrchError as error:  # what is complete already needs none
        refusal, executor = error, executors.nobody()
    with contextlib.ExitStack() as undo:
        undo.callback(executor.close)
        # Opening a store takes as long as starting Ray. What a file has is known before it is opened.
        if space.database is None or options.address:
            executor.prepare(certain=False)
        store = space.open_journaled(lazily=True, say=say)
        with said_if_slow("looking into the store", say):
            plan = plan_sweep(expansion, store)
        if options.retrain_changed:
            plan = plan.with_changed_anew()
        if only is not None:
            plan = plan._replace(todo=only(plan))
        if plan.todo:
            if refusal is not None:
                raise refusal
            executor.prepare(certain=not options.address)
            store.open()
            check_before_training(plan, space, options, say=say)
        else:
            executor.close()
        spec, profile = expansion.spec, expansion.setting
        with said_if_slow("looking at the code and this machine", say):
            info = SweepInfo(name=spec.name, profile=profile, provenance=provenance(), question=spec.question)
        undo.pop_all()
    return Prepared(plan, store, executor, info, space, options)


def sweep(
    prepared: Prepared, *, say: Say, show: Callable[[Answer], None], screen: Callable[[Plan], Screen]
) -> SweepResult:
    """Complete a sweep, show it, and then publish its tables and figures in the store.

    Trials that another driver with the same home folder is training are waited for, and taken over if that
    driver ends without finishing them.

    Args:
        prepared: the sweep.
        say: is told what a person should know.
        show: is given results and tables as soon as the last result is recorded: nothing that fails later
            can take them away.
        screen: makes what shows how the trials of a plan go.
    """
    store = prepared.store
    if store.away:
        say(f"{store.away}; training goes on with what this folder knows, and results wait in its journal")
    with stop_signals() as stop, contextlib.ExitStack() as after:
        after.callback(store.close)
        after.callback(prepared.executor.close)
        store.carry()
        claims = _claims(prepared, stop, say)
        gave_up = False
        try:
            result = _trained(prepared, claims, stop, say, screen)
            after.enter_context(stop.answered(WRITING_ENDS))
            answer = answered(prepared.plan.expansion, result)
            show(answer)
        finally:
            try:
                if not stop.at_once:
                    # Before its trials are anybody's: a driver of another home knows only what has arrived.
                    store.flush()
                    gave_up = store.away is not None
            finally:
                claims.release()
        if not stop.at_once:
            result = published(prepared.plan, store, answer, prepared.info, say=say)
            if not gave_up:  # it is waited for once
                store.flush()
    for note in store.notes:
        say(f"orch: {note}")
    return result


def _claims(prepared: Prepared, stop: Stop, say: Say) -> JointClaims:
    registry, command = prepared.space.registry() if prepared.plan.todo else None, typed_command()

    def pause(seconds: float) -> None:
        time.sleep(seconds)
        if stop.requested:
            raise Interrupted

    def on_stop(why: str) -> None:
        stop.requested = True  # first: nothing said may keep it from that
        say(f"orch: this driver stops: {why}")

    shared = None
    if registry is not None:
        shared = SharedClaims(registry, me=this_driver(command), pause=pause, on_stop=on_stop)
    return JointClaims(Claims(prepared.space.home, command=command), shared, say=say)


def _trained(
    prepared: Prepared, claims: JointClaims, stop: Stop, say: Say, screen: Callable[[Plan], Screen]
) -> SweepResult:
    """Train what nobody else trains, again and again until nothing is left to wait for."""
    wanted = {trial.id for trial in prepared.plan.todo}
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
        plan = make_plan(prepared.plan.expansion, records)._replace(edited=prepared.plan.edited)
        if prepared.options.retrain_changed:
            plan = plan.with_changed_anew()
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
        result = _run(prepared, plan._replace(todo=mine), claims, screen)
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
    prepared: Prepared, plan: Plan, claims: JointClaims, screen: Callable[[Plan], Screen]
) -> SweepResult:
    shown = screen(plan)
    logs = TrialLogs(prepared.space.logs)
    folder = prepared.space.checkpoints
    resumes = ResumeNotes(plan, folder)

    def on_event(event: Event) -> None:
        note = resumes.note(event)
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
            discard=_keep if keep else lambda i: discard_checkpoints(folder / i),
            keep_going=prepared.options.keep_going,
            lapsed=claims.lapsed,
        )
    finally:
        with ignoring_closed_pipes():
            shown.close()


def _keep(trial_id: str) -> None:
    """Leave the checkpoints of a finished trial where they are."""
