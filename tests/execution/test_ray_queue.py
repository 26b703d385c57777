"""What Tune is handed and loads: the queue of trials, its order and cost however long it is; no tracker."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.errors import ExecutionLost
from orchestrator.language.sweep_spec import ScheduleSpec
from orchestrator.process.signals import Stop

pytestmark = pytest.mark.filterwarnings("default")  # Ray warns about itself


class Waiting:
    """Stands for Tune's trial and counts how often its status is asked for."""

    def __init__(self) -> None:
        self.now, self.looks = "PENDING", 0

    @property
    def status(self) -> str:
        self.looks += 1
        return self.now


def queue_of(number: int) -> tuple[Any, list[Any]]:
    from orchestrator.execution.ray.queue import scheduler

    queue, trials = scheduler(None, Stop(), epochs=1), [Waiting() for _ in range(number)]
    for trial in trials:
        queue.on_trial_add(None, trial)
    return queue, trials


TOLD = "a trial asks for 1 GPU, where the largest node has 0 GPUs; it waits for a node that has it"


def test_trials_that_fit_no_living_node_are_told_once_and_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from orchestrator.execution.ray import listener as ray_listener

    clock, said, nodes = [0.0], list[str](), [{"Resources": {"CPU": 4.0}}]
    monkeypatch.setattr(ray_listener.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(ray_listener.ray_nodes, "alive", lambda: nodes)
    stop = Stop()
    listening = ray_listener.Listener(lambda event: None, stop, retries=3, say=said.append)
    listening.bundles = {"a": {"CPU": 1.0}, "b": {"CPU": 1.0, "GPU": 1.0}}
    tunes: Any = [
        SimpleNamespace(status=status, config={"trial": f"{identity}:0:"})
        for identity, status in (("a", "RUNNING"), ("b", "PENDING"))
    ]

    def goes_on(seconds: float) -> None:
        until = clock[0] + seconds
        while clock[0] < until:
            clock[0] += 10
            listening.on_step_begin(0, tunes)

    listening.running.add("a")
    goes_on(2 * ray_listener.NO_ROOM_S)
    assert said == [TOLD]
    assert not stop.requested  # another is still trained
    nodes.append({"Resources": {"CPU": 4.0, "GPU": 1.0}})
    goes_on(100)
    nodes.pop()
    listening.running.clear()
    goes_on(100)
    assert len(said) == 2 and not stop.requested
    goes_on(ray_listener.NO_ROOM_S)
    assert len(said) == 2 and stop.requested and isinstance(listening.error, ExecutionLost)


def test_trackers_are_hidden_while_tune_s_callbacks_are_loaded_and_never_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from orchestrator.execution.ray import executor

    there: list[object] = []

    def load(name: str) -> None:
        there.append(sys.modules.get("mlflow", "anything"))
        raise AttributeError(name)  # as of another version of Ray

    monkeypatch.delitem(sys.modules, "mlflow", raising=False)
    monkeypatch.setattr(executor.importlib, "import_module", load)
    executor._count_no_trackers()
    assert there == [None] * 3 and "mlflow" not in sys.modules


def test_a_search_suggests_each_value_once_and_then_ends() -> None:
    from orchestrator.execution.ray.queue import FixedListSearcher

    search = FixedListSearcher("trial", ["a", "b"], Stop())
    assert [search.suggest("") for _ in range(4)] == [{"trial": "a"}, {"trial": "b"}, "FINISHED", "FINISHED"]


def test_trials_are_chosen_in_the_order_in_which_they_were_given() -> None:
    queue, trials = queue_of(3)
    chosen = []
    while (trial := queue.choose_trial_to_run(None)) is not None:
        chosen.append(trial)
        trial.now = "RUNNING"
    assert chosen == trials


def test_a_trial_that_lost_its_worker_waits_behind_the_others() -> None:
    queue, (first, second) = queue_of(2)
    assert queue.choose_trial_to_run(None) is first
    first.now = "RUNNING"
    assert queue.choose_trial_to_run(None) is second
    first.now = "PENDING"
    queue.on_trial_add(None, first)
    second.now = "RUNNING"
    assert queue.choose_trial_to_run(None) is first


def test_a_report_costs_no_look_at_trials_that_run_or_ended() -> None:
    queue, trials = queue_of(1000)
    for trial in trials[:-1]:
        assert queue.choose_trial_to_run(None) is trial
        trial.now = "TERMINATED"
    queue.choose_trial_to_run(None)
    before = sum(trial.looks for trial in trials)
    for _ in range(100):
        queue.choose_trial_to_run(None)
    assert sum(trial.looks for trial in trials) - before <= 2 * 100


class Controller:
    """Stands for Tune's, of which a schedule may ask that a trial ends."""

    def __init__(self, trials: list[Any]) -> None:
        self.trials = trials

    def get_trials(self) -> list[Any]:
        return self.trials

    def get_live_trials(self) -> set[Any]:
        return set(self.trials)

    def stop_trial(self, trial: Any) -> None:
        assert trial.now in ("PENDING", "PAUSED")
        trial.now = "TERMINATED"


@pytest.mark.parametrize(
    "spec", [None, ScheduleSpec(name="median", metric="x"), ScheduleSpec(name="asha", metric="x")]
)
def test_once_asked_to_stop_no_trial_begins_and_those_that_run_go_on(spec: ScheduleSpec | None) -> None:
    from orchestrator.execution.ray.executor import _Stopper
    from orchestrator.execution.ray.queue import FixedListSearcher, scheduler

    stop, running, waiting, paused = Stop(), Waiting(), Waiting(), Waiting()
    running.now, paused.now = "RUNNING", "PAUSED"
    queue, search = scheduler(spec, stop, epochs=3), FixedListSearcher("trial", ["a"], stop)
    stop.requested = True
    assert queue.choose_trial_to_run(Controller([running, waiting, paused])) is None  # type: ignore[arg-type]
    assert [trial.now for trial in (running, waiting, paused)] == ["RUNNING", "TERMINATED", "TERMINATED"]
    assert search.suggest("") == "FINISHED"

    class Heard:
        def __init__(self, running: set[str], error: Exception | None = None) -> None:
            self.running, self.error = running, error

    for heard, ends in ((Heard({"a"}), False), (Heard(set()), True), (Heard({"a"}, OSError()), True)):
        stopper: Any = _Stopper(stop, heard)  # type: ignore[arg-type]
        assert stopper.stop_all() is ends and stopper("a", {}) is True
    stop.requested = False
    assert not stopper.stop_all() and not stopper("a", {})
