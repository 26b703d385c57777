"""Checkpoints outside the home folder: on S3, or in a folder of their own; and how a wrong place is told."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.builders import TINY, table_yaml, yaml
from tests.place import FIGURES, Place, typed
from tests.proxy import LOOPBACK, Fault, Proxy
from tests.storage import Storage
from trainers.attempt.folders import S3Folder

SWEEP = ("sweep", "sweep.yaml", "--executor", "serial", "--seeds", "1")
AXES = "axes: {ema: {EMA: {method.momentum: 0.9}, No EMA: {method.momentum: 0}}}\n"
LONG = (
    yaml(TINY).replace("epochs: 2\n  probe", "epochs: 40\n  probe")
    + AXES
    + "tables: [{name: t, rows: ema}]\n"
)


@pytest.mark.slow
def test_a_trial_goes_on_from_s3_on_another_machine_to_the_same_numbers(
    ready: Place, s3: S3Folder, storage: Storage, database: Path
) -> None:
    ready.write(LONG)
    for home in ("one", "undisturbed"):
        (ready.folder / home).mkdir()
        shutil.copy(database, ready.folder / home)
    command = typed(*SWEEP, "--checkpoints", str(s3), "--home", "one")
    with subprocess.Popen(command, cwd=ready.folder, stderr=subprocess.PIPE, text=True) as running:
        waited = time.monotonic()
        while not any("epoch-" in key for key in storage.keys(s3.bucket)) and time.monotonic() - waited < 120:
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        _, told = running.communicate(timeout=120)
    assert running.returncode == 130 and f"--checkpoints {s3}" in told, told
    assert not (ready.folder / "one" / "trials").exists()
    resumed = ready.orch(*SWEEP, "--home", "runs", ORCH_CHECKPOINTS=str(s3))
    assert re.search(rf"goes on from its checkpoint after epoch \d+, in {s3}", resumed.stderr)
    assert not (ready.folder / "runs" / "trials").exists() and not storage.keys(s3.bucket)
    assert resumed.stdout == ready.orch(*SWEEP, "--home", "undisturbed").stdout


@pytest.mark.slow
def test_workers_of_ray_keep_checkpoints_on_s3(ready: Place, s3: S3Folder, storage: Storage) -> None:
    ready.write(table_yaml() + FIGURES)
    words = ("sweep", "sweep.yaml", "--seeds", "1", "--checkpoints", str(s3), "--keep-checkpoints")
    done = ready.process(*words)
    assert done.stderr.count(": completed") + done.stderr.count(": collapsed") == 4
    assert len(storage.keys(s3.bucket)) == 8 and not (ready.folder / "runs" / "trials").exists()


@pytest.mark.slow
def test_a_folder_for_checkpoints_is_used_and_left_empty(ready: Place) -> None:
    words = (*SWEEP, "--checkpoints", "elsewhere")
    ready.orch(*words, "--keep-checkpoints")
    assert len(list((ready.folder / "elsewhere").rglob("epoch-*.pt"))) == 8
    assert not (ready.folder / "runs" / "trials").exists()
    assert "no checkpoints are left" not in ready.orch(*words, "--keep-checkpoints").stderr
    elsewhere = ready.orch(*SWEEP, "--keep-checkpoints").stderr
    assert "no checkpoints are left of 4 trials done before: --keep-checkpoints keeps those of " in elsewhere


@pytest.mark.slow
def test_storage_that_fails_in_mid_sweep_fails_trials_that_retry_then_cures(
    ready: Place, s3: S3Folder, storage: Storage
) -> None:
    proxy, away = Proxy(storage.port), [False]
    proxy.rule = lambda number, line: Fault("answered", 503) if _is_late(proxy, line, away) else None
    proxy.open()
    environment = {"AWS_ENDPOINT_URL": f"http://{LOOPBACK}:{proxy.port}", "AWS_MAX_ATTEMPTS": "1"}
    words = ("sweep.yaml", "--executor", "serial", "--checkpoints", str(s3), "--seeds", "1")
    failed = ready.orch("sweep", *words, code=3, **environment)
    assert failed.stderr.count(": failed  s3://") == 3 and "answers with an error (503)" in failed.stderr
    told = ready.orch("why", "sweep.yaml", "No EMA · regular", "--seed", "0").stdout
    assert "bring S3 back, then `orch retry sweep.yaml 'No EMA · regular' --seeds 0,`" in told
    proxy.rule = lambda number, line: None
    cured = ready.orch("retry", *words, **environment)
    proxy.close()
    assert cured.stderr.count(": completed") + cured.stderr.count(": collapsed") == 3


def _is_late(proxy: Proxy, line: str, away: list[bool]) -> bool:
    """Whether the storage is away: from the second trial's first write on, for good."""
    written = {one.split("/")[3] for one in proxy.requests if one.startswith("PUT") and "epoch-" in one}
    mine = line.split("/")[3] if line.startswith("PUT") and "epoch-" in line else None
    away[0] = away[0] or bool(mine and written and mine not in written)
    return away[0]


BAD = {
    "a bucket that is not there": ("s3://nobucket/x", "no bucket 'nobucket'; make it"),
    "another kind of storage": ("gs://bucket/x", "expected a folder or s3://bucket/prefix, not 'gs:'"),
    "no bucket": ("s3://", "expected s3://bucket/prefix"),
    "a file": ("sweep.yaml", "choose another folder"),
    "a folder below a file": ("sweep.yaml/x", "choose another folder"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_wrong_place_for_checkpoints_is_one_line_and_exit_code_2(
    ready: Place, s3: S3Folder, what: str
) -> None:
    text, says = BAD[what]
    told = ready.orch(*SWEEP, "--checkpoints", text, code=2).stderr
    assert (
        says in told.splitlines()[-1] and len(told.splitlines()) <= 2
    )  # a sweep says first what it is about
    assert not list(ready.folder.rglob("*.pt"))


@pytest.mark.parametrize("command", ["sweep", "retry", "submit"])
@pytest.mark.parametrize(
    "text", ["s3://KEY:hidden@bucket/x", "s3://KEY:hid/hidden@bucket/x", "s3://bucket/x?secret_key=hidden"]
)
def test_credentials_in_the_place_for_checkpoints_are_refused_and_shown_nowhere(
    ready: Place, command: str, text: str
) -> None:
    words = ("--address", "http://127.0.0.1:9") if command == "submit" else ("--executor", "serial")
    told = ready.orch(command, "sweep.yaml", *words, "--checkpoints", text, code=2).stderr
    assert "AWS_" in told and len(told.splitlines()) == 1 and "hidden" not in told
    kept = [path for path in (ready.folder / "runs").rglob("*") if path.is_file()]
    assert kept and not [path for path in kept if b"hidden" in path.read_bytes()]


def test_a_wrong_place_in_the_environment_hinders_no_command_that_trains_nothing(ready: Place) -> None:
    ready.orch("status", "sweep.yaml", ORCH_CHECKPOINTS="gs://bucket")
    assert "not 'gs:'" in ready.orch(*SWEEP, code=2, ORCH_CHECKPOINTS="gs://bucket").stderr
    assert "not 'gs:'" in ready.orch("doctor", code=2, ORCH_CHECKPOINTS="gs://bucket").stdout


def test_a_submitted_sweep_takes_no_folder_that_means_another_one_there(ready: Place) -> None:
    words = ("submit", "sweep.yaml", "--address", "http://127.0.0.1:9", "--checkpoints", "mine")
    assert "expected a folder of the cluster's nodes from the root" in ready.orch(*words, code=2).stderr
