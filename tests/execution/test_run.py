"""Laws of running a sweep, with an executor that only tells what it is told to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import StoreAway
from orchestrator.events import Finished, OnEvent, Started
from orchestrator.execution.run import SweepResult, plan_sweep, run_sweep
from orchestrator.planning.trials import TrialSpec
from orchestrator.recording.journal.finished import FinishedTrials
from orchestrator.recording.journal.store import JournaledStore
from orchestrator.recording.memory import MemoryStore
from orchestrator.recording.store_port import Store
from tests.builders import INFO, expansion
from trainers.attempt.report import Outcome

Fate = Callable[[TrialSpec], str]
RESULT = Outcome(status="completed", metrics={"probe/top1": 0.5})


class Fates:
    """An executor whose trials end as they are told to: "completed", or failed with an error of a class."""

    def __init__(self, fate: Fate, result: Outcome = RESULT) -> None:
        self.fate, self.result = fate, result
        self.ran: list[TrialSpec] = []

    def run(self, trials: Sequence[TrialSpec], on_event: OnEvent) -> None:
        for trial in trials:
            self.ran.append(trial)
            on_event(Started(trial.id, 1, "here:1"))
            fate: Any = self.fate(trial)
            failure = {"status": "failed", "error": fate, "reason": f"{fate} error"}
            end = self.result if fate == "completed" else Outcome.model_validate(failure)
            on_event(Finished(trial.id, end))


def ran(
    fate: Fate,
    store: MemoryStore | None = None,
    *,
    keep_going: bool = False,
    lapsed: Callable[[], bool] = lambda: False,
) -> tuple[SweepResult, int]:
    """The result of the tiny sweep of 4 cells and 2 seeds, and how many trials were started."""
    store, executor = store or MemoryStore(), Fates(fate)
    result = run_sweep(
        plan_sweep(expansion(), store),
        store=store,
        executor=executor,
        info=INFO,
        on_event=lambda event: None,
        discard=lambda trial_id: None,
        keep_going=keep_going,
        lapsed=lapsed,
    )
    return result, len(executor.ran)


def is_first_cell(trial: TrialSpec) -> bool:
    return trial.cell.id == expansion().cells[0].id


@pytest.mark.parametrize("error", ["code", "data"])
def test_a_sweep_whose_first_cells_fail_in_their_code_or_data_is_stopped_at_once(error: str) -> None:
    result, started = ran(lambda trial: error)
    assert started == 2 and result.trained == {"failed": 2}
    assert result.hopeless is not None and f"failed in their {error}" in result.hopeless


def test_one_broken_cell_stops_no_other() -> None:
    result, started = ran(lambda trial: "code" if is_first_cell(trial) else "completed")
    assert started == 8 and result.hopeless is None
    assert result.trained == {"failed": 2, "completed": 6}


@pytest.mark.parametrize("error", ["memory", "worker"])
def test_what_another_attempt_could_cure_stops_nothing(error: str) -> None:
    result, started = ran(lambda trial: error)
    assert started == 8 and result.hopeless is None


def test_whoever_wants_to_go_on_goes_on() -> None:
    result, started = ran(lambda trial: "code", keep_going=True)
    assert started == 8 and result.hopeless is None


def test_a_sweep_that_has_results_is_never_given_up() -> None:
    store = MemoryStore()
    ran(lambda trial: "completed" if is_first_cell(trial) else "memory", store)
    result, started = ran(lambda trial: "code", store)
    assert started == 6 and result.hopeless is None


def test_what_another_driver_has_done_meanwhile_is_dropped_before_the_next_trial() -> None:
    store, executor, discarded = MemoryStore(), Fates(lambda trial: "completed"), list[str]()
    plan = plan_sweep(expansion(), store)
    others = plan.todo[3:6]

    def lapsed() -> bool:  # asleep during the third trial, and awake with the fourth
        if len(executor.ran) < 4:
            return False
        for trial in others:
            store.begin(trial.facts, INFO, attempt="theirs")
            store.finish(trial.id, Outcome(status="completed", metrics={"probe/top1": 0.9}), INFO)
        return True

    result = run_sweep(
        plan,
        store=store,
        executor=executor,
        info=INFO,
        on_event=lambda event: None,
        discard=discarded.append,
        lapsed=lapsed,
    )
    assert (result.overtaken, result.trained["completed"], len(executor.ran)) == (3, 3, 4)
    assert set(discarded) >= {trial.id for trial in others}
    assert store.records([others[0].id])[others[0].id].metrics == {"probe/top1": 0.9}


def test_the_result_by_which_a_driver_finds_itself_overtaken_is_kept() -> None:
    store, executor = MemoryStore(), Fates(lambda trial: "completed")
    plan, awake = plan_sweep(expansion(), store), list[str]()
    mine, other = plan.todo[0], plan.todo[1]

    def lapsed() -> bool:  # from its first end on
        awake.append("")
        if len(awake) != 2:
            return False
        store.begin(other.facts, INFO, attempt="theirs")
        store.finish(other.id, Outcome(status="completed", metrics={"probe/top1": 0.9}), INFO)
        return True

    result = run_sweep(
        plan,
        store=store,
        executor=executor,
        info=INFO,
        on_event=lambda event: None,
        discard=lambda trial_id: None,
        lapsed=lapsed,
    )
    assert (result.overtaken, result.trained, len(executor.ran)) == (1, {"completed": 1}, 1)
    assert store.records([mine.id])[mine.id].metrics == {"probe/top1": 0.5}


def test_a_store_that_goes_away_while_trials_are_trained_anew_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.recording.journal.delivery.AWAY_S", 0.2)
    behind, away = MemoryStore(), False

    def connect() -> Store:
        if away:
            raise StoreAway("the tracker does not answer")
        return behind

    def opened() -> JournaledStore:
        return JournaledStore(
            connect, root=tmp_path, name="test", known=FinishedTrials(tmp_path, store="test")
        )

    ran(lambda trial: "completed", behind)
    ids = [trial.id for trial in expansion().trials]
    before = behind.records(ids)
    plan = plan_sweep(expansion(), opened())._with_anew(frozenset(ids[:3]))
    away, store = True, opened()
    again = Outcome(status="completed", metrics={"probe/top1": 0.75})
    result = run_sweep(
        plan,
        store=store,
        executor=Fates(lambda trial: "completed", again),
        info=INFO,
        on_event=lambda event: None,
        discard=lambda trial_id: None,
    )
    assert result.trained == {"completed": 3} and behind.records(ids) == before
    store.close()
    away = False
    for reader in (opened(), opened()):  # before it has arrived, and afterwards
        values = [record.metrics["probe/top1"] for record in reader.records(ids).values()]
        assert sorted(values) == [0.5] * (len(ids) - 3) + [0.75] * 3
        reader.flush()
        reader.close()
    after = behind.records(ids)
    assert [i for i in ids if after[i].run != before[i].run] == ids[:3]
    assert all(record.attempts == 1 for record in after.values())


def test_claims_that_ended_and_were_nobody_elses_stop_nothing() -> None:
    result, _ = ran(lambda trial: "completed", keep_going=True, lapsed=lambda: True)
    assert (result.overtaken, result.trained["completed"]) == (0, 8)
