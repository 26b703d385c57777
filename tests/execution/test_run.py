"""Laws of running a sweep, with an executor that only tells what it is told to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from orchestrator.events import Finished, OnEvent, Started
from orchestrator.execution.run import SweepResult, plan_sweep, run_sweep
from orchestrator.planning.trials import TrialSpec
from orchestrator.recording.memory import MemoryStore
from tests.builders import INFO, expansion
from trainers.attempt.report import Outcome

Fate = Callable[[TrialSpec], str]


class Fates:
    """An executor whose trials end as they are told to: "completed", or failed with an error of a class."""

    def __init__(self, fate: Fate) -> None:
        self.fate = fate
        self.ran: list[TrialSpec] = []

    def run(self, trials: Sequence[TrialSpec], on_event: OnEvent) -> None:
        for trial in trials:
            self.ran.append(trial)
            on_event(Started(trial.id, 1, "here:1"))
            fate: Any = self.fate(trial)
            failure = {"status": "failed", "error": fate, "reason": f"{fate} error"}
            end = {"status": "completed", "metrics": {"probe/top1": 0.5}} if fate == "completed" else failure
            on_event(Finished(trial.id, Outcome.model_validate(end)))


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


def test_claims_that_ended_and_were_nobody_elses_stop_nothing() -> None:
    result, _ = ran(lambda trial: "completed", keep_going=True, lapsed=lambda: True)
    assert (result.overtaken, result.trained["completed"]) == (0, 8)
