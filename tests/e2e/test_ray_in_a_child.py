"""Ray may do what it likes: it lives in a child of the driver, and the driver goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.builders import table_yaml
from tests.place import FIGURES, Place

LONG = table_yaml().replace("epochs: 2\n  probe", "epochs: 60\n  probe").replace("seeds: 2", "seeds: 1")
SWEEP = [sys.executable, "-m", "orchestrator.cli", "sweep", "sweep.yaml"]
PROVOKE = '''
"""In the process that has started Ray, a thread older than Ray lets go of objects while Ray is shut down."""
import sys, threading, time

def watch():
    while not getattr(sys.modules.get("ray"), "is_initialized", bool)():
        time.sleep(0.01)
    ray = sys.modules["ray"]
    if ray._private.worker.global_worker.mode != 0:  # a worker
        return
    kept, begun, shutdown = [ray.put(number) for number in range(5000)], threading.Event(), ray.shutdown

    def watched(*words, **named):
        begun.set()
        return shutdown(*words, **named)

    ray.shutdown = watched
    begun.wait()
    while kept:
        kept.pop()
        time.sleep(0.0005)

if "sweep" in sys.argv or any("child_process" in word for word in sys.orig_argv):
    threading.Thread(target=watch, daemon=True).start()
'''


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


def test_figures_that_cannot_be_drawn_take_no_table_away(
    ready: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator import answer

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
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(PROVOKE)
    driver = start("--quiet", PYTHONPATH=str(tmp_path / "site"))
    out, errors = driver.communicate(timeout=300)
    assert driver.returncode == 0, errors
    assert "table main" in out


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["child_process", "raylet/raylet", "gcs_server"])
def test_what_ray_consists_of_may_die_and_the_table_is_the_same(
    start: Callable[..., subprocess.Popen[str]], ready: Place, undisturbed: str, victim: str
) -> None:
    ready.write(LONG)
    driver, killed = start("--json"), False
    seen = []
    for event in events(driver):
        seen.append(event)
        if trained(event) and not killed:
            killed = True
            children(driver.pid, victim)[0].kill()
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
        children(driver.pid, "child_process")[0].suspend()
    number = signal.Signals[end.split()[0].rstrip(",")]
    if "group" in end:
        os.killpg(driver.pid, number)
    else:
        driver.send_signal(number)
    assert gone(there, within_s=10)
    assert driver.wait(timeout=30) == (-signal.SIGKILL if number == signal.SIGKILL else 130)
    again = ready.process("sweep", "sweep.yaml", "--quiet")
    assert again.stdout == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [0.5, 3.0, 6.0])
def test_a_second_signal_ends_a_sweep_at_once_whatever_ray_is_doing(
    start: Callable[..., subprocess.Popen[str]], ready: Place, after_s: float
) -> None:
    driver = start()
    deadline = time.monotonic() + 60
    while not children(driver.pid, "child_process") and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(after_s)
    there = children(driver.pid)
    driver.terminate()
    time.sleep(0.5)
    driver.terminate()
    _, errors = driver.communicate(timeout=15)
    # Where nothing is trained yet the first signal is enough, and the second finds Python on its way out.
    assert driver.returncode in (130, -signal.SIGTERM), errors
    assert "Traceback" not in errors and "orch: stopp" in errors
    assert gone(there, within_s=5)
