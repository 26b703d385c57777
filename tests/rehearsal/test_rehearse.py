"""Rehearsals in processes of their own: what comes back, and that nothing stays."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest

from orchestrator.commands.look.forecast import forecast_of
from orchestrator.errors import ExecutionError
from orchestrator.language.resources import SweepResources, TrialResources
from orchestrator.planning.trials import TrialSpec
from orchestrator.process.machine import cores
from orchestrator.process.signals import Stop
from orchestrator.recording.workspace import workspace
from orchestrator.rehearsal import rehearse as rehearsing
from orchestrator.rehearsal.forecast import Measurement, cost_classes
from orchestrator.rehearsal.rehearse import Failure, Measurements, RehearsalJob, rehearsal_jobs, rehearsed
from tests.builders import TINY, expansion, yaml
from tests.place import Place, typed
from trainers.attempt.rehearsal import Cost
from trainers.config.base import LoopConfig, Runtime

SIZES = "axes: {b: {fits: {batch_size: 64}, too large: {batch_size: 4096}}}\n"


def all_pieces(text: str | None = None) -> list[RehearsalJob]:
    asked = expansion(text).trials
    return rehearsal_jobs(
        cost_classes(asked, {trial.id: TrialResources(gpus=0) for trial in asked}), Runtime()
    )


@pytest.mark.slow
def test_each_kind_is_rehearsed_and_a_failing_one_says_why() -> None:
    fits, too_large = all_pieces(yaml(TINY) + SIZES)
    findings = rehearsed([fits, too_large], slots=1)
    assert set(findings.found) == {fits.name}
    assert findings.found[fits.name].cost.of(2) > 0
    reason = "ValueError: batch_size 4096 exceeds the 128 training images; lower it"
    assert findings.failures == {too_large.name: Failure(reason)}
    assert not multiprocessing.active_children()


def killed(config: LoopConfig, *, runtime: Runtime, limit_s: float) -> None:
    os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does where memory is short


def asleep(config: LoopConfig, *, runtime: Runtime, limit_s: float) -> None:
    time.sleep(600)


def test_a_rehearsal_that_is_killed_is_one_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsing, "rehearse", killed)
    (failure,) = rehearsed(all_pieces()[:1], slots=1).failures.values()
    assert failure == Failure("its process ended with -9; was memory short?", killed=True)


class Crowd:
    """Processes of which the first in a crowd is killed, and all succeed alone."""

    def __init__(self, **_: object) -> None:
        self.asked: list[int] = []

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_: object) -> None: ...

    def answers(self, calls: list[object], *, together: int) -> list[Cost | Failure]:
        self.asked.append(len(calls))
        cost = Cost(start_s=0, epoch_s=1, end_s=1, host_gib=9)
        return [cost if together == 1 or i else Failure("killed", killed=True) for i in range(len(calls))]


def test_what_is_killed_in_a_crowd_counts_if_it_succeeds_elsewhere_or_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rehearsing, "_Processes", Crowd)
    first, second = all_pieces()[:2]
    twins = rehearsed([first._replace(number=2)], slots=2)
    assert (twins.found[first.name].cost.host_gib, twins.failures) == (9, {})
    both = rehearsed([first, second], slots=2)
    assert (set(both.found), both.failures) == ({first.name, second.name}, {})


def test_a_rehearsal_that_never_answers_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsing, "rehearse", asleep)
    monkeypatch.setattr(rehearsing, "REHEARSAL_S", 0.5)
    (failure,) = rehearsed(all_pieces()[:1], slots=1, limit_s=0).failures.values()
    assert failure.reason.startswith("no answer within")
    assert not failure.killed
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_paces_are_measured_until_more_at_once_get_nothing_more_done() -> None:
    (piece,) = all_pieces(
        yaml(TINY).replace("train: 128", "train: 4096").replace("epochs: 2", "epochs: 90", 1)
    )
    with rehearsing._Processes() as processes:
        paces = rehearsing.paces_of(piece, processes, most=2, window_s=0.3)
    assert list(paces) == [1, 2]
    assert all(pace > 0 for pace in paces.values())


def test_twice_as_many_are_tried_until_that_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = {1: 10.0, 2: 18.0, 4: 18.5, 8: 100.0}
    asked: list[int] = []

    class Processes:
        context = multiprocessing.get_context("forkserver")

        def answers(self, calls: list[object], *, together: int) -> list[float | Failure]:
            asked.append(together)
            return [measured[together] / together] * together

    paces = rehearsing.paces_of(all_pieces()[0], Processes(), most=8)  # type: ignore[arg-type]
    assert asked == [1, 2, 4]
    assert paces == {1: 10.0, 2: 18.0, 4: 18.5}
    assert rehearsing.paces_of(all_pieces()[0], Processes(), most=1) == {1: 10.0}  # type: ignore[arg-type]


def test_a_forecast_is_printed_with_its_costs_and_its_end(place: Place) -> None:
    shown = place.orch("plan", "sweep.yaml", "--forecast")
    assert "rehearsing 4 kinds of trials" in shown.stderr
    assert shown.stdout.count("GiB") == 4
    assert f"{min(cores(), 8)} trial{'' if cores() == 1 else 's'} at a time" in shown.stdout
    assert "; 0 GPU-hours, " in shown.stdout
    assert "started now, it ends at " in shown.stdout
    assert not (place.folder / "runs").exists()


def test_a_forecast_names_the_cells_that_fail_and_counts_the_others(place: Place) -> None:
    place.write(yaml(TINY) + SIZES)
    (record,) = json.loads(place.orch("plan", "sweep.yaml", "--forecast", "--json", code=3).stdout)
    told = record["forecast"]
    assert told["failures"]["too large"].startswith("ValueError: batch_size 4096 exceeds")
    assert told["wall_s"] > 0
    assert [kind["cells"] for kind in told["kinds"]] == [["fits"]]


def test_a_forecast_of_nothing_rehearses_nothing() -> None:
    told = forecast_of(
        [], SweepResources(), workspace(None, None, None), address=None, limit_s=1, say=pytest.fail
    )
    assert told.text(now=datetime(2026, 1, 1)) == "nothing to forecast"


def test_a_forecast_where_no_room_is_says_so_in_a_line(place: Place) -> None:
    place.write(yaml(TINY) + "resources: {cpus: 640}\n")
    said = place.orch("plan", "sweep.yaml", "--forecast", code=2).stderr
    assert said.startswith("orch: a trial asks for 640 CPUs, where the largest node has")


class Nodes:
    """A cluster of which only the resources are real, and rehearsals that cost what the node is worth."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *resources: dict[str, Any]) -> None:
        from orchestrator.execution.ray import rehearsal as ray_packing

        self.asked: list[tuple[int, int]] = []
        self.said: list[str] = []
        self.resources = resources
        nodes = [{"Resources": has, "Alive": True, "NodeID": str(i)} for i, has in enumerate(resources)]
        monkeypatch.setattr(ray_packing.ray_nodes, "alive", lambda: nodes)
        monkeypatch.setattr(ray_packing, "_on", self.on)
        monkeypatch.setattr(ray_packing.ray_nodes, "name_of", lambda node: f"node {node['NodeID']}")
        free = {f"node {i}": has.get("free", [has.get("gib", 80.0)]) for i, has in enumerate(resources)}
        monkeypatch.setattr(ray_packing.ray_nodes, "everywhere", lambda look, once: free)

    def on(self, node: dict[str, Any], group: list[RehearsalJob], **_: object) -> Measurements:
        self.asked.append((int(node["NodeID"]), len(group)))
        if "short" in node["Resources"]:
            return Measurements({}, {piece.name: Failure("no room", killed=True) for piece in group})
        gib = node["Resources"].get("gib", 80.0)
        cost = Cost(start_s=0, epoch_s=1, end_s=1, host_gib=1, gpu_gib=10, room_gib=gib)
        return Measurements({piece.name: Measurement(cost, {1: 1.0, 2: 2.0, 4: 4.0}) for piece in group}, {})

    def settled(
        self, asked: Sequence[TrialSpec], needs: dict[str, TrialResources]
    ) -> dict[str, TrialResources]:
        from orchestrator.execution.ray import cluster as ray_cluster
        from orchestrator.execution.ray import rehearsal as ray_packing

        return ray_packing.settled(
            asked,
            needs,
            Runtime(),
            most=None,
            stop=Stop(),
            say=self.said.append,
            doing=ray_cluster.nobody_waits,
        )


def test_each_type_of_gpu_is_asked_and_the_larger_share_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = {"accelerator_type:T4": 1.0, "gib": 16.0}, {"accelerator_type:H200": 1.0, "gib": 141.0}
    gpus = {"CPU": 8.0, "GPU": 4.0}
    nodes = Nodes(monkeypatch, {"CPU": 8.0}, gpus | large, gpus | small, gpus | large)
    asked = expansion().trials
    settled = nodes.settled(asked, {trial.id: TrialResources(gpus="auto") for trial in asked})
    assert nodes.asked == [(1, 4), (2, 4)]
    assert {own.share for own in settled.values()} == {0.6945}  # 10 of 0.9 * 16 GiB


def test_of_gpus_of_one_name_the_fullest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    a100 = {"CPU": 8.0, "GPU": 2.0, "accelerator_type:A100": 1.0}
    nodes = Nodes(monkeypatch, a100 | {"gib": 80.0}, a100 | {"free": [38.0, 20.0]})
    asked = expansion().trials
    settled = nodes.settled(asked, {trial.id: TrialResources(gpus="auto") for trial in asked})
    assert {own.share for own in settled.values()} == {0.5556}  # 10 of 0.9 * 20 GiB


@pytest.mark.parametrize(("given", "seen"), [("2,3", "2,3"), ("", None), (None, None)])
def test_the_gpus_whose_room_counts_are_those_that_ray_has(
    monkeypatch: pytest.MonkeyPatch, given: str | None, seen: str | None
) -> None:
    from orchestrator.execution.ray import rehearsal as ray_packing

    looks: list[str | None] = []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "all")  # put back after the test
    if given is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)

    def count() -> int:
        looks.append(os.environ.get("CUDA_VISIBLE_DEVICES"))
        return 0

    monkeypatch.setattr("torch.cuda.device_count", count)
    assert ray_packing._free_gib() == [] and looks == [seen]


def test_what_fails_on_one_type_of_gpu_is_said_and_packed_for_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpus = {"CPU": 8.0, "GPU": 1.0}
    small = gpus | {"accelerator_type:T4": 1.0, "short": 1.0}
    nodes = Nodes(monkeypatch, gpus | {"accelerator_type:H200": 1.0}, small)
    asked = expansion().trials[:1]
    settled = nodes.settled(asked, {trial.id: TrialResources(gpus="auto") for trial in asked})
    assert {own.share for own in settled.values()} == {0.25}
    assert nodes.said[1].endswith("its rehearsal failed: no room (node node 1)")


def test_a_trial_that_is_killed_although_it_is_alone_ends_the_sweep_before_it_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nodes = Nodes(monkeypatch, {"CPU": 8.0, "short": 1.0})
    asked = expansion().trials[:1]
    with pytest.raises(ExecutionError, match="a trial needs more memory than there is"):
        nodes.settled(asked, {trial.id: TrialResources(gpus=0, memory_gib="auto") for trial in asked})


def test_a_kind_is_rehearsed_where_it_may_run(monkeypatch: pytest.MonkeyPatch) -> None:
    large = {"CPU": 8.0, "memory": 1e12}
    nodes = Nodes(monkeypatch, large | {"CPU": 2.0, "GPU": 1.0}, large | {"big": 1.0}, large | {"GPU": 1.0})
    first, second, third = expansion().trials[:3]
    needs = {
        first.id: TrialResources(gpus=0, memory_gib="auto"),
        second.id: TrialResources(gpus=0, memory_gib="auto", custom={"big": 1}),
        third.id: TrialResources(cpus=4, gpus="auto"),
    }
    settled = nodes.settled([first, second, third], needs)
    assert nodes.asked == [(0, 1), (1, 1), (2, 1)]
    assert (settled[second.id].memory_gib, settled[second.id].custom) == (1.2, {"big": 1})
    assert settled[third.id].share == 0.25


def test_what_says_its_needs_is_not_rehearsed(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = Nodes(monkeypatch, {"CPU": 2.0, "GPU": 1.0})
    asked = expansion().trials[:2]
    needs = {asked[0].id: TrialResources(gpus=0.5), asked[1].id: TrialResources(gpus=1, memory_gib=3)}
    assert nodes.settled(asked, needs) == needs
    assert nodes.asked == []


@pytest.mark.slow
def test_ctrl_c_while_rehearsals_begin_is_a_line_and_130(place: Place) -> None:
    command = typed("plan", "sweep.yaml", "--forecast")
    with subprocess.Popen(
        command,
        cwd=place.folder,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as driver:
        assert driver.stderr is not None
        assert "rehearsing" in driver.stderr.readline()
        time.sleep(0.5)
        os.killpg(driver.pid, signal.SIGINT)  # as a terminal does: to all of them
        said = driver.stderr.read()
        assert driver.wait(timeout=30) == 130
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) == 1


def test_flags_that_would_do_nothing_are_refused(place: Place) -> None:
    assert "add --forecast" in place.orch("plan", "sweep.yaml", "--pack", code=2).stderr
    alone = place.orch("sweep", "sweep.yaml", "--pack", "--executor", "serial", code=2).stderr
    assert "needs --executor ray" in alone


@pytest.mark.parametrize(
    ("needs", "told"),
    [
        ("gpus: 2", "2 GPUs for a trial, and trainer 'ssl' uses one; lower it to 1"),
        ("gpus: most", "expected a share of a GPU from 0 to 1, whole GPUs, or auto; got 'most'"),
        ("memory_gib: 0", "expected GiB above 0, or auto; got 0"),
    ],
)
def test_a_wrong_need_is_one_line(place: Place, needs: str, told: str) -> None:
    place.write(yaml(TINY) + f"resources: {{{needs}}}\n")
    said = place.orch("validate", "sweep.yaml", code=2).stderr.strip()
    assert told in said
    assert len(said.splitlines()) == 1
