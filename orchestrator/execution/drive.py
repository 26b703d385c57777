"""Drives a sweep: what can be wrong is looked at first, then what is missing is trained and shown."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from orchestrator.answer import publish
from orchestrator.answer.comparison.expectations import written_down
from orchestrator.errors import Interrupted, OrchError
from orchestrator.events import Event, Finished
from orchestrator.execution import executors
from orchestrator.execution.checks import check_before_training, kept_by
from orchestrator.execution.options import Options
from orchestrator.execution.publishing import Answer, answered, published
from orchestrator.execution.resume_notes import ResumeNotes
from orchestrator.execution.run import (
    SweepResult,
    evaluation_plan,
    plan_sweep,
    run_sweep,
    with_more_seeds,
)
from orchestrator.execution.screen import Screen
from orchestrator.planning.evaluations import evaluated
from orchestrator.planning.expand import Expansion
from orchestrator.planning.plan import Plan, make_plan, will_run
from orchestrator.planning.trials import TrialSpec
from orchestrator.process.command import SUBMITTED
from orchestrator.process.provenance import provenance
from orchestrator.process.signals import Stop, stop_signals
from orchestrator.process.streams import ignoring_closed_pipes
from orchestrator.process.waiting import said_if_slow
from orchestrator.process.words import counted
from orchestrator.recording.claims.joint import JointClaims, claims_of
from orchestrator.recording.journal.store import JournaledStore
from orchestrator.recording.logs import TrialLogs
from orchestrator.recording.mlflow.glance import done_at_a_glance
from orchestrator.recording.store_port import Executor
from orchestrator.recording.trial_files import lay_encoders
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
    only: Only | None = None
    """Chooses what is trained of what is missing."""


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
    options = options._replace(keep=kept_by(expansion, options))
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
        # Opening the store takes as long as starting Ray.
        done = None if space.database is None or options.address else done_at_a_glance(space.database)
        if done is None or not done.issuperset(trial.id for trial in expansion.trials):
            executor.prepare(certain=done is not None)
        store = space.open_journaled(say=say)
        with said_if_slow("looking into the store", say):
            plan = plan_sweep(expansion, store)
        plan = _with_anew(plan, options)
        if only is not None:
            plan = plan._replace(todo=only(plan))
        later, _ = evaluation_plan(expansion, store, plan.records, only)
        if plan.todo or later.todo:
            if refusal is not None:
                raise refusal
            check_before_training(plan, space, options, say=say, evaluations=later)
        else:
            executor.close()
        spec, profile = expansion.spec, expansion.setting
        with said_if_slow("looking at the code and this machine", say):
            asks = {
                "question": spec.question,
                "metrics": tuple(dict.fromkeys(m for t in spec.tables for m in t.metrics)),
                "expected": written_down(expansion),
            }
            info = SweepInfo(name=spec.name, profile=profile, provenance=provenance(), **asks)
        undo.pop_all()
    return Prepared(plan, store, executor, info, space, options, only)


def _with_anew(plan: Plan, options: Options) -> Plan:
    """The plan with what the options say is trained again."""
    if options.retrain_changed:
        plan = plan.with_changed_anew()
    return plan.with_unkept_anew() if options.retrain_unkept else plan


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
        claims = claims_of(prepared.space, stop, say)
        gave_up = False
        try:
            result = _trained(prepared, claims, stop, say, screen)
            while larger := with_more_seeds(prepared.plan.expansion, result):
                number = len(larger.trials) - len(prepared.plan.expansion.trials)
                say(f"intervals are wider than asked for: {counted(number, 'trial')} more")
                prepared = prepared._replace(plan=plan_sweep(larger, store))
                more = _trained(prepared, claims, stop, say, screen)
                result = more._replace(trained=result.trained + more.trained)
            result = _evaluated(prepared, result, claims, stop, say, screen)
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


def _evaluated(
    prepared: Prepared,
    result: SweepResult,
    claims: JointClaims,
    stop: Stop,
    say: Say,
    screen: Callable[[Plan], Screen],
) -> SweepResult:
    """The result with what evaluations of encoders find, after those that are missing have run."""
    store, asked, records = prepared.store, prepared.plan.expansion, result.records
    if not asked.spec.evaluations:
        return result
    if not (result.interrupted or result.hopeless):
        if (bare := make_plan(asked, records).unkept) and prepared.only is None:
            kept = "trained without keeping their encoders, so they are not evaluated"
            say(f"{counted(len(bare), 'trial')} were {kept}; --retrain-unkept trains them anew")
        plan, parents = evaluation_plan(asked, store, records, prepared.only)
        if plan.todo:
            say(f"evaluations: {counted(len(plan.todo), 'trial')} of kept encoders")
            lay_encoders([(one.id, parents[one.id]) for one in plan.todo], store, prepared.space.checkpoints)
            found = _trained(prepared._replace(plan=plan), claims, stop, say, screen)
            result = found._replace(trained=result.trained + found.trained)
    return result._replace(records=evaluated(asked, records, store.records))


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
        plan = _with_anew(plan, prepared.options)
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
            discard=lambda i: None if keep else discard_checkpoints(folder / i),
            keep_going=prepared.options.keep_going,
            lapsed=claims.lapsed,
            folder=folder,
        )
    finally:
        with ignoring_closed_pipes():
            shown.close()
