"""Drives a sweep: what can be wrong is looked at first, then what is missing is trained and shown."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from orchestrator.answer import publish
from orchestrator.answer.comparison.expectations import written_down
from orchestrator.answer.comparison.precision import grown
from orchestrator.errors import OrchError, StoreAway, UsageError
from orchestrator.execution import executors
from orchestrator.execution.checks import check_before_training, kept_by
from orchestrator.execution.options import Options
from orchestrator.execution.publishing import Answer, answered, published
from orchestrator.execution.rounds import Only as Only
from orchestrator.execution.rounds import Prepared as Prepared
from orchestrator.execution.rounds import Say, startable, trained, trained_in_turns
from orchestrator.execution.run import (
    SweepResult,
    evaluation_plan,
    plan_sweep,
)
from orchestrator.execution.screen import mirrors
from orchestrator.execution.screen.lines import Make
from orchestrator.execution.screen.mirroring import mirrored
from orchestrator.planning.evaluations import evaluated
from orchestrator.planning.expand import Expansion
from orchestrator.planning.plan import Plan, encoder_notes, make_plan
from orchestrator.planning.trials import keeps
from orchestrator.process.command import SUBMITTED
from orchestrator.process.provenance import provenance
from orchestrator.process.signals import stop_signals
from orchestrator.process.waiting import said_if_slow
from orchestrator.process.words import counted
from orchestrator.recording.claims.joint import claims_of
from orchestrator.recording.store_port import Executor, Store
from orchestrator.recording.trial_files import lost_encoders
from orchestrator.recording.workspace import Workspace
from orchestrator.records import SweepInfo, TrialRecord
from trainers.attempt.checkpoint import names_in

WRITING_ENDS = "the table is made; stopping once it is kept in the store, Ctrl-C again stops at once"


def prepare(
    expansion: Expansion, space: Workspace, options: Options, *, say: Say, only: Only | None = None
) -> Prepared:
    """Store, plan and executor of a sweep; nothing is trained or written yet.

    Of what is missing, `only` chooses what is trained now; None: everything.

    Raises:
        StoreError: the store does not answer.
        UsageError: a table or figure cannot be made of these cells; data, room on the disk, the folder of
            checkpoints, an executor of that name or an encoder to start from are not there.
    """
    publish.check(expansion)
    options = options._replace(keep=kept_by(expansion, options), mirror=mirrors.checked(options.mirror))
    _ = space.checkpoints  # first: an address that holds a secret must not reach the journal
    only_read = space.unwritable()
    if os.environ.get(SUBMITTED) and only_read is None:
        os.chdir(space.home)  # Ray may remove a job's own folder before its driver has ended
    refusal: OrchError | None = None if only_read is None else UsageError(only_read)
    executor: Executor
    kind = executors.load(options.executor)
    try:
        options = options._replace(address=kind.address_in(options.address))
        executor = kind.make(expansion.spec, space, options, say=say)
    except OrchError as error:  # what is complete already needs none
        refusal, executor = refusal or error, executors.nobody()
    with contextlib.ExitStack() as undo:
        undo.callback(executor.close)
        # Opening a store takes as long as starting Ray. What a file has is known before it is opened.
        if only_read is None and (space.store_at.file is None or options.address):
            executor.prepare(certain=False)
        store = space.open_journaled(lazily=True, reads=only_read is not None, say=say)
        with said_if_slow("looking into the store", say):
            plan = plan_sweep(expansion, store)
        # From a server they are fetched only where they are needed.
        if options.keep and (space.store_at.file is not None or options.retrain_unkept):
            with said_if_slow("looking at the encoders that were kept", say):
                had = (plan.records[t.id] for t in plan.done)
                plan = plan._replace(lost=lost_encoders(had, store, space.whole_encoders))
        plan = options.with_anew(plan)
        if only is not None:
            plan = plan._replace(todo=only(plan))
        plan = startable(plan, store, looks=space.store_at.file is not None, say=say)
        later: Plan | None = None
        if expansion.spec.evaluations:
            later, _ = _evaluations(expansion, store, plan.records, options, only, plan.lost)
        if trains := bool(plan.todo or (later is not None and later.todo)):
            if refusal is not None:
                raise refusal
            executor.prepare(certain=not options.address)
            store.open()
            check_before_training(plan, space, options, say=say, evaluations=later)
        else:
            executor.close()
            if only_read is not None and only is None:  # a choice of nothing is refused, not shown
                say(f"nothing is written: {only_read}")
        with said_if_slow("looking at the code and this machine", say):
            info = _info(expansion)
        undo.pop_all()
    return Prepared(plan, store, executor, info, space, options, only, trains, only_read is None)


def _info(expansion: Expansion) -> SweepInfo:
    spec = expansion.spec
    return SweepInfo(
        name=spec.name,
        profile=expansion.setting,
        provenance=provenance(),
        question=spec.question,
        metrics=tuple(dict.fromkeys(m for t in spec.tables for m in t.metrics)),
        expected=written_down(expansion),
    )


def sweep(prepared: Prepared, *, say: Say, show: Callable[[Answer], None], screen: Make) -> SweepResult:
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
    store, writes = prepared.store, prepared.writes
    if store.away:
        so = "training goes on with what this folder knows, and results wait in its journal"
        say(f"{store.away}; {so if writes else f'shown is what {prepared.space.home} knows'}")
    with stop_signals() as stop, contextlib.ExitStack() as after:
        fed = mirrored(prepared.options.mirror, prepared.space.home, prepared.info, say)
        mirror = after.enter_context(fed)
        screen = mirror.beside(screen)
        after.callback(store.close)
        after.callback(prepared.executor.close)
        if writes:
            store.carry()
        # Wide intervals may ask for more than is planned.
        shared = prepared.trains or prepared.plan.expansion.aim is not None
        claims = claims_of(prepared.space, stop, say, shared=shared)
        gave_up = not writes
        try:
            train = functools.partial(trained_in_turns, claims=claims, stop=stop, say=say, screen=screen)
            evaluate = functools.partial(trained, claims=claims, stop=stop, say=say, screen=screen)
            prepared, result = _completed(prepared, train, evaluate, say)
            _tell_unkept(prepared, result, say)
            _tell_gone(prepared, say)
            after.enter_context(stop.answered(WRITING_ENDS))
            answer = answered(prepared.plan.expansion, result)
            show(answer)
        finally:
            try:
                if not (stop.at_once or gave_up):
                    # Before its trials are anybody's: a driver of another home knows only what has arrived.
                    store.flush()
                    gave_up = store.away is not None
            finally:
                claims.release()
        if not stop.at_once:
            if not prepared.space.store_at.lasts:  # nobody would look at what is kept there
                say(f"results are in {store.describe()}, which ends with this process; others keep them")
            elif writes:
                result = published(prepared.plan, store, answer, prepared.info, say=say)
            if not gave_up:  # it is waited for once
                store.flush()
            if prepared.options.mirror and not result.interrupted:
                mirror.catch_up(answer.expansion.trials, result.records, store)
                if (found := result.evaluations) is not None:
                    mirror.catch_up(found.expansion.trials, found.records, store)
    for note in store.notes:
        say(f"orch: {note}")
    return result


def _completed(
    prepared: Prepared, train: Callable[..., SweepResult], evaluate: Callable[..., SweepResult], say: Say
) -> tuple[Prepared, SweepResult]:
    """What training and evaluating find, and the sweep with the seeds that intervals asked for meanwhile."""
    result = _evaluated(prepared, train(prepared), evaluate, say)
    grows = prepared.writes and prepared.only is None  # who runs again what failed asks for nothing else
    while grows and (larger := _with_more_seeds(prepared.plan.expansion, result)):
        number = len(larger.trials) - len(prepared.plan.expansion.trials)
        say(f"intervals are wider than asked for: {counted(number, 'trial')} more")
        plan = plan_sweep(larger, prepared.store)._replace(lost=prepared.plan.lost)
        prepared = prepared._replace(plan=plan)
        more = train(prepared)
        more = more._replace(trained=result.trained + more.trained)
        result = _evaluated(prepared, more, evaluate, say)
    return prepared, result


def _with_more_seeds(expansion: Expansion, result: SweepResult) -> Expansion | None:
    """What a sweep that looks for narrow intervals asks for next; None: nothing, or what failed is first."""
    stopped = result.interrupted or result.hopeless or result.failed or result.waits
    return None if expansion.aim is None or stopped else grown(expansion, result.records)


def _evaluations(
    expansion: Expansion,
    store: Store,
    records: Mapping[str, TrialRecord],
    options: Options,
    only: Only | None,
    lost: Collection[str],
) -> tuple[Plan, Mapping[str, TrialRecord]]:
    """The evaluations that run now, and the record of whose encoder each takes; none of a lost encoder."""
    plan, given = evaluation_plan(expansion, store, records, only)
    plan = options.with_anew(plan)
    return plan._replace(todo=tuple(t for t in plan.todo if given[t.id].trial_id not in lost)), given


def _evaluated(
    prepared: Prepared, result: SweepResult, evaluate: Callable[..., SweepResult], say: Say
) -> SweepResult:
    """The result with what evaluations of encoders find, after those that are missing have run."""
    store, asked, records = prepared.store, prepared.plan.expansion, result.records
    if not asked.spec.evaluations:
        return result
    try:
        if not (result.interrupted or result.hopeless):
            lost = _still_lost(prepared, result)
            plan, given = _evaluations(asked, store, records, prepared.options, prepared.only, lost)
            if plan.todo:
                say(f"evaluations: {counted(len(plan.todo), 'trial')} of kept encoders")
                found = evaluate(prepared._replace(plan=plan), given=given)
                plan = plan._replace(records=found.records)
                both, waits = result.trained + found.trained, result.waits or found.waits
                result = found._replace(trained=both, waits=waits)
            result = result._replace(evaluations=plan)
        return result._replace(records=evaluated(asked, records, store.records))
    except StoreAway as error:
        say(f"{error}; the table is without evaluations: the same command shows them then")
        return result._replace(records=records, waits=True)


def _still_lost(prepared: Prepared, result: SweepResult) -> dict[str, str]:
    """The encoders that were lost and are, after training: those whose trials were not trained anew."""
    had = (result.records[i] for i in prepared.plan.lost if i in result.records)
    return lost_encoders(had, prepared.store, prepared.space.whole_encoders)


def _tell_unkept(prepared: Prepared, result: SweepResult, say: Say) -> None:
    """Say whose encoders are not there: they were not kept, or are lost."""
    if not prepared.options.keep or prepared.only is not None or result.interrupted or result.hopeless:
        return
    plan = make_plan(prepared.plan.expansion, result.records)
    for note in encoder_notes(plan._replace(lost=_still_lost(prepared, result))):
        say(note)


def _tell_gone(prepared: Prepared, say: Say) -> None:
    """Say of how many done trials the checkpoints, which are to be kept, are not there any more."""
    folder = prepared.space.checkpoints
    if not prepared.options.keep_checkpoints or not isinstance(folder, Path):
        return  # S3 would be asked once for each trial
    if bare := [trial for trial in prepared.plan.done if not names_in(folder / trial.id)]:
        anew = "; --keep encoder --retrain-unkept trains anew and keeps encoders"
        say(
            f"no checkpoints are left of {counted(len(bare), 'trial')} done before: --keep-checkpoints keeps "
            f"those of trials that it trains{anew if 'encoder' in keeps(bare[0].cell) else ''}"
        )
