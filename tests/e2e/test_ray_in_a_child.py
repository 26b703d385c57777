"""Ray may do what it likes: it lives in a child of the driver, and the driver goes on."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.errors import StoreAway
from orchestrator.execution.child.executor import ChildExecutor
from tests.builders import table_yaml
from tests.place import FIGURES, Place, typed

LONG = table_yaml().replace("epochs: 2\n  probe", "epochs: 60\n  probe").replace("seeds: 2", "seeds: 1")
SWEEP = typed("sweep", "sweep.yaml")
PROVOKE = Path(__file__).parents[2] / "benchmarks" / "late_call"


def children(pid: int, word: str = "") -> list[psutil.Process]:
    """Living descendants of a process whose command line holds `word`."""
    found = []
    for one in psutil.Process(pid).children(recursive=True):
        try:
            if word in " ".join(one.cmdline()):
                found.append(one)
        except psutil.Error:
            continue
    return found


def gone(processes: list[psutil.Process], within_s: float) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=within_s)
    return not [one for one in alive if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
def start(ready: Place) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a sweep on Ray in a session of its own; whatever is left of it ends with the test."""
    begun: list[subprocess.Popen[str]] = []

    def make(*words: str, **environment: str) -> subprocess.Popen[str]:
        begun.append(
            subprocess.Popen(
                [*SWEEP, *words],
                cwd=ready.folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | environment,
                start_new_session=True,
            )
        )
        return begun[-1]

    yield make
    for process in begun:
        process.kill()
        process.communicate()


def events(driver: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert driver.stdout is not None
    for line in driver.stdout:
        yield json.loads(line)


def trained(event: dict[str, Any]) -> bool:
    return bool(event["event"] == "progressed" and event["epoch"] > 2 and not event["replayed"])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    place = Place(tmp_path_factory.mktemp("undisturbed"))
    place.write(LONG)
    return place.process("sweep", "sweep.yaml", "--executor", "serial", "--quiet").stdout


@pytest.mark.slow
def test_figures_that_cannot_be_drawn_take_no_table_away(
    ready: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.answer import publish as answer

    def fail(*_: object) -> None:
        raise RuntimeError("no\nfont")

    monkeypatch.setattr(answer, "figure_files", fail)
    ready.write(table_yaml() + FIGURES)
    done = ready.orch("sweep", "sweep.yaml", "--executor", "serial", "--seeds", "1", code=4)
    assert "table main" in done.stdout
    assert "figures and summary could not be made: RuntimeError: no font" in done.stderr
    monkeypatch.undo()
    assert "summary run" in ready.orch("sweep", "sweep.yaml", "--executor", "serial", "--seeds", "1").stderr


@pytest.mark.slow
def test_ray_that_ends_its_process_while_it_is_shut_down_costs_neither_table_nor_exit_code(
    start: Callable[..., subprocess.Popen[str]],
) -> None:
    driver = start("--quiet", PYTHONPATH=str(PROVOKE))
    out, errors = driver.communicate(timeout=300)
    assert driver.returncode == 0, errors
    assert "table main" in out


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["execution.child", "raylet/raylet", "gcs_server"])
@pytest.mark.parametrize("signal_name", ["SIGKILL", "SIGSTOP"])
def test_what_ray_consists_of_may_die_or_hang_and_the_table_is_the_same(
    start: Callable[..., subprocess.Popen[str]],
    ready: Place,
    undisturbed: str,
    victim: str,
    signal_name: str,
) -> None:
    ready.write(LONG)
    driver, killed = start("--json"), False
    seen = []
    for event in events(driver):
        seen.append(event)
        if trained(event) and not killed:
            killed = True
            children(driver.pid, victim)[0].send_signal(signal.Signals[signal_name])
    assert driver.wait(timeout=60) == 0
    assert max(event["attempt"] for event in seen if event["event"] == "started") == 2
    assert ready.orch("table", "sweep.yaml").stdout == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("end", ["SIGKILL", "SIGKILL, its child suspended", "SIGHUP", "SIGTERM to its group"])
def test_nothing_outlives_a_driver_by_more_than_seconds(
    start: Callable[..., subprocess.Popen[str]], ready: Place, undisturbed: str, end: str
) -> None:
    ready.write(LONG)
    driver = start("--json")
    next(event for event in events(driver) if trained(event))
    there = children(driver.pid)
    assert len(there) > 5
    if "suspended" in end:
        children(driver.pid, "execution.child")[0].suspend()
    number = signal.Signals[end.split()[0].rstrip(",")]
    if "group" in end:
        os.killpg(driver.pid, number)
    else:
        driver.send_signal(number)
    assert gone(there, within_s=10)
    assert driver.wait(timeout=30) == (-signal.SIGKILL if number == signal.SIGKILL else 130)
    if number == signal.SIGTERM:  # nobody kills what stops by itself
        (told,) = json.loads(ready.orch("status", "sweep.yaml", "--json").stdout)
        assert {"stopped"} <= {trial["status"] for trial in told["trials"]} <= {"stopped", "missing"}
    again = ready.process("sweep", "sweep.yaml", "--quiet")
    assert again.stdout == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["raylet", "gcs_server"])
def test_a_ray_that_is_killed_whenever_it_starts_is_exit_code_4_and_a_line_for_each_start(
    start: Callable[..., subprocess.Popen[str]], victim: str
) -> None:
    driver, deadline = start(), time.monotonic() + 240
    while driver.poll() is None and time.monotonic() < deadline:
        for one in children(driver.pid, victim):
            with contextlib.suppress(psutil.Error):
                one.kill()
        time.sleep(0.05)
    _, errors = driver.communicate(timeout=5)
    assert driver.returncode == 4, errors
    lost = [line for line in errors.splitlines() if line.startswith("orch: ")]
    assert len(lost) == 3 and "2 times without an epoch in between" in lost[1], errors
    assert not re.search("Traceback|C  |core_worker|RayletClient", errors)  # Ray's own words are in its log


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [0.5, 3.0, 6.0])
def test_a_second_signal_ends_a_sweep_at_once_whatever_ray_is_doing(
    start: Callable[..., subprocess.Popen[str]], ready: Place, after_s: float
) -> None:
    driver = start()
    deadline = time.monotonic() + 60
    while not children(driver.pid, "execution.child") and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(after_s)
    there = children(driver.pid)
    driver.terminate()
    time.sleep(0.5)
    driver.terminate()
    _, errors = driver.communicate(timeout=15)
    assert driver.returncode == 130, errors
    assert "Traceback" not in errors and re.search("orch: (stopp|interrupted; no trial was running)", errors)
    assert gone(there, within_s=5)


@pytest.mark.slow
def test_a_long_name_of_the_temporary_folder_is_no_obstacle(ready: Place, tmp_path: Path) -> None:
    long = tmp_path / ("a" * 90)
    long.mkdir()
    assert "table main" in ready.process("sweep", "sweep.yaml", "--quiet", TMPDIR=str(long)).stdout
    assert list(long.glob("*orch-*")) == []


# What does not need Ray


@pytest.mark.slow
def test_a_sweep_whose_trials_nobody_can_run_ends_with_exit_code_4_and_the_next_step(
    ready: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = functools.partial(ChildExecutor, command=(sys.executable, "-c", "raise SystemExit(9)"))
    monkeypatch.setattr("orchestrator.execution.executors.ray.ChildExecutor", nobody)
    errors = ready.orch("sweep", "sweep.yaml", "--seeds", "1", "--quiet", code=4).stderr
    assert "the process that runs the trials was lost: it ended with exit code 9, 2 times" in errors
    assert "finished trials and checkpoints are kept; go on with: orch" in errors
    monkeypatch.undo()
    words = ["sweep.yaml", "--seeds", "1", "--executor", "serial", "--quiet"]
    assert "table main" in ready.orch("sweep", *words).stdout


@pytest.mark.slow
def test_a_complete_sweep_needs_nobody_to_run_it_and_a_serial_one_no_cluster(ready: Place) -> None:
    wrong = [["--address", "not an address"]]
    ready.orch("sweep", "sweep.yaml", "--executor", "abacus", code=2)  # a name that is none is told always
    for words in wrong:
        assert ready.orch("sweep", "sweep.yaml", "--seeds", "1", "--quiet", *words, code=2).stdout == ""
    serial = ["sweep", "sweep.yaml", "--seeds", "1", "--executor", "serial", "--quiet"]
    table = ready.orch(*serial, RAY_ADDRESS="127.0.0.1:1").stdout
    assert "table main" in table
    for words in wrong:
        assert ready.orch("sweep", "sweep.yaml", "--seeds", "1", "--quiet", *words).stdout == table


@pytest.mark.slow
def test_a_signal_after_the_table_lets_what_is_written_be_finished(
    ready: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from orchestrator.answer import publish as answer

    drawn = answer.figure_files

    def interrupted(*words: Any) -> dict[str, bytes]:
        os.kill(os.getpid(), signal.SIGINT)
        return drawn(*words)

    monkeypatch.setattr(answer, "figure_files", interrupted)
    ready.write(table_yaml() + FIGURES)
    done = ready.orch("sweep", "sweep.yaml", "--executor", "serial", "--seeds", "1")
    assert "table main" in done.stdout and "summary run" in done.stderr
    assert "the table is made; stopping once it is kept" in capfd.readouterr().err


@pytest.mark.slow
def test_a_store_that_goes_away_after_the_last_result_takes_no_table_away(
    ready: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.recording.journal.store import JournaledStore

    trained = []

    def on_event(self: JournaledStore, *words: Any) -> None:
        trained.append(1)
        finish(self, *words)

    def away(self: JournaledStore, ids: Any) -> dict[str, Any]:
        if len(trained) == 4:
            raise StoreAway("the store is away")
        return records(self, ids)

    finish, records = JournaledStore.finish, JournaledStore.records
    monkeypatch.setattr(JournaledStore, "finish", on_event)
    monkeypatch.setattr(JournaledStore, "records", away)
    ready.write(table_yaml())
    done = ready.orch("sweep", "sweep.yaml", "--executor", "serial", "--seeds", "1")
    assert len(trained) == 4 and "table main" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a closed terminal says something else")
def test_a_closed_terminal_ends_no_driver() -> None:
    code = (
        "import os, pty, sys; from orchestrator.process.streams import ignoring_closed_pipes\n"
        "far, near = pty.openpty(); os.dup2(near, 2); os.close(near); os.close(far)\n"
        "for line in range(3):\n"
        "    with ignoring_closed_pipes(): print(line, file=sys.stderr, flush=True)\n"
        "print('goes on')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "goes on\n")


def test_a_database_that_cannot_be_looked_at_is_no_traceback(ready: Place) -> None:
    name = "a" * 300
    errors = ready.orch("sweep", "sweep.yaml", "--tracking-uri", f"sqlite:///{name}/{name}.db", code=2).stderr
    assert errors.count("\n") <= 3 and "orch: " in errors


@pytest.mark.slow
def test_a_command_whose_output_was_closed_before_it_began_trains_all_the_same(ready: Place) -> None:
    words = f"exec {sys.executable} -m orchestrator sweep sweep.yaml --executor serial --seeds 1 >&-"
    done = subprocess.run(["sh", "-c", words], cwd=ready.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert "nothing to do" in ready.orch("sweep", "sweep.yaml", "--seeds", "1").stderr
