"""A sweep whose tracker is away, slow or broken ends in the runs and the table of an undisturbed one."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest
from typer.testing import CliRunner, Result

from orchestrator.commands.app import app
from orchestrator.errors import StoreAway
from orchestrator.recording.journal import files as journal_files
from orchestrator.records import SweepInfo
from tests.builders import INFO, outcome, report, table_yaml, trials
from tests.place import own_signals, typed
from tests.proxy import LOOPBACK, Fault, Proxy

pytestmark = pytest.mark.filterwarnings("default")  # MLflow and SQLAlchemy warn about themselves

SECRET = "hunter2"
SEEDS = ("--seeds", "1")
TRIALS = 4


class Tracker(NamedTuple):
    """A tracking server of its own, its database, and the proxy before it."""

    proxy: Proxy
    database: Path
    direct: str

    @property
    def address(self) -> str:
        """The way through the proxy, with user and password."""
        return f"http://user:{SECRET}@{LOOPBACK}:{self.proxy.port}"

    def select(self, query: str) -> list[tuple[Any, ...]]:
        file = f"file:{self.database}?mode=ro"
        with contextlib.closing(sqlite3.connect(file, uri=True, timeout=30)) as database:
            return database.execute(query).fetchall()

    def clear(self) -> None:
        """Forget every run, so that the next test's trials are new."""
        with contextlib.closing(sqlite3.connect(self.database, timeout=30)) as database, database:
            database.execute("UPDATE runs SET lifecycle_stage = 'deleted'")

    @property
    def active(self) -> dict[str, list[str]]:
        """The states of active runs by what they are of; drivers' notes do not count."""
        rows = self.select(
            "SELECT value, status FROM runs JOIN tags USING (run_uuid) "
            "WHERE lifecycle_stage = 'active' AND key = 'orch.kind' AND value != 'driver'"
        )
        return {kind: [state for k, state in rows if k == kind] for kind in {k for k, _ in rows}}

    @property
    def tagged(self) -> list[tuple[str, ...]]:
        """What the active runs of trials say of their lives."""
        return self.select(
            "SELECT t.value, a.value, s.value FROM runs JOIN tags t USING (run_uuid) "
            "JOIN tags a USING (run_uuid) JOIN tags s USING (run_uuid) WHERE lifecycle_stage = 'active' "
            "AND t.key = 'orch.trial_id' AND a.key = 'orch.attempts' AND s.key = 'orch.status' ORDER BY 1"
        )

    @property
    def numbers(self) -> list[tuple[Any, ...]]:
        """Every row of every metric that is not a time, by trial."""
        return self.select(
            "SELECT t.value, m.key, step, m.value FROM metrics m JOIN runs USING (run_uuid) "
            "JOIN tags t USING (run_uuid) WHERE lifecycle_stage = 'active' AND t.key = 'orch.trial_id' "
            "AND m.key NOT LIKE 'time/%' ORDER BY 1, 2, 3, m.timestamp"
        )


class Undisturbed(NamedTuple):
    """What a sweep leaves that meets no fault."""

    table: str
    numbers: list[tuple[Any, ...]]
    tagged: list[tuple[str, ...]]


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracker]:
    folder = tmp_path_factory.mktemp("tracker")
    probe = Proxy(0)
    command = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination", str(folder / "artifacts"), "--host", LOOPBACK, "--port", str(probe.port),
        "--workers", "1",
    ]  # fmt: skip
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            command, env=os.environ | quiet, stdout=log, stderr=log, cwd=folder, start_new_session=True
        )
    direct = f"http://{LOOPBACK}:{probe.port}"
    proxy = Proxy(probe.port)
    try:
        _wait_for(f"{direct}/health", server, folder / "log")
        yield Tracker(proxy, folder / "mlflow.db", direct)
    finally:
        proxy.close()
        os.killpg(server.pid, signal.SIGTERM)  # the server and its one worker: nobody else is in its group
        server.wait(timeout=60)


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text(encoding="utf-8")
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(log.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def undisturbed(tracker: Tracker, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    done = orch(folder, tracker.direct, "sweep", *SEEDS, "--executor", "serial")
    assert done.exit_code == 0, done.output
    found = Undisturbed(done.stdout, tracker.numbers, tracker.tagged)
    tracker.clear()
    return found


@pytest.fixture
def bad(tracker: Tracker, undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tracker]:
    """The tracker behind its proxy, open, without runs; waiting is short."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "0")
    monkeypatch.setattr("orchestrator.recording.journal.delivery.PAUSES_S", (0.02,) * 6)
    monkeypatch.setattr("orchestrator.recording.journal.delivery.AWAY_S", 120.0)  # a busy machine is no fault
    tracker.proxy.rule = lambda number, line: None
    tracker.proxy.requests.clear()
    tracker.proxy.faults.clear()
    tracker.proxy.open()
    yield tracker
    tracker.proxy.close()
    tracker.clear()


def orch(folder: Path, address: str, command: str, *words: str) -> Result:
    """A command in this process: importing torch, MLflow and matplotlib anew would take most of the time."""
    (folder / "sweep.yaml").write_text(table_yaml(), encoding="utf-8")
    file = [str(folder / "sweep.yaml")] if command != "sync" else []
    place = ["--home", str(folder / "runs"), "--tracking-uri", address]
    typed = [command, *file, *words, *place]
    # What is kept of the command has the password in it.
    with mock.patch.object(sys, "argv", ["orch", *typed]), own_signals():
        done = CliRunner().invoke(app, typed)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    assert SECRET not in done.output
    return done


def swept(folder: Path, tracker: Tracker, *, code: int = 0) -> Result:
    done = orch(folder, tracker.address, "sweep", *SEEDS, "--executor", "serial")
    assert done.exit_code == code, done.output
    return done


def check(folder: Path, tracker: Tracker, expected: Undisturbed, *, table: str) -> None:
    """Everything has arrived, exactly once, and no password anywhere."""
    assert tracker.active == {"trial": ["FINISHED"] * TRIALS, "summary": ["FINISHED"]}
    assert tracker.tagged == expected.tagged
    assert tracker.numbers == expected.numbers
    assert table == expected.table
    assert journal_files.folders(folder / "runs" / "journal") == []
    no_secret(folder)
    assert not tracker.select(f"SELECT 1 FROM tags WHERE value LIKE '%{SECRET}%'")
    assert not tracker.select(f"SELECT 1 FROM params WHERE value LIKE '%{SECRET}%'")


def no_secret(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files and not [path for path in files if SECRET.encode() in path.read_bytes()]


@pytest.mark.slow
@pytest.mark.parametrize("delivered_by", ["sync", "sweep"])
def test_a_tracker_that_is_absent_from_start_to_end_has_everything_after_the_next_command(
    bad: Tracker, undisturbed: Undisturbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delivered_by: str
) -> None:
    monkeypatch.setattr("orchestrator.recording.journal.delivery.AWAY_S", 0.5)
    bad.proxy.close()
    first = swept(tmp_path, bad, code=4)
    assert "orch sync" in first.stderr and first.stdout == undisturbed.table
    assert bad.active == {} and list((tmp_path / "runs").rglob("*.jsonl"))
    no_secret(tmp_path)  # the journal is full now
    bad.proxy.open()
    for command in ("status", "table"):  # what waits is seen by readers, who deliver nothing
        seen = orch(tmp_path, bad.address, command, *SEEDS)
        assert seen.exit_code == 0
        assert "4 completed" in seen.stdout or seen.stdout == undisturbed.table
    assert bad.active == {}
    if delivered_by == "sync":
        assert orch(tmp_path, bad.address, "sync").exit_code == 0
        assert not any(len(kind) > TRIALS for kind in bad.active.values())
    again = swept(tmp_path, bad)
    assert "nothing to do: all 4 trials" in again.stderr
    check(tmp_path, bad, undisturbed, table=again.stdout)


@pytest.mark.slow
def test_a_tracker_that_goes_away_in_the_middle_has_everything_when_it_is_back(
    bad: Tracker, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    bad.proxy.rule = lambda number, line: Fault("dropped") if 30 <= number < 60 else None
    done = swept(tmp_path, bad)
    assert len(bad.proxy.faults) == 30
    check(tmp_path, bad, undisturbed, table=done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("status", [500, 404, 429, 503])
def test_a_proxy_that_answers_for_the_tracker_now_and_then_costs_nothing(
    bad: Tracker, undisturbed: Undisturbed, tmp_path: Path, status: int
) -> None:
    own = Fault("answered", status)
    rng = random.Random(status)
    bad.proxy.rule = lambda number, line: own if 40 <= number < 50 or rng.random() < 0.1 else None
    done = swept(tmp_path, bad)
    assert len(bad.proxy.faults) > 10
    check(tmp_path, bad, undisturbed, table=done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_answers_that_are_cut_anywhere_cost_nothing(
    bad: Tracker, undisturbed: Undisturbed, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    bad.proxy.rule = lambda number, line: (
        Fault("cut", rng.choice([rng.randrange(40), rng.randrange(400)])) if rng.random() < 0.3 else None
    )
    done = swept(tmp_path, bad)
    assert len(bad.proxy.faults) > 10
    check(tmp_path, bad, undisturbed, table=done.stdout)


@pytest.mark.slow
def test_lost_answers_make_nothing_twice(bad: Tracker, undisturbed: Undisturbed, tmp_path: Path) -> None:
    creations = itertools.count()

    def lost(number: int, line: str) -> Fault | None:
        if "/runs/create" in line:  # MLflow's client asks again: every run is made twice
            return Fault("lost") if next(creations) % 2 == 0 else None
        return Fault("lost") if number % 5 == 3 else None

    bad.proxy.rule = lost
    done = swept(tmp_path, bad)
    assert next(creations) >= 2 * (TRIALS + 1)
    check(tmp_path, bad, undisturbed, table=done.stdout)


@pytest.mark.slow
def test_whatever_goes_wrong_at_once_costs_nothing(
    bad: Tracker, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    rng = random.Random(0)
    faults = [
        Fault("dropped"),
        Fault("lost"),
        Fault("cut", 99),
        Fault("delayed", 0.3),
        Fault("answered", 502),
    ]
    bad.proxy.rule = lambda number, line: rng.choice(faults) if rng.random() < 0.4 else None
    done = swept(tmp_path, bad)
    assert {fault.kind for fault in bad.proxy.faults} == {fault.kind for fault in faults}
    check(tmp_path, bad, undisturbed, table=done.stdout)


@pytest.mark.slow
def test_what_a_killed_driver_could_not_deliver_arrives_with_the_next_command(
    bad: Tracker, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    bad.proxy.close()
    (tmp_path / "sweep.yaml").write_text(table_yaml(), encoding="utf-8")
    sweep = typed("sweep", "sweep.yaml", *SEEDS, "--executor", "serial")
    command = [*sweep, "--tracking-uri", bad.address, "--home", str(tmp_path / "runs")]
    driver = subprocess.Popen(
        [*command, "--json"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert driver.stdout is not None
    for line in driver.stdout:
        if json.loads(line)["event"] == "finished":
            break
    driver.kill()
    driver.stdout.close()
    driver.wait(timeout=60)
    assert bad.active == {}
    bad.proxy.open()
    synced = orch(tmp_path, bad.address, "sync")
    assert synced.exit_code == 0 and "FINISHED" in bad.active["trial"]
    table = swept(tmp_path, bad).stdout
    attempts = sum(int(attempts) for _, attempts, _ in bad.tagged)
    assert TRIALS <= attempts <= TRIALS + 1  # the one that was cut short has two
    check(tmp_path, bad, undisturbed._replace(tagged=bad.tagged), table=table)


# One trial's life, told to the store itself.


def lose_every_first_answer(tracker: Tracker) -> None:
    """Each kind of request is passed on and its answer lost, then answered, in turn."""
    counts: Counter[str] = Counter()

    def rule(number: int, line: str) -> Fault | None:
        kind = line.partition("?")[0]
        counts[kind] += 1
        return Fault("lost") if counts[kind] % 2 else None

    tracker.proxy.rule = rule


def test_a_stopped_trial_goes_on_though_every_first_answer_is_lost(bad: Tracker) -> None:
    from orchestrator.recording.mlflow.store import MlflowStore

    store, trial = MlflowStore(bad.address), trials(1)[0]
    store.begin(trial.facts, INFO, attempt="a1")
    store.finish(trial.id, outcome(status="stopped", reason="old"), INFO)
    lose_every_first_answer(bad)
    store.begin(trial.facts, INFO, attempt="a2")
    store.report(trial.id, report(1))
    store.finish(trial.id, outcome(0.6), INFO)
    record = store.records([trial.id])[trial.id]
    assert (record.status, record.reason, record.attempts) == ("completed", None, 2)


def test_a_deleted_experiment_is_taken_up_again_though_every_first_answer_is_lost(bad: Tracker) -> None:
    from orchestrator.recording.mlflow.store import MlflowStore

    gone = SweepInfo(name="gone", profile=None, provenance=INFO.provenance)
    store = MlflowStore(bad.address)
    store.publish(gone, {"main.md": b"x"}, content="old")
    store._client.delete_experiment(store._experiment(gone))
    lose_every_first_answer(bad)
    again = MlflowStore(bad.address)
    again.publish(gone, {"main.md": b"x"}, content="new")
    assert again.published(gone) == "new"


def test_what_the_tracker_refuses_of_one_trial_is_set_aside_and_stops_no_other(
    bad: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.recording.journal.store import JournaledStore
    from orchestrator.recording.mlflow.store import MlflowStore

    monkeypatch.setattr("orchestrator.recording.mlflow.store.FLUSH_S", 0.0)
    monkeypatch.setattr("orchestrator.recording.journal.delivery.IDLE_S", 0.05)
    store = JournaledStore(lambda: MlflowStore(bad.address), root=tmp_path, name="test")
    (strange, plain) = trials(2)
    store.begin(strange.facts, INFO)
    store.begin(plain.facts, INFO)
    store.report(strange.id, report(1, **{"what?#": 0.5}))
    store.report(plain.id, report(1))
    store.finish(strange.id, outcome(), INFO)
    store.finish(plain.id, outcome(), INFO)
    store.flush()
    time.sleep(0.3)  # as long as it takes to write what is buffered, again
    assert (store.waits, store.away) == (True, None)  # it is set aside, and told of
    store.close()
    assert [path.name for path in tmp_path.rglob("*.jsonl*")] == [f"000001-{strange.id}.jsonl.refused"]
    assert MlflowStore(bad.address).records([plain.id])[plain.id].is_done


def test_an_attempt_that_a_later_one_took_over_changes_nothing_when_it_arrives_late(bad: Tracker) -> None:
    from orchestrator.recording.mlflow.store import MlflowStore

    store, trial = MlflowStore(bad.direct), trials(1)[0]
    store.begin(trial.facts, INFO, attempt="a1", worker="node1:1")
    store = MlflowStore(bad.direct)
    store.begin(trial.facts, INFO, attempt="a2", worker="node2:2")
    store.finish(trial.id, outcome(status="failed", reason="new"), INFO)
    before = store.records([trial.id])
    late = MlflowStore(bad.direct)
    late.begin(trial.facts, INFO, attempt="a1", worker="node1:1")
    late.finish(trial.id, outcome(status="stopped", reason="old"), INFO)
    assert late.records([trial.id]) == before


@pytest.mark.slow
def test_a_trial_whose_run_was_deleted_ends_in_one_run_though_the_tracker_goes_away_meanwhile(
    bad: Tracker,
) -> None:
    from orchestrator.recording.mlflow.store import MlflowStore

    store, trial = MlflowStore(bad.address), trials(1)[0]
    store.begin(trial.facts, INFO, attempt="a1")
    store.report(trial.id, report(1))
    bad.clear()
    for patience in itertools.count(1):  # each time the tracker goes away one request later
        allowed = itertools.count()
        bad.proxy.rule = lambda number, line: Fault("dropped") if next(allowed) >= patience else None  # noqa: B023
        try:
            store.finish(trial.id, outcome(0.6), INFO)
            break
        except StoreAway:
            continue
    bad.proxy.rule = lambda number, line: None
    assert bad.active == {"trial": ["FINISHED"]}
    assert MlflowStore(bad.address).records([trial.id])[trial.id].metrics["probe/top1"] == 0.6
    assert ("train/loss", 1) in {(key, step) for _, key, step, _ in bad.numbers}
