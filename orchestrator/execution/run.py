"""The use case: plan what is missing, run it, record it. Knows ports, not who stands behind them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import ClassVar, NamedTuple

from orchestrator.errors import FirstCellsFailed, Interrupted
from orchestrator.events import Event, Finished, OnEvent, Progressed, Started
from orchestrator.planning.evaluations import evaluations
from orchestrator.planning.expand import Expansion
from orchestrator.planning.origin import edited_plugins
from orchestrator.planning.plan import Plan, make_plan
from orchestrator.planning.trials import TrialSpec
from orchestrator.recording.store_port import Executor, Store
from orchestrator.records import FINAL, SweepInfo, TrialRecord, record_of
from trainers.attempt.folders import Folder
from trainers.attempt.report import Outcome


class SweepResult(NamedTuple):
    """What one call of `run_sweep` came to."""

    trained: Counter[str]
    """Trials of this call by status."""
    records: Mapping[str, TrialRecord]
    """Records of every trial the sweep asks for."""
    interrupted: bool
    hopeless: str | None = None
    """Why the sweep was not gone on with, or None."""
    unpublished: bool = False
    """Whether tables and figures could not be kept in the store."""
    overtaken: int = 0
    """Trials that another driver has done meanwhile; then others of the plan are left."""
    evaluations: Plan | None = None
    """Evaluations of its encoders, with their records; None: it has none, or did not come to them."""
    waits: bool = False
    """Whether evaluations wait for a store that does not answer."""

    def __repr__(self) -> str:
        """What a notebook shows: the counts, not thousands of records."""
        parts = [f"{number} {status}" for status, number in sorted(self.trained.items())]
        parts += ["interrupted"] * self.interrupted + ([f"stopped: {self.hopeless}"] if self.hopeless else [])
        return f"<SweepResult: {', '.join(parts) or 'nothing to do'}>"

    @property
    def failed(self) -> int:
        """Trials of this call that failed."""
        return self.trained["failed"]


def plan_sweep(expansion: Expansion, store: Store, records: Mapping[str, TrialRecord] | None = None) -> Plan:
    """What `expansion` still needs, given what `store` has. Changes nothing.

    Args:
        expansion: the sweep.
        store: has results.
        records: those of the sweep's trials; None: the store is asked.
    """
    if records is None:
        records = store.records([trial.id for trial in expansion.every_trial])
    plan = make_plan(expansion, records)
    missing = [trial for trial in plan.todo if trial.id not in records and trial.cell.is_foreign]
    if not missing:
        return plan
    labels = store.asked_for(expansion.spec.name)
    wanted = {trial.label for trial in missing}
    former = store.records([one for one, label in labels.items() if label in wanted and one not in records])
    return plan._replace(edited=edited_plugins(missing, former, labels))


def evaluation_plan(
    expansion: Expansion,
    store: Store,
    records: Mapping[str, TrialRecord],
    only: Callable[[Plan], tuple[TrialSpec, ...]] | None = None,
) -> tuple[Plan, Mapping[str, TrialRecord]]:
    """What evaluations of a sweep's encoders are missing, and the record of whose each takes, by their ids.

    Args:
        expansion: the sweep.
        store: has results.
        records: of the sweep's trials; those without a kept encoder have no evaluation yet.
        only: chooses among trials and evaluations.
    """
    found = evaluations(expansion, records)
    ids = [trial.id for trial in found.expansion.trials]
    plan = make_plan(found.expansion, store.records(ids) if ids else {})
    if only is not None:
        plan = plan._replace(todo=only(plan))
    return plan, {one: records[parent.id] for one, parent in found.parents.items()}


def run_sweep(
    plan: Plan,
    *,
    store: Store,
    executor: Executor,
    info: SweepInfo,
    on_event: OnEvent,
    discard: Callable[[str], None],
    keep_going: bool = True,
    lapsed: Callable[[], bool] = lambda: False,
    folder: Folder | None = None,
    asked: bool = True,
) -> SweepResult:
    """Train what `plan` says is missing and record everything in `store`.

    The result is what was planned with and what was heard since: once a trial is recorded, neither a slow
    store nor one that is away keeps its number from whoever waits for the table.

    Args:
        plan: what is done and what is not.
        store: keeps the results.
        executor: runs the trials.
        info: the sweep, for the store.
        on_event: is told each event after it was recorded.
        discard: is given the id of each trial whose checkpoints are not needed any more.
        keep_going: whether to go on when the first cells of a sweep without any result fail of what the
            others share.
        lapsed: whether the claims on these trials have ended since it was asked last.
        folder: has a folder of each trial, where encoders that are kept are left; None: none is.
        asked: whether the plan's records are the store's; False: it was away, and may know more.

    Raises:
        StoreError: a result could not be recorded; the trial's checkpoints are kept.
        ExecutionError: the trials cannot be scheduled.
    """
    guard = None if keep_going or plan.done else _EarlyFailureGuard(plan)
    recorder = _Recorder(plan, store, info, on_event, discard, guard, folder, asked=asked)
    interrupted, hopeless, overtaken = False, None, frozenset[str]()

    def take(event: Event) -> None:
        done = recorder.done_elsewhere() if lapsed() else []
        if event.trial_id not in done:  # else what is heard of it is late
            recorder.take(event)
        if done:
            raise _Overtaken(done)

    try:
        executor.run(plan.todo, take)
    except Interrupted:
        interrupted = True
    except FirstCellsFailed as reason:
        hopeless = str(reason)
    except _Overtaken as reason:
        overtaken = reason.trial_ids
    finally:  # whatever ended it
        recorder.stop()
    for trial_id in overtaken:
        discard(trial_id)
    return SweepResult(recorder.trained, recorder.records, interrupted, hopeless, overtaken=len(overtaken))


class _Overtaken(Exception):
    """Others have done trials that this driver was to train."""

    def __init__(self, trial_ids: Collection[str]) -> None:
        self.trial_ids = frozenset(trial_ids)


class _Recorder:
    """Records what happens to trials, and keeps count."""

    def __init__(
        self,
        plan: Plan,
        store: Store,
        info: SweepInfo,
        on_event: OnEvent,
        discard: Callable[[str], None],
        guard: _EarlyFailureGuard | None,
        folder: Folder | None,
        *,
        asked: bool,
    ) -> None:
        self.trained: Counter[str] = Counter()
        self.records = dict(plan.records)
        self._trials = {trial.id: trial for trial in plan.todo}
        self._asked, self._begun = asked, set[str]()
        self._fresh = set[str]()  # begun for the first time, as far as the store knows ...
        self._resumed = set[str]()  # ... and going on from a checkpoint all the same
        self._set_aside = {i: plan.records[i] for i in plan.anew if i in plan.records}
        self._anew = {i: record.run or "" for i, record in self._set_aside.items()}  # and not begun
        self._store, self._info, self._on_event = store, info, on_event
        self._discard, self._guard, self._folder = discard, guard, folder

    def take(self, event: Event) -> None:
        """Something happened to a trial.

        Raises:
            StoreError: it could not be recorded.
            FirstCellsFailed: there is no sense in going on.
        """
        trial = self._trials[event.trial_id]
        match event:
            case Started():
                if trial.id in self._begun or not self._asked or self._before(trial.id):
                    self._fresh.discard(trial.id)
                else:
                    self._fresh.add(trial.id)
                self._begun.add(trial.id)
                old = self._anew.pop(trial.id, None)  # not before: what never starts keeps the result it has
                info = self._info_of(trial.id)
                self._store.begin(trial.facts, info, worker=event.worker, instead_of=old)
            case Progressed():
                if event.report.replayed and trial.id in self._fresh:
                    self._resumed.add(trial.id)
                self._store.report(trial.id, event.report)
            case Finished():
                if trial.id not in self._begun:  # it failed before its worker could say that it had started
                    self._store.begin(trial.facts, self._info_of(trial.id))
                self._begun.discard(trial.id)
                self._end(trial.id, event.outcome)
                if event.outcome.status in FINAL:
                    self._discard(trial.id)
        self._on_event(event)
        if self._guard is not None and isinstance(event, Finished):
            self._guard.take(trial, event.outcome)

    def done_elsewhere(self) -> list[str]:
        """Those of its trials that have a result in the store, and none that was heard here."""
        left = [i for i in self._trials if i not in self.records or not self.records[i].is_done]
        return [i for i, record in self._store.records(left).items() if record.is_done]

    def stop(self) -> None:
        """What was begun goes on another time."""
        for trial_id in sorted(self._begun):
            outcome = Outcome(status="stopped", reason="the sweep was stopped; its checkpoint is kept")
            self._end(trial_id, outcome)
            self._on_event(Finished(trial_id, outcome))

    def _before(self, trial_id: str) -> TrialRecord | None:
        """What is known of an earlier beginning of the same training."""
        return None if trial_id in self._set_aside else self.records.get(trial_id)

    def _info_of(self, trial_id: str) -> SweepInfo:
        """The sweep; for a trial that is trained anew with what was expected when it first began."""
        first = self._set_aside.get(trial_id)
        return self._info.model_copy(update={"expected": first.expected}) if first else self._info

    def _end(self, trial_id: str, outcome: Outcome) -> None:
        before, info = self._before(trial_id), self._info_of(trial_id)
        expected, first = info.expected, self._set_aside.get(trial_id)
        unsure = first.perhaps_begun_before if first else trial_id in self._resumed
        if unsure and expected:
            details = {**outcome.details, "perhaps_begun_before": True}
            outcome = outcome.model_copy(update={"details": details})
        self._store.finish(trial_id, outcome, info)
        expected = expected if before is None else before.expected
        record = record_of(trial_id, outcome, self._info.provenance, expected=expected)
        if (before.perhaps_begun_before if before else not self._asked) and expected:
            record = record.model_copy(update={"perhaps_begun_before": True})
        self.records[trial_id] = record
        if record.encoder is not None and self._folder is not None:
            self._store.keep_encoder(trial_id, self._folder / trial_id, record.encoder)
        self.trained[outcome.status] += 1


class _EarlyFailureGuard:
    """Ends a sweep whose first cells fail of what the others share: waiting for those would teach nothing."""

    FIRST = 2  # cells, and trials, that must fail before anything has succeeded
    FAILED_IN: ClassVar = {
        "code": "failed in their code",
        "data": "failed in their data",
        "storage": "could not keep or read their checkpoints",
    }

    def __init__(self, plan: Plan) -> None:
        self.cells = min(self.FIRST, len({trial.cell.id for trial in plan.todo}))
        self.trials = min(self.FIRST, len(plan.todo))
        self.failed: dict[str, TrialSpec] = {}
        self.watching = True

    def take(self, trial: TrialSpec, outcome: Outcome) -> None:
        """A trial ended.

        Raises:
            FirstCellsFailed: it was one too many.
        """
        if outcome.error not in self.FAILED_IN:
            self.watching = False
        if not self.watching or outcome.error is None:
            return
        self.failed[trial.id] = trial
        cells = list(dict.fromkeys(one.cell.label for one in self.failed.values()))
        if len(cells) >= self.cells and len(self.failed) >= self.trials:
            what = self.FAILED_IN[outcome.error]
            raise FirstCellsFailed(f"{' and '.join(cells)} {what} before any trial had a result")
