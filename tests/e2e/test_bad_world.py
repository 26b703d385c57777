"""A world that does not play along: full or read-only disks, broken files, deleted runs. Nothing is lost."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.builders import table_yaml
from tests.place import typed

SWEEP = table_yaml().replace("epochs: 2\n  probe", "epochs: 40\n  probe").replace("seeds: 2", "seeds: 1")
TRIALS = 4
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # MLflow and SQLAlchemy warn about themselves
]


ALIVE: list[subprocess.Popen[str]] = []


def started(folder: Path, *words: str) -> subprocess.Popen[str]:
    command = typed("sweep", "sweep.yaml", "--executor", "serial")
    ALIVE.append(
        subprocess.Popen(
            [*command, *words], cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    )
    return ALIVE[-1]


@pytest.fixture(autouse=True)
def nothing_outlives_its_test() -> Iterator[None]:
    yield
    while ALIVE:
        process = ALIVE.pop()
        if process.poll() is None:
            process.kill()
            process.communicate()


def swept(folder: Path, *words: str, code: int = 0) -> tuple[str, str]:
    """Standard output and error of a whole sweep."""
    process = started(folder, *words)
    out, errors = process.communicate(timeout=300)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    return out, errors


def until(condition: object, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The table of an undisturbed sweep."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "sweep.yaml").write_text(SWEEP, encoding="utf-8")
    return swept(folder)[0]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "sweep.yaml").write_text(SWEEP, encoding="utf-8")
    return tmp_path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 260 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=260m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("needs the right to mount a file system")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def active_trials(home: Path) -> int:
    with sqlite3.connect(home / "mlflow.db") as database:
        query = (
            "SELECT count(*) FROM runs JOIN tags ON runs.run_uuid = tags.run_uuid AND key = 'orch.kind' "
            "WHERE value = 'trial' AND lifecycle_stage = 'active' AND status = 'FINISHED'"
        )
        return int(database.execute(query).fetchone()[0])


def test_a_disk_that_fills_up_stops_the_sweep_in_one_line_and_loses_nothing(
    place: Path, small_disk: Path, table: str
) -> None:
    home = small_disk / "runs"
    driver = started(place, "--home", str(home))
    until(lambda: list(home.glob("trials/*/epoch-*.pt")))
    with pytest.raises(OSError), (small_disk / "fill").open("wb", buffering=0) as file:
        while True:
            if not file.write(b"0" * 2**20):
                break
    _, errors = driver.communicate(timeout=120)
    last = errors.strip().splitlines()[-2:]
    assert driver.returncode in (3, 4) and "Traceback" not in errors, errors
    assert any("No space left" in line or "disk is full" in line for line in errors.splitlines()), last
    (small_disk / "fill").unlink()
    assert swept(place, "--home", str(home))[0] == table
    assert active_trials(home) == TRIALS


def test_a_disk_that_turns_read_only_is_one_line(place: Path, small_disk: Path, table: str) -> None:
    home = small_disk / "runs"
    driver = started(place, "--home", str(home))
    until(lambda: list(home.glob("trials/*/epoch-*.pt")))
    driver.kill()
    driver.communicate()
    remount = ["mount", "-o", "remount,ro", str(small_disk)]
    subprocess.run(remount, check=True)
    _, errors = swept(place, "--home", str(home), code=2)
    assert "choose another" in errors.strip().splitlines()[-1]
    subprocess.run([*remount[:2], "remount,rw", str(small_disk)], check=True)
    assert swept(place, "--home", str(home))[0] == table


@pytest.mark.parametrize("damage", ["truncated", "noise", "empty"])
def test_a_broken_checkpoint_is_passed_over_for_the_one_before(place: Path, damage: str, table: str) -> None:
    driver = started(place)
    until(lambda: len(list(place.glob("runs/trials/*/epoch-*.pt"))) >= 2)
    driver.kill()
    driver.communicate()
    newest = max(place.glob("runs/trials/*/epoch-*.pt"))
    content = newest.read_bytes()
    broken = {"truncated": content[: len(content) // 2], "noise": os.urandom(len(content)), "empty": b""}
    newest.write_bytes(broken[damage])
    assert swept(place)[0] == table


def test_a_trial_whose_run_was_deleted_is_trained_again(place: Path, table: str) -> None:
    from mlflow import MlflowClient

    swept(place)
    home = place / "runs"
    client = MlflowClient(tracking_uri=f"sqlite:///{home / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tiny")
    trial = client.search_runs([experiment.experiment_id], "tags.`orch.kind` = 'trial'", max_results=1)[0]
    client.delete_run(trial.info.run_id)
    out, errors = swept(place)
    assert out == table and errors.count(": completed") == 1 and active_trials(home) == TRIALS


def test_a_run_that_is_deleted_while_its_trial_is_trained_is_made_anew_with_every_epoch(
    place: Path, table: str
) -> None:
    from mlflow import MlflowClient

    driver = started(place)
    home = place / "runs"
    until(lambda: list(home.glob("trials/*/epoch-*.pt")))
    client = MlflowClient(tracking_uri=f"sqlite:///{home / 'mlflow.db'}")
    until(lambda: client.get_experiment_by_name("tiny") is not None)
    experiment = client.get_experiment_by_name("tiny").experiment_id
    until(lambda: client.search_runs([experiment]))
    first = client.search_runs([experiment], order_by=["attributes.start_time ASC"])[0]
    client.delete_run(first.info.run_id)
    out, errors = driver.communicate(timeout=300)
    assert driver.returncode == 0, errors
    assert out == table and active_trials(home) == TRIALS
    (made,) = client.search_runs([experiment], f"tags.`orch.trial_id` = '{first.data.tags['orch.trial_id']}'")
    history = client.get_metric_history(made.info.run_id, "train/loss")
    assert sorted({metric.step for metric in history}) == list(range(1, 41))
    assert len(history) == 40 + 1  # and the final number


def test_drivers_that_share_only_a_store_train_each_trial_once_and_one_takes_over_from_a_dead_other(
    place: Path, table: str
) -> None:
    shared = ["--tracking-uri", f"sqlite:///{place / 'shared.db'}"]
    first = started(place, *shared, "--home", "first")
    until(lambda: list(place.glob("first/trials/*/epoch-*.pt")))
    second = started(place, *shared, "--home", "second")
    assert second.stderr is not None
    seen = []
    while not any(f"which pid {first.pid} on" in line for line in seen):
        seen.append(second.stderr.readline())
        assert seen[-1], seen
    first.kill()
    first.communicate()
    out, rest = second.communicate(timeout=300)
    assert second.returncode == 0, rest
    assert out == table
    with sqlite3.connect(place / "shared.db") as database:
        kinds = "SELECT value, status, count(*) FROM runs JOIN tags USING (run_uuid) "
        rows = database.execute(kinds + "WHERE key = 'orch.kind' GROUP BY value, status").fetchall()
    assert dict(((kind, state), number) for kind, state, number in rows) == {
        ("trial", "FINISHED"): TRIALS,
        ("summary", "FINISHED"): 1,
        ("driver", "KILLED"): 1,
        ("driver", "FINISHED"): 1,
    }


def test_a_truncated_image_is_one_line_that_names_it_and_costs_no_other_trial(place: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    for split, number in (("train", 64), ("test", 16)):
        for label in ("a", "b"):
            (place / "images" / split / label).mkdir(parents=True)
            for index in range(number):
                pixels = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / "images" / split / label / f"{index:03d}.png")
    broken = place / "images" / "train" / "a" / "007.png"
    broken.write_bytes(broken.read_bytes()[:60])
    text = (place / "sweep.yaml").read_text(encoding="utf-8")
    folder = f"{{name: image_folder, label: mine, root: {place / 'images'}, size: 8}}"
    text = text.replace("data: {name: shapes, size: 8, train: 128, test: 64}", f"data: {folder}")
    (place / "sweep.yaml").write_text(text, encoding="utf-8")
    _, errors = swept(place, code=3)
    assert f"cannot decode {broken}" in errors and "failed in their data" in errors


def test_no_port_is_opened_beyond_loopback(place: Path) -> None:
    """Every socket that a sweep on Ray listens on."""
    command = typed("sweep", "sweep.yaml", "--json")
    driver = subprocess.Popen(command, cwd=place, text=True, stdout=subprocess.PIPE, start_new_session=True)
    assert driver.stdout is not None
    for line in driver.stdout:
        if json.loads(line).get("event") == "progressed":
            break
    listening = set()
    for process in descendants(driver.pid):
        listening |= listeners(process)
    driver.terminate()
    driver.communicate(timeout=120)
    assert listening, "Ray listens somewhere"
    assert {address for address, _ in listening} <= {"127.0.0.1", "::1"}, listening


def descendants(pid: int) -> set[int]:
    """A process and everything it started, also what has moved to a session of its own."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(status.parent.name)] = int(fields[1])
    found = {pid}
    while True:
        more = {child for child, parent in parents.items() if parent in found} - found
        if not more:
            return found
        found |= more


def listeners(pid: int) -> set[tuple[str, int]]:
    """(address, port) of each TCP socket that a process listens on."""
    try:
        inodes = {
            os.readlink(link).removeprefix("socket:[").rstrip("]")
            for link in Path(f"/proc/{pid}/fd").iterdir()
            if os.readlink(link).startswith("socket:")
        }
        lines = [
            (kind, line.split())
            for kind in ("tcp", "tcp6")
            for line in Path(f"/proc/{pid}/net/{kind}").read_text().splitlines()[1:]
        ]
    except OSError:
        return set()
    return {
        (_address(kind, fields[1]), int(fields[1].rpartition(":")[2], 16))
        for kind, fields in lines
        if fields[3] == "0A" and fields[9] in inodes
    }


def _address(kind: str, field: str) -> str:
    number = bytes.fromhex(field.partition(":")[0])
    if kind == "tcp":
        return ".".join(str(byte) for byte in reversed(number))
    words = b"".join(number[start : start + 4][::-1] for start in range(0, 16, 4))
    if words[:12] == b"\0" * 10 + b"\xff\xff":
        return ".".join(str(byte) for byte in words[12:])
    return {b"\0" * 16: "::", b"\0" * 15 + b"\1": "::1"}.get(words, words.hex())
