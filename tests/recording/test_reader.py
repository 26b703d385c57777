"""A store's file is read without MLflow, and what is read is what MLflow says."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from orchestrator.errors import StoreAway, StoreError, StoreLocked
from orchestrator.recording.journal.finished import FinishedTrials
from orchestrator.recording.journal.store import JournaledStore
from orchestrator.recording.mlflow.reader import SqliteReader
from orchestrator.recording.store_port import CannotTell, Store
from orchestrator.recording.trial_files import SPECTRA
from orchestrator.records import Provenance, SweepInfo
from tests.builders import INFO, expansion, outcome, report, table_yaml, trials
from tests.marks import but_first_slow
from tests.place import Place

pytestmark = pytest.mark.filterwarnings("default")  # MLflow and SQLAlchemy warn about themselves
OTHER = SweepInfo(name="other", profile="paper", provenance=Provenance(code_version="abc123"))
IDS = [trial.id for trial in expansion().trials]
STRANGERS = [f"{number:012x}" for number in range(400)]


class Both(NamedTuple):
    """One file, as MLflow has it and as it is read."""

    file: Path
    store: Store
    reader: SqliteReader

    def agree(self) -> None:
        """Check that both say the same, whatever they are asked."""
        for ids in ([], IDS[:1], IDS[3:5], IDS, [*IDS, *STRANGERS]):
            assert self.reader.records(ids) == self.store.records(ids)
        for sweep in (INFO, OTHER):
            assert self.reader.asked_for(sweep.name) == self.store.asked_for(sweep.name)
            assert self.reader.published(sweep) == self.store.published(sweep)

    def run_of(self, number: int) -> str:
        """MLflow's name of a trial's run."""
        return str(self.store.records([IDS[number]])[IDS[number]].run)

    def changed(self, statement: str, *values: str) -> None:
        """Change the file below MLflow."""
        with contextlib.closing(sqlite3.connect(self.file)) as base, base:
            base.execute(statement, values)


@pytest.fixture
def both(tmp_path: Path, database: Path) -> Both:
    """A store with a trial of each kind."""
    from orchestrator.recording.mlflow.store import MlflowStore

    file = tmp_path / "what?a #home%" / "mlflow.db"
    file.parent.mkdir()
    shutil.copy(database, file)
    from orchestrator.recording.mlflow.database import address_of

    store = MlflowStore(address_of(file), artifacts=tmp_path / "artifacts")
    ends = ("completed", "collapsed", "diverged", "pruned", "failed", "stopped", None)
    for number, (trial, status) in enumerate(zip(expansion().trials, ends, strict=False)):
        store.begin(trial.facts, INFO, worker="host:7")
        store.report(trial.id, report(1, **{"probe/top1": 0.1, "modes/gone": 0.2}))
        if status is not None:
            details = {
                "collapse": {"verdict": "dimensional"},
                "source": {"a.py": "1"},
                "data_fingerprint": "d",
            }
            last = outcome(1 / (3 + number), status=status, reason="because", details=details)
            store.finish(trial.id, last, INFO)
    store.adopt({IDS[0]: "zero", IDS[2]: "two"}, OTHER)
    store.publish(INFO, {"main.md": b"x"}, content="shown")
    store.flush()
    return Both(file, store, SqliteReader(file, name="test"))


def test_of_every_kind_of_trial_the_same_is_read(both: Both) -> None:
    both.agree()
    found = both.reader.records(IDS)
    assert len(found) == 7 and found[IDS[0]].metrics == {"probe/top1": 1 / 3}
    assert both.reader.published(INFO) == "shown" and len(both.reader.asked_for("other")) == 2


def test_what_a_person_or_another_driver_changes_is_seen_at_once(both: Both) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=both.store.uri)  # type: ignore[attr-defined]
    first, second, third = (both.run_of(number) for number in range(3))
    client.delete_run(first)
    both.agree()
    assert IDS[0] not in both.reader.records(IDS)
    client.restore_run(first)
    client.set_tag(first, "orch.status", "failed")
    client.delete_tag(second, "orch.collapse")
    both.agree()
    assert both.reader.records(IDS)[IDS[0]].status == "failed"
    client.log_metric(second, "probe/top1", 0.125, step=9)
    client.set_terminated(both.run_of(6), "KILLED")
    both.store.set_aside([IDS[3]])
    client.log_metric(third, "late", 2.0)
    both.agree()
    assert both.reader.records(IDS)[IDS[1]].metrics["probe/top1"] == 0.125
    assert both.reader.records(IDS)[IDS[6]].status == "stopped"
    twin = client.create_run(client.get_run(first).info.experiment_id, tags={"orch.trial_id": IDS[0]})
    both.agree()  # the oldest of two counts ...
    client.delete_run(first)
    both.store._runs.clear()  # type: ignore[attr-defined]
    both.agree()  # ... while it is there
    assert both.reader.records(IDS)[IDS[0]].run == twin.info.run_id
    client.delete_experiment(client.get_run(second).info.experiment_id)
    both.store._runs.clear()  # type: ignore[attr-defined]
    for ids in (IDS, STRANGERS):
        assert both.reader.records(ids) == both.store.records(ids) == {}


@pytest.mark.parametrize(
    ("statement", "values"),
    but_first_slow(
        [
            ("update tags set value = 'marvellous' where key = 'orch.status' and run_uuid = ?", ()),
            ("update latest_metrics set is_nan = 1, value = 0 where run_uuid = ?", ()),
            ("update latest_metrics set value = 1.7976931348623157e308 where run_uuid = ?", ()),
            ("update tags set value = '[' where key = 'orch.source' and run_uuid = ?", ()),
            ("update tags set value = 'x' where key = 'orch.attempts' and run_uuid = ?", ()),
        ]
    ),
)
def test_a_run_that_was_edited_is_told_or_read_in_the_same_words(
    both: Both, statement: str, values: tuple[str, ...]
) -> None:
    both.changed(statement, both.run_of(0), *values)

    def told(source: Store | SqliteReader) -> object:
        try:
            return source.records(IDS)
        except StoreError as error:
            return str(error)

    assert told(both.reader) == told(both.store)


def test_of_a_file_that_another_mlflow_has_made_nothing_is_said(both: Both) -> None:
    both.changed("update alembic_version set version_num = 'of_tomorrow'")
    for ask in (lambda: both.reader.records(IDS), lambda: both.reader.asked_for("tiny")):
        with pytest.raises(CannotTell):
            ask()


@pytest.mark.parametrize("content", [b"", b"no database", None])
def test_of_a_damaged_file_nothing_is_said(both: Both, content: bytes | None) -> None:
    whole = both.file.read_bytes()
    both.file.write_bytes(whole[:4096] + b"\x07" * 40960 if content is None else content)
    with pytest.raises(CannotTell):
        both.reader.records(IDS)


def test_with_workspaces_which_mlflow_alone_knows_nothing_is_said(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_WORKSPACES", "true")
    with pytest.raises(CannotTell):
        both.reader.records(IDS)


def test_a_file_that_another_process_writes_to_is_waited_for(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.recording.mlflow.reader.WAIT_S", 0.05)
    with contextlib.closing(sqlite3.connect(both.file, isolation_level=None)) as base:
        base.execute("begin exclusive")
        with pytest.raises(StoreLocked, match="another process writes to it"):
            both.reader.records(IDS)
    assert len(both.reader.records(IDS)) == 7


def test_where_no_file_is_nothing_is_known_and_none_is_made(tmp_path: Path) -> None:
    reader = SqliteReader(tmp_path / "mlflow.db", name="test")
    assert (reader.records(IDS), reader.asked_for("tiny"), reader.published(INFO)) == ({}, {}, None)
    assert not any(tmp_path.iterdir())


def test_a_store_that_is_away_is_not_waited_for_twice(tmp_path: Path) -> None:
    tries = []

    def connect() -> Store:
        tries.append(1)
        raise StoreAway("the tracker does not answer")

    known = FinishedTrials(tmp_path, store="test")
    store = JournaledStore(connect, root=tmp_path, name="test", known=known)
    store.open()
    assert len(tries) == 1 and store.away


def test_a_store_that_is_read_is_opened_by_what_is_written_first(tmp_path: Path, both: Both) -> None:
    tries = []

    def connect() -> Store:
        tries.append(1)
        return both.store

    store = JournaledStore(connect, root=tmp_path / "journal", name="test", reader=both.reader)
    store.carry()
    store.adopt({IDS[0]: "zero"}, OTHER)  # which it has asked for already
    store.flush()
    assert len(store.records(IDS)) == 7 and not tries
    store.adopt({IDS[1]: "one"}, OTHER)
    store.flush()
    store.close()
    assert len(tries) == 1 and set(both.reader.asked_for("other")) == set(IDS[:3])


@pytest.fixture
def answered(ready: Place) -> Iterator[Place]:
    """A place whose sweep is done, and its table kept."""
    from orchestrator.recording.mlflow.store import MlflowStore

    home = ready.folder / "runs"
    store = MlflowStore(f"sqlite:///{home / 'mlflow.db'}", artifacts=home / "artifacts")
    for trial in trials(8):
        store.begin(trial.facts, INFO)
        store.report(trial.id, report(1))
        store.finish(trial.id, outcome(), INFO)
    ready.write(table_yaml())
    ready.orch("sweep", "sweep.yaml")
    yield ready


@pytest.mark.slow
def test_commands_that_have_nothing_to_write_load_no_mlflow(answered: Place) -> None:
    commands = [["table"], ["why", IDS[0]], ["status"], ["plan"], ["sweep"]]
    words = [[name, "sweep.yaml", *more] for name, *more in commands]
    text = table_yaml() + "figures: [{kind: curves, columns: [train/loss]}]\n"
    (answered.folder / "drawn.yaml").write_text(text, encoding="utf-8")
    drawn = [
        ["figures", "drawn.yaml"],
        ["report", "drawn.yaml"],
        ["compare", "drawn.yaml", "EMA · symmetric", "EMA · regular"],
    ]
    code = (
        "import sys\nfrom orchestrator.commands.app import app\n"
        f"for words in {words!r}:\n"
        "    try: app(words)\n    except SystemExit as end: assert not end.code, (words, end.code)\n"
        "    assert not {'mlflow', 'sqlalchemy', 'ray', 'torch'} & sys.modules.keys(), words\n"
        "    bundles = 'orchestrator.recording.bundle.reading'\n"  # for those that take several files
        "    assert words[0] not in ('table', 'why') or bundles not in sys.modules\n"
        "from orchestrator.answer.formats import _latex\n"
        "assert not _latex._formula.cache_info().currsize\n"  # which a table in text does not need
        f"for words in {drawn!r}:\n"
        "    try: app(words)\n    except SystemExit as end: assert not end.code, (words, end.code)\n"
        "    assert not {'mlflow', 'sqlalchemy', 'ray'} & sys.modules.keys(), words\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=answered.folder, capture_output=True, text=True
    )
    assert not done.returncode, done.stderr[-2000:]


def test_a_sweep_with_nothing_to_do_writes_nothing(answered: Place) -> None:
    file = answered.folder / "runs" / "mlflow.db"
    before = file.read_bytes()
    assert "nothing to do" in answered.orch("sweep", "sweep.yaml").stderr
    assert file.read_bytes() == before and not list(answered.folder.glob("runs/journal/*/"))


@pytest.mark.slow
def test_a_sweep_of_another_name_is_told_to_the_store_once(answered: Place) -> None:
    answered.write(table_yaml().replace("name: tiny", "name: other"))
    reader = SqliteReader(answered.folder / "runs" / "mlflow.db", name="test")
    assert reader.asked_for("other") == {}
    answered.orch("sweep", "sweep.yaml")
    assert set(reader.asked_for("other")) == set(IDS)


@pytest.mark.slow
def test_a_result_that_is_deleted_after_its_sweep_is_trained_again(answered: Place) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{answered.folder / 'runs' / 'mlflow.db'}"
    reader = SqliteReader(answered.folder / "runs" / "mlflow.db", name="test")
    MlflowClient(tracking_uri=uri).delete_run(str(reader.records(IDS[:1])[IDS[0]].run))
    assert "1 will run, 7 done" in answered.orch("plan", "sweep.yaml").stdout
    assert "1 trial will run" in answered.orch("sweep", "sweep.yaml", "--executor", "serial").stderr
    assert "0 will run, 8 done" in answered.orch("plan", "sweep.yaml").stdout


def test_a_kept_encoder_is_read_from_beside_the_file_and_from_nowhere_else(
    tmp_path: Path, database: Path
) -> None:
    from orchestrator.recording.mlflow.database import address_of
    from orchestrator.recording.mlflow.store import MlflowStore

    home, left = tmp_path / "what?a #home%", tmp_path / "left"
    home.mkdir()
    shutil.copy(database, home / "mlflow.db")
    store = MlflowStore(address_of(home / "mlflow.db"), artifacts=home / "artifacts")
    reader, trial = SqliteReader(home / "mlflow.db", name="test"), trials(1)[0]
    digest = hashlib.sha256(b"weights").hexdigest()
    store.begin(trial.facts, INFO)
    store.finish(trial.id, outcome(details={"encoder": {"sha256": digest}}), INFO)
    assert reader.encoder(trial.id) is store.encoder(trial.id) is reader.encoder(STRANGERS[0]) is None
    left.mkdir()
    (left / "encoder.safetensors").write_bytes(b"weights")
    store.keep_encoder(trial.id, left, digest)
    assert reader.encoder(trial.id) == store.encoder(trial.id) == b"weights"
    home.rename(tmp_path / "moved")
    with pytest.raises(CannotTell):
        SqliteReader(tmp_path / "moved" / "mlflow.db", name="test").encoder(trial.id)


@pytest.mark.slow
def test_curves_beside_a_file_are_read_without_mlflow_and_are_what_it_has(tmp_path: Path) -> None:
    from orchestrator.recording.mlflow.database import address_of, make_database
    from orchestrator.recording.mlflow.store import MlflowStore

    file, artifacts = tmp_path / "home #1" / "mlflow.db", tmp_path / "home #1" / "artifacts"
    file.parent.mkdir()
    make_database(file, artifacts=artifacts)
    store, reader = MlflowStore(address_of(file), artifacts=artifacts), SqliteReader(file, name="test")
    for number, trial in enumerate(trials(3)):
        store.begin(trial.facts, INFO)
        store.report(trial.id, report(1, **{"probe/top1": 0.1 * number}))
        if number < 2:
            store.finish(trial.id, outcome(0.5), INFO)
    store.flush()
    ids = [trial.id for trial in trials(3)]
    found = reader.curves([*ids, *STRANGERS])
    assert set(found) == set(ids[:2]) and dict(found) == dict(store.curves([*ids, *STRANGERS]))
    (kept,) = artifacts.rglob(f"{reader.records(ids)[ids[0]].run}/artifacts/{SPECTRA}")
    kept.write_bytes(b"no zip")
    told = set()
    for one in (reader, store):
        with pytest.raises(StoreError, match=SPECTRA) as error:
            one.curves(ids)
        told.add(str(error.value))
    assert len(told) == 1
    moved = tmp_path / "moved"
    file.parent.rename(moved)
    up = tmp_path / "home #1"  # where files that were left behind may lie below the new place
    for place in (moved, tmp_path):
        with pytest.raises(CannotTell):
            SqliteReader(place / "mlflow.db", name="test").curves(ids)
        assert not up.exists()
        for one in moved.iterdir() if moved.exists() else ():
            one.rename(tmp_path / one.name)
