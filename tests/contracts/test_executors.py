"""The laws of an executor, over each that ships."""

from __future__ import annotations

import os
import queue
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import pytest

from orchestrator.errors import ExecutionError, ExecutionLost, StoreError
from orchestrator.events import Deferred, Event, Finished, OnEvent, Progressed, Started
from orchestrator.execution.child.executor import ChildExecutor
from orchestrator.execution.child.messages import EVENTS, Settings
from orchestrator.execution.executors.serial import SerialExecutor
from orchestrator.language.resources import CellNeeds, SweepResources
from orchestrator.language.sweep_spec import ScheduleSpec
from orchestrator.planning.trials import TrialSpec
from tests.builders import TINY, expansion, trials, yaml
from tests.plugged import METHOD, written
from trainers.attempt.folders import S3Folder
from trainers.attempt.report import Outcome
from trainers.config.base import Runtime

RATES = "axes: {lr: {path: optimizer.lr, values: [0.1, 0.05, 0.02, 0.01, 1e-3, 1e-4, 1e-5, 1e-6]}}\n"
SLOW = pytest.mark.slow
BROKEN = yaml(TINY) + "axes: {b: {fits: {batch_size: 64}, too large: {batch_size: 4096}}}\n"


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[None]:
    """One Ray for all of the module's tests: starting it takes seconds."""
    os.environ["PYTHONWARNINGS"] = "ignore"  # Ray's own workers warn while they start
    import ray

    from orchestrator.execution.ray.cluster import quiet

    quiet()
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()
    del os.environ["PYTHONWARNINGS"]


class Runs(Protocol):
    """What of an executor is tested here."""

    def run(self, trials: Sequence[TrialSpec], on_event: OnEvent) -> None: ...


Make = Callable[[Path], Runs]


def on_ray(folder: Path) -> Runs:
    from orchestrator.execution.ray.executor import RayExecutor

    return RayExecutor(runtime=Runtime(), folder=folder, resources=SweepResources())


def in_child(executor: str, folder: Path) -> ChildExecutor:
    settings = Settings(runtime=Runtime(), checkpoints=folder, resources=SweepResources())
    return ChildExecutor(executor, settings, logs=folder.with_name(f"{folder.name}-logs"))


@pytest.fixture(
    params=[
        "serial",
        pytest.param("ray", marks=SLOW),
        "serial in a child",
        pytest.param("ray in a child", marks=SLOW),
    ]
)
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes an executor that keeps its checkpoints in a folder."""
    made: list[ChildExecutor] = []

    def child(folder: Path) -> Runs:
        made.append(in_child(request.param.split()[0], folder))
        return made[-1]

    if request.param == "ray":
        request.getfixturevalue("ray_cluster")
        yield on_ray
    elif request.param == "serial":
        yield lambda folder: SerialExecutor(runtime=Runtime(), folder=folder)
    else:
        yield child
        for one in made:
            one.close()


pytestmark = pytest.mark.filterwarnings("default")  # Ray warns about itself


def run(executor: Runs, asked: list[TrialSpec]) -> list[Event]:
    events: list[Event] = []
    executor.run(asked, events.append)
    return events


def finals(events: list[Event]) -> dict[str, dict[str, float]]:
    """Final metrics by trial, without what a clock measured."""
    return {
        e.trial_id: {k: v for k, v in e.outcome.metrics.items() if not k.startswith("time/")}
        for e in events
        if isinstance(e, Finished)
    }


def test_every_trial_starts_reports_every_epoch_and_finishes_once(make: Make, tmp_path: Path) -> None:
    asked = trials(3)
    events = run(make(tmp_path), asked)
    for trial in asked:
        own = [e for e in events if e.trial_id == trial.id]
        assert isinstance(own[0], Started) and isinstance(own[-1], Finished)
        assert [e.report.epoch for e in own if isinstance(e, Progressed)] == [0, 1, 2]
        assert own[-1].outcome.status == "completed"
        assert len(own) == 5


def test_numbers_depend_neither_on_the_executor_nor_on_order_or_neighbours(
    make: Make, tmp_path: Path
) -> None:
    asked = trials(4)
    together = finals(run(make(tmp_path / "a"), asked))
    backwards = finals(run(make(tmp_path / "b"), asked[::-1]))
    alone = finals(run(SerialExecutor(runtime=Runtime(), folder=None), asked[:1]))
    assert together == backwards
    assert together[asked[0].id] == alone[asked[0].id]


def test_an_error_in_one_trial_is_its_outcome_and_stops_no_other(make: Make, tmp_path: Path) -> None:
    asked = list(expansion(BROKEN).trials)
    events = run(make(tmp_path), asked)
    outcomes = {e.trial_id: e.outcome for e in events if isinstance(e, Finished)}
    good, bad = (outcomes[trial.id] for trial in asked)
    assert good.status == "completed"
    assert bad.status == "failed"
    assert "batch_size 4096 exceeds the 128 training images" in (bad.reason or "")
    assert "\n" not in (bad.reason or "")


@pytest.mark.slow
def test_spectra_arrive_as_arrays(make: Make, tmp_path: Path) -> None:
    events = run(make(tmp_path), trials(1))
    last = [e.report for e in events if isinstance(e, Progressed)][-1]
    assert {name: array.shape for name, array in last.arrays.items()} == {
        "F": (16,),
        "Wp": (16,),
        "alignment": (16,),
        "embedding": (16,),
        "feature": (16,),
    }


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_its_trial_goes_on_from_its_checkpoint(
    ray_cluster: None, tmp_path: Path
) -> None:
    text = yaml(TINY).replace("epochs: 2\n  probe", "epochs: 6\n  probe")
    asked = list(expansion(text).trials)
    events: list[Event] = []

    def kill_once(event: Event) -> None:
        events.append(event)
        started = [e for e in events if isinstance(e, Started)]
        if isinstance(event, Progressed) and event.report.epoch == 3 and len(started) == 1:
            os.kill(int(started[0].worker.rpartition(":")[2]), signal.SIGKILL)

    on_ray(tmp_path / "killed").run(asked, kill_once)
    undisturbed = run(SerialExecutor(runtime=Runtime(), folder=None), asked)
    assert [e.attempt for e in events if isinstance(e, Started)] == [1, 2]
    assert any(e.report.replayed for e in events if isinstance(e, Progressed))
    assert finals(events) == finals(undisturbed)


LONG = yaml(TINY).replace("epochs: 2\n  probe", "epochs: 6\n  probe")


def killed(folder: Path, at: Callable[[Event], bool], *, retries: int) -> list[Event]:
    """The events of one trial whose worker is killed at each event that `at` says."""
    from orchestrator.execution.ray.executor import RayExecutor

    events: list[Event] = []

    def listen(event: Event) -> None:
        events.append(event)
        if at(event):
            started = [e for e in events if isinstance(e, Started)]
            os.kill(int(started[-1].worker.rpartition(":")[2]), signal.SIGKILL)

    executor = RayExecutor(runtime=Runtime(), folder=folder, resources=SweepResources(retries=retries))
    executor.run(list(expansion(LONG).trials), listen)
    return events


@pytest.mark.slow
def test_a_worker_that_is_lost_again_and_again_costs_nothing_while_the_trial_goes_forward(
    ray_cluster: None, tmp_path: Path
) -> None:
    seen: set[int] = set()

    def first_time(event: Event) -> bool:
        new = isinstance(event, Progressed) and event.report.epoch in {1, 3, 5} - seen
        if new:
            seen.add(event.report.epoch)  # type: ignore[union-attr]
        return new

    events = killed(tmp_path, first_time, retries=1)
    assert len([e for e in events if isinstance(e, Started)]) == 4
    assert isinstance(events[-1], Finished) and events[-1].outcome.status == "completed"


@pytest.mark.slow
def test_a_trial_that_loses_its_worker_without_going_forward_has_failed(
    ray_cluster: None, tmp_path: Path
) -> None:
    def at_zero(event: Event) -> bool:
        return isinstance(event, Started)

    events = killed(tmp_path, at_zero, retries=0)
    assert isinstance(events[-1], Finished)
    outcome = events[-1].outcome
    assert (outcome.status, outcome.error) == ("failed", "worker")
    assert "worker lost once" in str(outcome.reason)


@pytest.mark.parametrize(("fits_at", "shares"), [(0.5, [0.25, 0.5]), (1.0, [0.25, 0.5, 1.0]), (2.0, None)])
def test_a_trial_out_of_gpu_memory_is_tried_again_with_a_larger_share_of_the_gpu(
    ray_cluster: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fits_at: float,
    shares: list[float] | None,
) -> None:
    from orchestrator.execution.ray import executor as ray_tune

    asked, seen, events = trials(2), [], []

    def fit(self: object, left: list[TrialSpec], needs: object, listener: Any, *_: object) -> None:
        seen.append(([listener.gpus[trial.id] for trial in left], [trial.id for trial in left]))
        for trial in left:
            short = trial is asked[1] and listener.gpus[trial.id] < fits_at
            error = {"status": "failed", "error": "memory", "reason": "out of memory"}
            outcome = Outcome.model_validate(error if short else {"status": "completed"})
            told = (Started(trial.id, 1, "node:1"), Finished(trial.id, outcome))
            tunes = SimpleNamespace(num_failures=0, max_failures=3)
            listener.on_trial_result(0, [], tunes, {"events": EVENTS.line(tuple(told))})

    monkeypatch.setattr(ray_tune.RayExecutor, "_fit", fit)
    monkeypatch.setattr(ray_tune.RayExecutor, "_look_over", lambda self, *_: None)
    resources = SweepResources(gpus=0.25)
    ray_tune.RayExecutor(runtime=Runtime(), folder=tmp_path, resources=resources).run(asked, events.append)
    assert seen == [
        ([share] * (2 - (number > 0)), [trial.id for trial in asked[number > 0 :]])
        for number, share in enumerate(shares or [0.25, 0.5, 1.0])
    ]
    ended = {e.trial_id: e.outcome for e in events if isinstance(e, Finished)}
    assert len([e for e in events if isinstance(e, Finished)]) == 2
    assert ended[asked[1].id].error == (None if shares else "memory")
    deferred = [e for e in events if isinstance(e, Deferred)]
    assert "0.25 of a GPU; tried again with 0.5" in deferred[0].reason


def test_a_worker_that_is_lost_after_its_trials_end_changes_nothing(
    ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.execution.ray import executor as ray_tune

    trial, events = trials(1)[0], list[Event]()
    end = Finished(trial.id, Outcome(status="completed"))
    tunes = SimpleNamespace(num_failures=1, max_failures=3)

    def fit(self: object, left: object, needs: object, listener: Any, *_: object) -> None:
        for told in ([Started(trial.id, 1, "node:1"), end], [Started(trial.id, 1, "node:2")], [end]):
            listener.on_trial_result(0, [], tunes, {"events": EVENTS.line(tuple(told))})

    monkeypatch.setattr(ray_tune.RayExecutor, "_fit", fit)
    on_ray(tmp_path).run([trial], events.append)
    assert [type(event) for event in events] == [Started, Finished]
    assert tunes.num_failures >= tunes.max_failures  # Tune begins it again only below that


class Ended(BaseException):
    """A process that ends, in a test that has to go on."""


def in_worker(
    monkeypatch: pytest.MonkeyPatch, outcome: Outcome, *, usable: bool, asked: dict[str, Any] | None = None
) -> list[Event]:
    """What a worker tells of a trial that ends so, on a device that is `usable` afterwards or not."""
    import trainers.attempt.isolation
    from orchestrator.execution.ray import worker as ray_worker

    told: list[Event] = []

    def end(code: int) -> None:
        raise Ended(told)

    monkeypatch.setattr(ray_worker.ray.util, "get_node_ip_address", lambda: "node")
    monkeypatch.setattr(
        ray_worker.tune, "report", lambda message: told.extend(EVENTS.read(message["events"]))
    )
    monkeypatch.setattr(ray_worker.os, "_exit", end)

    def run_trial(*_: object, **how: Any) -> Outcome:
        if asked is not None:
            asked.update(how)
        return outcome

    monkeypatch.setattr(trainers.attempt.isolation, "run_trial", run_trial)
    monkeypatch.setattr(trainers.attempt.isolation, "usable", lambda device: usable)
    trial = trials(1)[0]
    payload = (trial.config, Runtime(), Path("nowhere"), None, "a mark")
    (word,), common = ray_worker.encode_trials({trial.id: payload}, {trial.id: 0})
    ray_worker.train_one(word, common, [])
    return told


@pytest.mark.parametrize("status", ["failed", "completed"])
def test_a_process_whose_device_was_spoiled_ends_after_it_has_told_how_its_trial_did(
    monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    outcome = Outcome.model_validate({"status": status})
    assert in_worker(monkeypatch, outcome, usable=True)[-1] == Finished(trials(1)[0].id, outcome)
    if status == "failed":
        with pytest.raises(Ended) as ended:
            in_worker(monkeypatch, outcome, usable=False)
        assert ended.value.args[0][-1] == Finished(trials(1)[0].id, outcome)


@pytest.mark.parametrize("usable", [True, False])
def test_ray_on_this_machine_counts_the_gpus_that_torch_can_use(
    monkeypatch: pytest.MonkeyPatch, usable: bool
) -> None:
    from orchestrator.execution.ray import cluster

    asked: dict[str, Any] = {}
    monkeypatch.setattr(cluster, "has_gpu", lambda: usable)
    monkeypatch.setattr(cluster, "_make_token", lambda: None)
    monkeypatch.setattr(cluster.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(cluster.ray, "init", lambda **options: asked.update(options))
    monkeypatch.setattr(cluster.ray, "shutdown", lambda: None)
    with cluster.joined(None):
        assert asked["num_gpus"] == (None if usable else 0)  # None: Ray counts them
    asked.clear()
    with cluster.joined("head:6379"):
        assert "num_gpus" not in asked


def test_a_worker_without_a_gpu_of_its_own_sees_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    in_worker(monkeypatch, Outcome(status="completed"), usable=True)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_a_worker_passes_on_that_a_trial_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    in_worker(monkeypatch, Outcome(status="completed"), usable=True, asked=asked)
    assert asked["anew"] == "a mark"


@pytest.mark.slow
def test_a_warm_worker_is_used_again(ray_cluster: None, tmp_path: Path) -> None:
    events = run(on_ray(tmp_path), list(expansion(seeds=range(3)).trials))
    workers = [e.worker for e in events if isinstance(e, Started)]
    assert len(workers) == 12
    assert len(set(workers)) <= 3  # two cores, and one more if a worker was being replaced


@pytest.mark.slow
def test_no_more_trials_run_at_once_than_asked(ray_cluster: None, tmp_path: Path) -> None:
    from orchestrator.execution.ray.executor import RayExecutor

    one = SweepResources(max_concurrent=1)
    events = run(RayExecutor(runtime=Runtime(), folder=tmp_path, resources=one), asked := trials(3))
    told = [event.trial_id for event in events]
    assert list(dict.fromkeys(told)) == [trial.id for trial in asked]
    assert told == sorted(told, key=[trial.id for trial in asked].index)  # one after another


def test_whatever_keeps_ray_from_starting_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from orchestrator.execution.ray import cluster as ray_cluster

    def fail(**settings: object) -> None:
        raise Exception("The current node timed out\nduring startup.")  # what Ray says if its raylet dies

    monkeypatch.setattr(ray_cluster.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray_cluster.ray, "init", fail)
    with pytest.raises(ExecutionLost, match="no Ray on this machine: The current node timed out during"):
        on_ray(tmp_path).run(trials(1), [].append)


@pytest.mark.parametrize("daemon", ["raylet", "gcs_server"])
def test_the_death_of_this_machines_ray_is_told_instead_of_waited_for(
    monkeypatch: pytest.MonkeyPatch, daemon: str
) -> None:
    from orchestrator.execution.ray import cluster as ray_cluster

    def process(name: str, status: str = "sleeping") -> SimpleNamespace:
        return SimpleNamespace(name=lambda: name, status=lambda: status)

    living = [process(name) for name in ray_cluster.DAEMONS]
    dead = [process(n, "zombie" if n == daemon else "sleeping") for n in ray_cluster.DAEMONS]
    looks = iter([living] * 3 + [dead])
    monkeypatch.setattr(ray_cluster, "RAY_LOOK_S", 0.01)
    monkeypatch.setattr(ray_cluster.psutil, "Process", lambda: SimpleNamespace(children=lambda: next(looks)))
    told: queue.Queue[str] = queue.Queue()
    with ray_cluster.watched(told.put):
        assert f"Ray's {daemon} has died on this machine" in told.get(timeout=10)
    assert told.empty() and next(looks, None) is None


def test_a_request_that_no_node_can_meet_is_refused_at_once(ray_cluster: None, tmp_path: Path) -> None:
    from orchestrator.execution.ray.executor import RayExecutor

    for resources, told in (
        (SweepResources(gpus=1), "asks for 1 GPU, where the largest node has 0 GPUs"),
        (SweepResources(cpus=640), "asks for 640 CPUs, where the largest node has 2 CPUs"),
        (SweepResources(custom={"tpu": 2}), "asks for 2 tpu, where the largest node has 0 tpu"),
        (SweepResources(memory_gib=1e6), "asks for 1e.06 GiB of memory"),
        (SweepResources(cells=(CellNeeds(where={"ema": "EMA"}, cpus=640),)), "asks for 640 CPUs"),
    ):
        greedy = RayExecutor(runtime=Runtime(), folder=tmp_path, resources=resources)
        with pytest.raises(ExecutionError, match=told):
            run(greedy, trials(2))


@pytest.mark.parametrize(("rounds", "status"), [(2, "completed"), (9, "failed")])
def test_what_tune_gave_up_without_a_word_is_begun_again_a_few_times(
    ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rounds: int, status: str
) -> None:
    from orchestrator.execution.ray.executor import RayExecutor

    began: list[int] = []

    def fit(self: RayExecutor, asked: list[TrialSpec], needs: Any, listener: Any, *_: Any) -> None:
        began.append(len(asked))
        if len(began) < rounds:
            asked = asked[:1]  # as where the worker of the second could not be used again
        for one in asked:
            listener.finished.add(one.id)
            listener.on_event(Finished(one.id, Outcome(status="completed")))

    monkeypatch.setattr(RayExecutor, "_fit", fit)
    said: list[str] = []
    executor = RayExecutor(
        runtime=Runtime(), folder=tmp_path, resources=SweepResources(retries=2), say=said.append
    )
    ended = {
        event.trial_id: event.outcome for event in run(executor, trials(4)) if isinstance(event, Finished)
    }
    assert len(ended) == 4
    assert [one.status for one in ended.values()] == ["completed"] * 3 + [status]
    assert said[0] == "Ray Tune ended without 3 trials; begun again"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["asha", "median"])
def test_a_schedule_ends_trials_and_every_other_one_comes_to_its_end(
    ray_cluster: None, tmp_path: Path, name: str
) -> None:
    from orchestrator.execution.ray.executor import RayExecutor

    schedule = ScheduleSpec.model_validate({"name": name, "grace_epochs": 1})
    asked = expansion(yaml(TINY).replace("epochs: 2", "epochs: 6", 1) + RATES).trials
    executor = RayExecutor(runtime=Runtime(), folder=tmp_path, resources=SweepResources(), schedule=schedule)
    ended = [event.outcome for event in run(executor, list(asked)) if isinstance(event, Finished)]
    assert len(ended) == len(asked)
    statuses = {outcome.status for outcome in ended}
    assert "pruned" in statuses
    assert [outcome.reason for outcome in ended if outcome.status == "failed"] == []
    assert all(
        "ended by the schedule" in str(outcome.reason) for outcome in ended if outcome.status == "pruned"
    )


@pytest.mark.slow
def test_needs_left_to_a_rehearsal_are_settled_and_change_no_number(
    ray_cluster: None, tmp_path: Path
) -> None:
    from orchestrator.execution.ray.executor import RayExecutor

    said: list[str] = []
    resources = SweepResources(gpus="auto", memory_gib="auto")
    executor = RayExecutor(runtime=Runtime(), folder=tmp_path / "a", resources=resources, say=said.append)
    asked = trials(2)
    packed = finals(run(executor, asked))
    assert packed == finals(run(SerialExecutor(runtime=Runtime(), folder=tmp_path / "b"), asked))
    assert said[0] == "rehearsing 2 kinds of trials, to see what they take"
    assert said[1].startswith(f"{asked[0].cell.label}: 0.")
    assert said[1].endswith(" set aside")


@pytest.mark.slow
def test_a_trial_that_fails_its_rehearsal_is_run_and_tells_it_itself(
    ray_cluster: None, tmp_path: Path
) -> None:
    from orchestrator.execution.ray.executor import RayExecutor

    said: list[str] = []
    resources = SweepResources(memory_gib="auto")
    executor = RayExecutor(runtime=Runtime(), folder=tmp_path, resources=resources, say=said.append)
    events = run(executor, [t for t in expansion(BROKEN).trials if t.cell.label == "too large"])
    assert "too large: its rehearsal failed: ValueError: batch_size 4096 exceeds" in said[1]
    assert isinstance(events[-1], Finished)
    assert events[-1].outcome.error == "code"


@pytest.mark.slow
def test_an_error_of_the_listener_ends_the_run_and_is_raised_as_it_is(make: Make, tmp_path: Path) -> None:
    def full(event: Event) -> None:
        if isinstance(event, Finished):
            raise StoreError("the disk is full")

    with pytest.raises(StoreError, match=r"^the disk is full$"):
        make(tmp_path).run(trials(4), full)


@pytest.mark.slow
def test_an_error_of_the_listener_is_raised_and_is_no_trials_failure(make: Make, tmp_path: Path) -> None:
    heard: list[Event] = []

    def listen(event: Event) -> None:
        heard.append(event)
        if isinstance(event, Progressed) and event.report.epoch == 1:
            raise StoreError("the tracker is away")

    with pytest.raises(StoreError, match="the tracker is away"):
        make(tmp_path).run(trials(2), listen)
    assert not [e for e in heard if isinstance(e, Finished) and e.outcome.status == "failed"]


def test_a_node_that_cannot_keep_checkpoints_on_s3_is_told_before_training(
    ray_cluster: None, s3: S3Folder
) -> None:
    from orchestrator.execution.ray import nodes as ray_nodes

    # The module's Ray was started without the settings that this driver has.
    with pytest.raises(
        ExecutionError, match=r"^node .+ cannot keep checkpoints: s3://.+: no credentials; set"
    ):
        ray_nodes.check_nodes(s3, shipped=False)


def test_an_import_that_fails_on_a_worker_only_is_told_before_training(
    ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.execution.ray import nodes as ray_nodes

    written(tmp_path / "site", worn=METHOD)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))  # of this process; Ray was started before
    text = yaml(TINY).replace("{name: byol, predictor: {hidden: 16}}", "mine")
    asked = expansion(f"plugins: [worn]\n{text}").trials
    with pytest.raises(ExecutionError) as raised:
        ray_nodes.check_plugins(asked)
    (line,) = str(raised.value).splitlines()
    assert re.fullmatch(r"node .+: plug-in worn: cannot be imported: ModuleNotFoundError: No module.*", line)
