"""Laws of claims: a trial is one living driver's at a time, and a dead one holds nothing."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.commands.train.drivers import stop
from orchestrator.errors import UsageError
from orchestrator.process.driver import this_machine
from orchestrator.process.scratch import own_folder
from orchestrator.process.signals import Stop
from orchestrator.recording.claims.home import Claims
from orchestrator.recording.claims.joint import claims_of
from orchestrator.recording.workspace import workspace
from tests.builders import expansion

HOLDER = """
import sys, time
from pathlib import Path
from orchestrator.recording.claims.home import Claims
claims = Claims(Path(sys.argv[1]), command="orch sweep other.yaml")
print(sorted(claims.take(sys.argv[2:])), flush=True)
time.sleep(60)
"""


def holder(home: Path, *trials: str) -> subprocess.Popen[str]:
    """Another driver that has claimed `trials`."""
    started = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(home), *trials], stdout=subprocess.PIPE, text=True
    )
    assert started.stdout is not None
    started.stdout.readline()
    return started


def ended(process: subprocess.Popen[str], ending: signal.Signals = signal.SIGKILL) -> None:
    """End another driver."""
    process.send_signal(ending)
    process.communicate(timeout=30)


@pytest.fixture
def claims(tmp_path: Path) -> Iterator[Callable[[], Claims]]:
    """Makes drivers of this process on one home folder."""
    made: list[Claims] = []

    def make() -> Claims:
        made.append(Claims(tmp_path, command="orch sweep mine.yaml"))
        return made[-1]

    yield make
    for one in made:
        one.release()


Make = Callable[[], Claims]


def test_a_trial_is_one_drivers_at_a_time(claims: Make) -> None:
    first, second = claims(), claims()
    assert first.take(["a", "b"]) == {}
    held = second.take(["b", "c"])
    assert list(held) == ["b"] and held["b"].pid == os.getpid()
    assert "orch sweep mine.yaml" in str(held["b"])
    assert set(first.held(["a", "c"])) == {"c"}


def test_what_is_not_asked_for_again_is_given_back(claims: Make) -> None:
    first, second = claims(), claims()
    first.take(["a", "b"])
    first.take(["b"])
    assert set(second.take(["a", "b"])) == {"b"}


def test_a_released_driver_holds_nothing_and_leaves_no_file(claims: Make, tmp_path: Path) -> None:
    first, second = claims(), claims()
    first.take(["a"])
    first.release()
    assert list((tmp_path / "drivers").glob("*.json")) == []
    assert second.take(["a"]) == {}


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_a_dead_driver_holds_nothing(claims: Make, tmp_path: Path, ending: signal.Signals) -> None:
    other, mine = holder(tmp_path, "a", "b"), claims()
    assert set(mine.take(["a", "c"])) == {"a"}
    ended(other, ending)
    assert mine.take(["a", "c"]) == {}
    assert len(list((tmp_path / "drivers").glob("*.json"))) == 1


@pytest.mark.skipif(not this_machine(), reason="process numbers have no name here")
def test_a_lock_that_outlives_its_driver_holds_nothing_and_that_of_a_living_one_does(
    claims: Make, tmp_path: Path
) -> None:
    """As where a library has forked a process off the driver, without Python knowing of it."""
    first, second = claims(), claims()
    first.take(["a"])
    (path,) = (tmp_path / "drivers").glob("*.json")
    assert set(second.held(["a"])) == {"a"}
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pid": gone.pid}))
    assert second.take(["a"]) == {}


def test_of_drivers_that_start_at_once_one_has_the_trials(tmp_path: Path) -> None:
    wanted = [f"trial{n}" for n in range(50)]
    command = [sys.executable, "-c", HOLDER, str(tmp_path), *wanted]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    lines = [process.stdout.readline() for process in started if process.stdout]
    for process in started:
        ended(process)
    refused = sorted(len(json.loads(line.replace("'", '"'))) for line in lines)
    assert refused == [0, 50, 50, 50]


CHURN = """
import sys
from pathlib import Path
from orchestrator.recording.claims.home import Claims
for _ in range(400):
    claims = Claims(Path(sys.argv[1]), command="orch sweep")
    claims.take(["a", "b"])
    claims.held(["a"])
    claims.release()
"""


def test_drivers_that_come_and_go_at_once_disturb_nobody(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CHURN, str(tmp_path)]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate(timeout=120)[1] for process in started] == [""] * 3


def test_a_folder_that_cannot_be_written_is_told(claims: Make, tmp_path: Path) -> None:
    (tmp_path / "drivers").write_text("not a folder")
    with pytest.raises(UsageError, match="choose another folder with --home"):
        claims().take(["a"])


@pytest.mark.parametrize(
    "content", ["[1]", "[" * 100_000, '{"trials": 1e400}', '{"pid": -1, "trials": ["x"]}']
)
def test_a_claim_that_cannot_be_read_stops_nobody(claims: Make, tmp_path: Path, content: str) -> None:
    first = holder(tmp_path, "x", "y")
    (path,) = (tmp_path / "drivers").glob("*.json")
    with path.open("r+") as file:  # the same file: its lock stays
        file.truncate()
        file.write(content)
    assert claims().ask_to_stop(["x"]) == ([], [])
    assert claims().take(["x", "z"]) == {}
    ended(first)


def test_a_claim_that_a_full_disk_cut_short_stops_nobody(claims: Make, tmp_path: Path) -> None:
    first = holder(tmp_path, "x", "y")
    (path,) = (tmp_path / "drivers").glob("*.json")
    whole = path.read_bytes()
    with path.open("r+b") as file:  # the same file: its lock stays
        file.truncate(len(whole) // 2)
    assert claims().take(["x", "z"]) == {}
    ended(first)


def test_drivers_wait_for_one_another_where_they_train_into_one_store_or_the_same_checkpoints(
    tmp_path: Path,
) -> None:
    def held(*addresses: str | None, checkpoints: Path | None = None) -> list[bool]:
        spaces = [workspace(tmp_path, one, None, checkpoints=checkpoints) for one in addresses]
        drivers = [claims_of(space, Stop(), print, shared=False) for space in spaces]
        taken = [bool(driver.take(["x"])) for driver in drivers]
        for driver in drivers:
            driver.release()
        return taken

    assert held(None, "memory:one", "memory:two") == [False, False, False]
    assert held("memory:one", "memory:one") == held(None, None) == [False, True]
    assert held(None, "memory:one", checkpoints=tmp_path / "there") == [False, True]


def test_a_driver_whose_results_are_its_own_is_asked_to_stop_like_any_other(tmp_path: Path) -> None:
    asked, folder = expansion(), tmp_path / "memory-0123456789ab"
    with own_folder(folder, "memory-*"):
        other = holder(folder, asked.trials[0].id)
        (said,) = stop([asked], workspace(tmp_path, None, None))
    assert f"tiny: asked pid {other.pid} " in said
    assert other.wait(timeout=30) == -signal.SIGTERM
    other.communicate()


def everything(folder: Path) -> dict[Path, bytes | None]:
    """Each file and folder in it, and what the files say."""
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def test_what_only_looks_like_claims_is_left_alone_by_stop(tmp_path: Path) -> None:
    asked = expansion()
    ended_folder, near = tmp_path / "memory-0123456789ab", tmp_path / "memory-models"
    for folder in (tmp_path / "x", ended_folder, near):
        (folder / "drivers").mkdir(parents=True)
        (folder / "drivers" / "a.json").write_text("{}")
    (ended_folder / "driver.lock").touch()
    (tmp_path / "memory-ba9876543210").write_text("a file")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "drivers").write_text("a file")
    other = holder(tmp_path / "runs2", asked.trials[0].id)
    before = everything(tmp_path)
    with (near / "driver.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        (said,) = stop([asked], workspace(tmp_path, None, None))
    (near / "driver.lock").unlink()
    assert "nobody trains it" in said and other.poll() is None
    assert everything(tmp_path) == before
    ended(other)


def test_looking_at_claims_makes_and_removes_nothing(claims: Make, tmp_path: Path) -> None:
    other = holder(tmp_path, "a")
    before = everything(tmp_path)
    assert set(claims().held(["a"])) == {"a"} and everything(tmp_path) == before
    ended(other)
    assert claims().held(["a"]) == {} and everything(tmp_path) == before
    (tmp_path / "drivers" / "lock").unlink()  # as of a driver that ends meanwhile
    before = everything(tmp_path)
    assert claims().held(["a"]) == {} and everything(tmp_path) == before
