"""What a user meets when trials fail, drivers are stopped or die, and how the same command goes on."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.builders import TINY, table_yaml, yaml
from tests.place import FIGURES, Place, typed
from trainers.loops import ssl
from trainers.measures import frozen


def test_a_failing_cell_fails_the_sweep_but_not_its_neighbours(ready: Place) -> None:
    text = yaml(TINY) + "axes: {b: {fits: {batch_size: 64}, broken: BROKEN}}\n"
    broken = "{method: supervised, projector.probed_blocks: 1}"
    ready.write(text.replace("BROKEN", broken) + "tables: [{name: t, rows: b}]\n")
    done = ready.orch("sweep", "sweep.yaml", "--executor", "serial", code=3)
    assert "orch: failed: broken · seed 0" in done.stderr
    assert "supervised: has no projector to probe" in done.stderr
    assert re.search(r"fits +\d", done.stdout)
    log = ready.orch("logs", "sweep.yaml", "broken").stdout
    assert "begun on" in log and "Traceback" in log and "ended: failed: ValueError" in log
    assert "epoch 2/2" in ready.orch("logs", "sweep.yaml", "fits", "-n", "2", "-f").stdout
    again = ready.orch("retry", "sweep.yaml", "--executor", "serial", code=3).stderr
    assert "1 trial will run, 1 done" in again and again.count("broken · seed 0: failed") == 1
    nothing = ready.orch("retry", "sweep.yaml", "fits", code=2)
    assert "no trial of cell 'fits' has failed" in nothing.stderr
    assert "2 attempts" in ready.orch("why", "sweep.yaml", "broken").stdout


@pytest.mark.slow
def test_an_interrupted_sweep_says_how_to_go_on_and_then_does(ready: Place) -> None:
    ready.write(table_yaml().replace("epochs: 2\n  probe", "epochs: 40\n  probe"))
    command = typed("sweep", "sweep.yaml", "--executor", "serial")
    running = subprocess.Popen(
        command, cwd=ready.folder, text=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    waited = time.monotonic()
    while not list(ready.folder.rglob("epoch-*.pt")) and time.monotonic() - waited < 60:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 130, errors
    assert "go on with: orch sweep sweep.yaml --executor serial" in errors
    assert "1 stopped" in ready.orch("status", "sweep.yaml").stdout
    resumed = ready.orch("sweep", "sweep.yaml", "--executor", "serial", "--seeds", "1")
    assert "1 goes on where it stopped" in resumed.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "executor"),
    [
        pytest.param("SIGTERM", "serial", marks=pytest.mark.slow),
        ("orch stop", "serial"),
        pytest.param("SIGTERM", "ray", marks=pytest.mark.slow),
    ],
)
def test_a_driver_that_is_told_to_stop_keeps_its_checkpoints_and_leaves_nothing_running(
    ready: Place, way: str, executor: str
) -> None:
    ready.write(table_yaml().replace("epochs: 2\n  probe", "epochs: 400\n  probe"))
    command = typed("sweep", "sweep.yaml", "--executor", executor)
    running = subprocess.Popen(
        command, cwd=ready.folder, text=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    waited = time.monotonic()
    while not list(ready.folder.rglob("epoch-*.pt")) and time.monotonic() - waited < 120:
        time.sleep(0.05)
    if way == "SIGTERM":
        running.terminate()
    else:
        assert f"asked pid {running.pid} on" in ready.orch("stop", "sweep.yaml").stdout
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 130, errors
    assert " stopped" in ready.orch("status", "sweep.yaml").stdout
    assert "nobody trains it" in ready.orch("stop", "sweep.yaml").stdout
    assert list(ready.folder.rglob("epoch-*.pt"))


@pytest.mark.slow
def test_a_second_driver_waits_for_the_first_and_takes_over_when_it_dies(ready: Place) -> None:
    plan = json.loads(ready.orch("plan", "sweep.yaml", "--json", "--seeds", "1").stdout)[0]
    ids = [trial["id"] for trial in plan["todo"]]
    code = (
        "import sys, time; from pathlib import Path; from orchestrator.recording.claims.home import Claims;"
        "c = Claims(Path('runs'), command='orch sweep'); c.take(sys.argv[1:]); print('ok', flush=True);"
        "time.sleep(120)"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", code, *ids[:3]], cwd=ready.folder, stdout=subprocess.PIPE, text=True
    )
    assert first.stdout is not None and first.stdout.readline() == "ok\n"
    command = typed("sweep", "sweep.yaml", "--executor", "serial")
    second = subprocess.Popen(
        [*command, "--seeds", "1"],
        cwd=ready.folder,
        text=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert second.stderr is not None
    seen = []
    while not any("waiting for 3 trials" in line for line in seen):
        seen.append(second.stderr.readline())
        assert seen[-1], seen
    assert sum(": completed" in line for line in seen) == 1 and f"pid {first.pid}" in seen[-1]
    first.kill()
    first.communicate()
    table, rest = second.communicate(timeout=120)
    assert second.returncode == 0 and rest.count(": completed") == 3, rest
    assert table == ready.orch("table", "sweep.yaml", "--seeds", "1").stdout


@pytest.mark.slow
def test_a_metric_that_nobody_reports_costs_neither_the_other_tables_nor_the_summary(
    ready: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = "  - {name: wrong, rows: ema, columns: predictor, metric: probe/top5}\n"
    accuracies = frozen.accuracies

    def without_top5(*arguments: Any, **named: Any) -> dict[str, float]:
        return {k: v for k, v in accuracies(*arguments, **named).items() if k != "probe/top5"}

    monkeypatch.setattr(frozen, "accuracies", without_top5)
    ready.write(table_yaml() + wrong + FIGURES)
    done = ready.orch("sweep", "sweep.yaml", "--executor", "serial", "--seeds", "1", code=2)
    assert "metric 'probe/top5' was never reported; did you mean 'probe/top1'?" in done.stderr
    assert "table main" in done.stdout and "summary run" in done.stderr
    ready.write(table_yaml() + FIGURES)
    mended = ready.orch("sweep", "sweep.yaml", "--executor", "serial", "--seeds", "1")
    assert "nothing to do" in mended.stderr and "summary run" in mended.stderr
    again = ready.orch("sweep", "sweep.yaml", "--executor", "serial", "--seeds", "1")
    assert "summary run" not in again.stderr


@pytest.mark.slow
def test_a_sweep_whose_trials_all_fail_ends_in_a_table_of_marks_and_code_3(
    ready: Place, monkeypatch: pytest.MonkeyPatch
) -> None:

    def broken(*arguments: object, **named: object) -> None:
        raise ValueError("broken")

    monkeypatch.setattr(ssl, "train_epoch", broken)
    ready.write(table_yaml() + FIGURES)
    command = ("sweep", "sweep.yaml", "--executor", "serial", "--seeds", "1")
    done = ready.orch(*command, "--keep-going", code=3)
    assert "orch: failed: EMA · symmetric · seed 0" in done.stderr and "table main" in done.stdout
    assert done.stderr.count(": failed  ValueError") == 4
    stopped = ready.orch(*command, code=3).stderr
    assert stopped.count(": failed  ValueError") == 2 and "go on with --keep-going" in stopped


@pytest.mark.slow
def test_a_sweep_whose_trials_all_diverge_is_complete(ready: Place) -> None:
    ready.write(table_yaml().replace("epochs: 2\n  probe", "epochs: 2\n  optimizer: {lr: 1.0e+30}\n  probe"))
    done = ready.orch("sweep", "sweep.yaml", "--executor", "serial", "--seeds", "1")
    assert "diverged" in done.stdout


@pytest.mark.slow
def test_output_that_nobody_reads_any_more_ends_no_training(ready: Place) -> None:
    command = typed("sweep", "sweep.yaml", "--executor", "serial")
    with subprocess.Popen(
        [*command, "--json"], cwd=ready.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout is not None and running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        running.stderr.close()
        assert running.wait(timeout=120) == 0
    assert "8 completed" in ready.orch("status", "sweep.yaml").stdout


@pytest.mark.slow
def test_ctrl_c_is_heard_although_nobody_reads_what_is_said(ready: Place) -> None:
    ready.write(table_yaml().replace("epochs: 2\n  probe", "epochs: 400\n  probe"))
    command = typed("sweep", "sweep.yaml", "--executor", "serial")
    with subprocess.Popen(
        command, cwd=ready.folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as running:
        waited = time.monotonic()
        while not list(ready.folder.rglob("epoch-*.pt")) and time.monotonic() - waited < 60:
            time.sleep(0.05)
        assert running.stderr is not None
        running.stderr.close()  # as when `tee` ends with the same Ctrl-C
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=60) == 130
    assert "1 stopped" in ready.orch("status", "sweep.yaml").stdout


@pytest.mark.slow
def test_stop_asks_a_driver_of_any_profile_though_the_tracker_is_away(ready: Place) -> None:
    ready.write(table_yaml() + "profiles: {laptop: {epochs: 2}, other: {epochs: 3}}\n")
    plan = json.loads(ready.orch("plan", "sweep.yaml", "--json", "--profile", "other").stdout)[0]
    code = (
        "import sys, time; from pathlib import Path; from orchestrator.recording.claims.home import Claims;"
        "c = Claims(Path('runs'), command='orch sweep'); c.take(sys.argv[1:]); print('ok', flush=True);"
        "time.sleep(120)"
    )
    words = [sys.executable, "-c", code, plan["todo"][0]["id"]]
    with subprocess.Popen(words, cwd=ready.folder, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "ok\n"
        told = ready.orch("stop", "sweep.yaml", "--tracking-uri", "http://127.0.0.1:9").stdout
        assert f"asked pid {holder.pid} on" in told
        assert holder.wait(timeout=30) == -signal.SIGTERM


@pytest.mark.slow
def test_a_batch_larger_than_the_data_is_told_before_anything_is_started(place: Place) -> None:
    place.write(table_yaml().replace("batch_size: 64", "batch_size: 4096"))
    said = place.orch("sweep", "sweep.yaml", code=2).stderr
    assert "batch_size 4096 exceeds the 128 training images of data set 'shapes'; lower batch_size" in said
