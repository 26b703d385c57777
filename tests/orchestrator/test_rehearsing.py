"""Rehearsals in processes of their own: what comes back, and that nothing stays."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from datetime import datetime

import pytest

from orchestrator.adapters import rehearsing
from orchestrator.adapters.forecasting import forecast_of
from orchestrator.adapters.rehearsing import Failure, Piece, pieces, rehearsed
from orchestrator.adapters.workspace import workspace
from orchestrator.forecast import kinds
from orchestrator.needs import Needs, Resources
from tests.builders import TINY, expansion, yaml
from tests.place import Place
from trainers.config import LoopConfig, Runtime

SIZES = "axes: {b: {fits: {batch_size: 64}, too large: {batch_size: 4096}}}\n"


def all_pieces(text: str | None = None) -> list[Piece]:
    asked = expansion(text).trials
    return pieces(kinds(asked, {trial.id: Needs(gpus=0) for trial in asked}), Runtime())


def test_each_kind_is_rehearsed_and_a_failing_one_says_why() -> None:
    fits, too_large = all_pieces(yaml(TINY) + SIZES)
    findings = rehearsed([fits, too_large], slots=1)
    assert set(findings.found) == {fits.name}
    assert findings.found[fits.name].cost.of(2) > 0
    assert findings.failures == {
        too_large.name: "ValueError: batch_size 4096 exceeds the 128 training images; lower it"
    }
    assert not multiprocessing.active_children()


def killed(config: LoopConfig, *, runtime: Runtime, limit_s: float) -> None:
    os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does where memory is short


def asleep(config: LoopConfig, *, runtime: Runtime, limit_s: float) -> None:
    time.sleep(600)


def test_a_rehearsal_that_is_killed_is_one_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsing, "rehearse", killed)
    (reason,) = rehearsed(all_pieces()[:1], slots=1).failures.values()
    assert reason == "its process ended with -9; was memory short?"


def test_a_rehearsal_that_never_answers_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsing, "rehearse", asleep)
    monkeypatch.setattr(rehearsing, "PATIENCE_S", 0.5)
    (reason,) = rehearsed(all_pieces()[:1], slots=1).failures.values()
    assert reason.startswith("no answer within")
    assert not multiprocessing.active_children()


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
    assert "2 trials at a time" in shown.stdout or (os.cpu_count() or 1) != 2
    assert "; 0 GPU-hours, " in shown.stdout
    assert "started now, it ends at " in shown.stdout
    assert not (place.folder / "runs").exists()


def test_a_forecast_names_the_cells_that_fail_and_counts_the_others(place: Place) -> None:
    place.write(yaml(TINY) + SIZES)
    (record,) = json.loads(place.orch("plan", "sweep.yaml", "--forecast", "--json").stdout)
    told = record["forecast"]
    assert told["failures"]["too large"].startswith("ValueError: batch_size 4096 exceeds")
    assert told["wall_s"] > 0
    assert [kind["cells"] for kind in told["kinds"]] == [["fits"]]


def test_a_forecast_of_nothing_rehearses_nothing() -> None:
    told = forecast_of([], Resources(), workspace(None, None, None), address=None, limit_s=1, say=pytest.fail)
    assert told.text(now=datetime(2026, 1, 1)) == "nothing to forecast"


def test_a_forecast_where_no_room_is_says_so_in_a_line(place: Place) -> None:
    place.write(yaml(TINY) + "resources: {cpus: 640}\n")
    said = place.orch("plan", "sweep.yaml", "--forecast", code=2).stderr
    assert said.startswith("orch: a trial asks for 640 CPUs, where the largest node has")
