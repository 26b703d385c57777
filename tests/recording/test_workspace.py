"""Where a command works: addresses and folders as people misspell, move and lock them."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.commands.look.doctor import _moved
from orchestrator.errors import StoreError, UsageError
from orchestrator.process.scratch import own_folder
from orchestrator.recording.journal import files as journal_files
from orchestrator.recording.journal.entries import Begun, Ended
from orchestrator.recording.journal.notes import of_journals
from orchestrator.recording.stores import memory
from orchestrator.recording.stores.sqlite import LONGEST
from orchestrator.recording.workspace import LONGEST_FOLDER, Workspace, workspace
from tests.builders import INFO, outcome, report, trials
from tests.place import Place

pytestmark = pytest.mark.filterwarnings("default")  # MLflow and SQLAlchemy warn about themselves


def space_in(home: Path, address: str | None = None) -> Workspace:
    return workspace(home, address, None)


def filled(home: Path, database: Path, number: int = 1) -> str:
    """A home with so many finished trials, of which the first one's id is returned."""
    home.mkdir(parents=True)
    shutil.copy(database, home / "mlflow.db")
    store, made = space_in(home).open_journaled(), trials(number)
    for trial in made:
        store.begin(trial.facts, INFO)
        store.report(trial.id, report(1))
        store.finish(trial.id, outcome(), INFO)
    store.flush()
    store.close()
    assert not store.waits
    return made[0].id


@pytest.mark.slow
def test_a_moved_home_keeps_its_curves_and_takes_more(tmp_path: Path, database: Path) -> None:
    trial_id = filled(tmp_path / "old", database)
    shutil.move(tmp_path / "old", tmp_path / "new")
    store = space_in(tmp_path / "new").open_journaled()
    assert store.curves([trial_id])[trial_id].metrics["train/loss"]
    store.attach(trial_id, {"plot.svg": b"<svg/>"})
    store.flush()
    store.close()
    assert not (tmp_path / "old").exists() and list((tmp_path / "new").rglob("plot.svg"))


def abandoned(home: Path, store: str) -> str:
    """A journal below `home` in which a dead driver left a trial for the store of that name; its id."""
    trial = trials(2)[1]
    own = journal_files.OwnJournal(home / "journal", store=store, command="orch")
    own.append(Begun(trial=trial.facts, sweep=INFO, worker=None, attempt="a"))
    own.append(Ended(trial_id=trial.id, outcome=outcome(), sweep=INFO))
    assert own.folder is not None and own._lock is not None
    own._lock.close()
    header = own.folder / "driver.json"
    header.write_text(
        header.read_text().replace('"sqlite:///mlflow.db"', f'"{store}"')
    )  # as earlier code did
    return trial.id


def test_a_journal_of_earlier_code_is_delivered_after_its_home_was_moved(
    tmp_path: Path, database: Path
) -> None:
    filled(tmp_path / "old", database)
    trial_id = abandoned(tmp_path / "old", f"sqlite:///{tmp_path / 'old' / 'mlflow.db'}")
    shutil.move(tmp_path / "old", tmp_path / "new")
    space = space_in(tmp_path / "new")
    assert of_journals(space.journals, space.store_at.name) == []
    store = space.open_journaled()
    store.flush()
    store.close()
    assert space.open_store().records([trial_id])[trial_id].status == "completed"
    assert not list(space.journals.glob("[!.]*/"))


@pytest.mark.parametrize("why", ["its store is still there", "nothing of it is here"])
def test_a_journal_for_another_store_is_kept_and_named(tmp_path: Path, database: Path, why: str) -> None:
    filled(tmp_path / "old", database)
    shutil.copytree(tmp_path / "old", tmp_path / "new")
    there = tmp_path / ("old" if "still" in why else "other") / "mlflow.db"
    abandoned(tmp_path / "new", f"sqlite:///{there}")
    space = space_in(tmp_path / "new")
    store = space.open_journaled()
    store.flush()
    store.close()
    (note,) = of_journals(space.journals, space.store_at.name)
    assert f"for sqlite:///{there}: --tracking-uri names it" in note


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What this process would do at its end, for the folders of stores in its memory."""
    found: list[Any] = []
    monkeypatch.setattr(
        memory.atexit, "register", lambda act, *what, **how: found.append(lambda: act(*what, **how))
    )
    return found


def test_a_store_that_ends_with_its_process_shares_neither_checkpoints_nor_journal_with_others(
    tmp_path: Path, ends: list[Any]
) -> None:
    lasting, one, two = (space_in(tmp_path, address) for address in (None, "memory:one", "memory:two"))
    folders = [folder for space in (lasting, one, two) for folder in (space.checkpoints, space.journals)]
    assert len(set(folders)) == 6 and space_in(tmp_path, "memory:one").checkpoints == one.checkpoints
    assert workspace(tmp_path, "memory:one", None, checkpoints="/there").checkpoints == Path("/there")
    assert not list(tmp_path.iterdir())
    store = one.open_journaled()
    store.begin(trials(1)[0].facts, INFO)
    assert one.journals.exists() and not lasting.journals.exists()
    store.close()
    for end in ends:
        end()
    assert not list(tmp_path.iterdir())


def test_what_a_killed_sweep_in_memory_has_left_is_removed_by_the_next_and_no_living_one_s(
    tmp_path: Path, ends: list[Any]
) -> None:
    dead, living = tmp_path / "memory-0123", tmp_path / "memory-4567"
    own_folder(dead, "none").close()
    (dead / "journal").mkdir()
    with own_folder(living, "none"):
        space_in(tmp_path, "memory:three").open_journaled().close()
        assert living.exists() and not dead.exists()
    for end in ends:
        end()


def test_a_journal_that_earlier_code_left_of_a_store_in_memory_may_be_deleted(tmp_path: Path) -> None:
    abandoned(tmp_path, "memory")
    space = space_in(tmp_path)
    (note,) = of_journals(space.journals, space.store_at.name)
    assert "for memory: it ended with its process, and they may be deleted" in note


def test_doctor_tells_where_mlflow_s_pages_look_for_the_files_of_a_moved_home(
    tmp_path: Path, database: Path
) -> None:
    filled(tmp_path / "old one", database)
    assert not list(_moved(space_in(tmp_path / "old one")))
    shutil.move(tmp_path / "old one", tmp_path / "new")
    (told,) = _moved(space_in(tmp_path / "new"))
    assert "the files of 1 run in" in told.finding and "orch finds them here" in told.finding
    way = told.finding.partition("`")[2].partition("`")[0]
    subprocess.run(way, shell=True, check=True)
    assert list((tmp_path / "old one" / "artifacts").rglob("spectra.npz"))
    assert not list(_moved(space_in(tmp_path / "new")))


def test_a_copied_home_writes_nothing_into_the_one_it_was_copied_from(tmp_path: Path, database: Path) -> None:
    trial_id = filled(tmp_path / "old", database)
    shutil.copytree(tmp_path / "old", tmp_path / "new")
    store = space_in(tmp_path / "new").open_journaled()
    store.attach(trial_id, {"plot.svg": b"<svg/>"})
    store.flush()
    store.close()
    assert not list((tmp_path / "old").rglob("plot.svg")) and list((tmp_path / "new").rglob("plot.svg"))


@pytest.mark.parametrize("name", ["a? b", "100%25 100%", "a#b", "mode=ro&x", "é ü"])
def test_a_home_of_any_name_holds_its_store_and_nothing_is_made_beside_it(
    tmp_path: Path, database: Path, name: str
) -> None:
    trial_id = filled(tmp_path / "x" / name, database)
    assert [path.name for path in (tmp_path / "x").iterdir()] == [name]
    assert space_in(tmp_path / "x" / name).open_store().records([trial_id])[trial_id].is_done
    assert space_in(tmp_path / "x" / name).open_store().curves([trial_id])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x"]  # nothing beside the working folder


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """Where `inside`, once it is filled, is seen and cannot be written: as a mount that is read-only."""
    (tmp_path / "inside").mkdir()
    seen = tmp_path / "seen"
    seen.mkdir()
    bind = ["mount", "--bind", str(tmp_path / "inside"), str(seen)]
    if subprocess.run(bind, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    subprocess.run(["mount", "-o", "remount,bind,ro", str(seen)], check=True)
    yield seen
    subprocess.run(["umount", "-l", str(seen)], check=True)


def test_a_read_only_home_is_read_by_every_command_that_looks(
    read_only: Path, place: Place, database: Path
) -> None:
    trial_id = filled(read_only.parent / "inside" / "runs", database)
    home = ["--home", str(read_only / "runs")]
    assert "1 completed" in place.orch("status", "sweep.yaml", *home).stdout
    assert "7 will run, 1 done" in place.orch("plan", "sweep.yaml", *home).stdout
    assert "completed" in place.orch("why", "sweep.yaml", trial_id, *home).stdout
    assert "EMA" in place.orch("table", "sweep.yaml", *home).stdout
    assert "1 of 8 trials" in place.orch("export", "sweep.yaml", *home, "-o", "x.orch.zip").stdout
    assert "eigenspace.png" in place.orch("figures", "sweep.yaml", *home, "--out", "f").stdout
    assert "choose another folder with --out" in place.orch("figures", "sweep.yaml", *home, code=2).stderr
    assert "cannot be written" in place.orch("sweep", "sweep.yaml", *home, code=2).stderr


def test_a_read_only_home_that_has_every_result_is_swept_as_any_other(
    read_only: Path, place: Place, database: Path
) -> None:
    filled(read_only.parent / "inside" / "runs", database, 8)
    home = ["--home", str(read_only / "runs")]
    before = sorted(read_only.rglob("*"))
    swept = place.orch("sweep", "sweep.yaml", *home)
    assert swept.stdout == place.orch("table", "sweep.yaml", *home).stdout
    assert "nothing to do: all 8 trials" in swept.stderr
    assert f"nothing is written: {read_only / 'runs'}: cannot be written; choose another" in swept.stderr
    assert sorted(read_only.rglob("*")) == before
    more = place.orch("sweep", "sweep.yaml", "--seeds", "3", *home, code=2)
    assert more.stderr.endswith("cannot be written; choose another folder with --home\n")
    assert "Ray" not in more.stderr and more.stdout == ""


def test_where_nothing_has_failed_a_retry_in_a_read_only_home_says_that_alone(
    read_only: Path, place: Place, database: Path
) -> None:
    filled(read_only.parent / "inside" / "runs", database, 8)
    told = place.orch("retry", "sweep.yaml", "--home", str(read_only / "runs"), code=2).stderr
    assert "no trial of sweep 'tiny' has failed" in told and "nothing is written" not in told


def test_a_read_only_home_is_read_while_its_sweep_writes(read_only: Path, database: Path) -> None:
    trial_id = filled(read_only.parent / "inside" / "runs", database)
    reader = space_in(read_only / "runs").open_store()
    writer = space_in(read_only.parent / "inside" / "runs").open_journaled()
    second = trials(2)[1]
    writer.begin(second.facts, INFO)
    assert reader.records([trial_id, second.id])[second.id].status == "running"
    writer.finish(second.id, outcome(0.25), INFO)
    writer.flush()
    writer.close()
    found = reader.records([trial_id, second.id])
    assert {record.status for record in found.values()} == {"completed"} and len(found) == 2


@contextlib.contextmanager
def locked(file: Path, seconds: float) -> Iterator[None]:
    """Inside, and for so long, nobody else may read the file."""
    holder = sqlite3.connect(file, check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    timer = threading.Timer(seconds, holder.rollback)
    timer.start()
    try:
        yield
    finally:
        timer.join()
        holder.close()


def test_a_reader_waits_for_a_file_that_is_written_and_says_so(
    tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial_id = filled(tmp_path / "runs", database)
    monkeypatch.setattr("orchestrator.process.waiting.WORD_S", 0.1)
    said: list[str] = []
    store = space_in(tmp_path / "runs").open_store(say=said.append)
    with locked(tmp_path / "runs" / "mlflow.db", 1.0):
        assert store.records([trial_id])[trial_id].is_done
    assert said and "waiting for sqlite:" in said[0]


def test_a_file_that_stays_locked_is_a_line_without_sql(
    tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.errors import StoreLocked
    from orchestrator.recording.memory import MemoryStore

    filled(tmp_path / "runs", database)
    monkeypatch.setattr("orchestrator.process.waiting.LOCKED_S", 0.3)
    tries: list[float] = []

    def records(self: object, ids: object) -> dict[str, object]:
        tries.append(time.monotonic())
        raise StoreLocked("MLflow at x: another process writes to it for long")

    monkeypatch.setattr("orchestrator.recording.mlflow.reader.SqliteReader.records", records)
    with pytest.raises(StoreError, match="another process writes to it"):
        space_in(tmp_path / "runs").open_store().records(["0" * 12])
    assert len(tries) > 1 and MemoryStore().records([]) == {}


def test_a_new_home_has_no_empty_experiment(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    from orchestrator.recording.mlflow.database import address_of

    store = space_in(tmp_path / "runs").open_journaled()
    store.close()
    client = MlflowClient(tracking_uri=address_of(tmp_path / "runs" / "mlflow.db"))
    assert list(client.search_experiments()) == []


@pytest.mark.parametrize("variable", ["ORCH_HOME", "ORCH_DATA", "ORCH_CHECKPOINTS"])
@pytest.mark.parametrize("folder", ["~nosuch/x", "a" * 300])
def test_a_folder_that_cannot_be_is_one_line(
    monkeypatch: pytest.MonkeyPatch, variable: str, folder: str
) -> None:
    monkeypatch.setenv(variable, folder)
    with pytest.raises(UsageError, match=r"no such user|[Nn]ame too long") as raised:
        _ = workspace(None, None, None).checkpoints
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 300


def test_a_user_without_a_home_is_told_to_write_the_whole_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)
    with pytest.raises(UsageError, match="write the path from the root"):
        workspace(Path("~/runs"), None, None)
    assert workspace(Path("runs"), None, None).home.name == "runs"


def test_an_address_in_the_environment_may_end_in_a_newline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5917\n")
    assert workspace(None, None, None).store_at.text == "http://127.0.0.1:5917"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", " \n")
    assert workspace(None, None, None).store_from == "default"


@pytest.mark.parametrize("text", ["127.0.0.1:5917", "u:pw@host:5000", "http:/u:pw@h:1"])
def test_an_address_without_scheme_is_asked_for_with_it_and_without_its_password(text: str) -> None:
    with pytest.raises(UsageError, match=r"did you mean http://(127.0.0.1:5917|host:5000|h:1)\?") as raised:
        workspace(None, text, None)
    assert "pw" not in str(raised.value)


@pytest.mark.parametrize("text", ["sqlite", "mlruns", "/srv/mlruns"])
def test_what_is_no_address_is_told_what_one_looks_like(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected a store's address, such as .* http://127\.0\.0\.1:5000"):
        workspace(None, text, None)


@pytest.mark.parametrize("content", ['{"journal": 1e400}', "[" * 100_000, "\0\0", "[1]", '{"journal": []}'])
def test_a_damaged_header_breaks_no_command_and_is_named(ready: Place, content: str) -> None:
    folder = ready.folder / "runs" / "journal" / "1-a"
    folder.mkdir(parents=True)
    (folder / "driver.json").write_text(content, encoding="utf-8")
    assert "missing" in ready.orch("status", "sweep.yaml").stdout
    assert any("no readable driver.json" in note for note in of_journals(folder.parent, "x"))
    assert "no readable driver.json" in ready.orch("sync").stderr


def test_what_the_store_can_never_take_blocks_no_other_sweep_and_is_named(
    ready: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = ready.folder / "runs"
    first, second = trials(2)
    long = INFO.model_copy(update={"name": "a" * 256})  # no folder has such a name
    store = space_in(home).open_journaled()
    store.begin(first.facts, long)
    store.finish(first.id, outcome(), long)
    store.flush()
    store.close()
    assert store.waits and "too long" in "".join(store.notes)
    (kept,) = [path for _, h in journal_files.readable(home / "journal") for path in _.glob("*.refused")]
    store = space_in(home).open_journaled()
    begun = time.monotonic()
    store.begin(second.facts, INFO)
    store.finish(second.id, outcome(), INFO)
    store.flush()
    store.close()
    assert not store.waits and time.monotonic() - begun < 30
    assert str(kept) in "".join(store.notes) and not store.complete
    assert str(kept) in ready.orch("sync", code=4).stderr
    monkeypatch.setattr("orchestrator.commands.look.doctor._data", lambda space: iter(()))
    assert str(kept) in ready.orch("doctor").stdout


@pytest.mark.parametrize("home", ["notes.txt", "notes.txt/below"])
def test_doctor_tells_of_a_home_that_is_no_folder(home: str, place: Place) -> None:
    place.write("", "notes.txt")
    said = place.orch("doctor", "--home", home, code=2).stdout
    assert f"{place.folder / 'notes.txt'}: not a folder; choose another with --home" in said


@pytest.fixture
def in_removed_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()


@pytest.mark.usefixtures("in_removed_folder")
@pytest.mark.parametrize(
    "named", [{}, {"home": "/home"}, {"home": "/home", "data": "/data", "checkpoints": "c"}]
)
def test_a_folder_relative_to_a_removed_one_is_one_line(named: dict[str, str]) -> None:
    paths = {name: Path(named[name]) if name in named else None for name in ("home", "data")}
    with pytest.raises(
        UsageError, match=r"^[\w/]+: the working folder was removed; change to one that is there"
    ):
        workspace(paths["home"], None, paths["data"], checkpoints=named.get("checkpoints"))


@pytest.mark.usefixtures("in_removed_folder")
def test_a_store_in_a_folder_of_its_own_is_read_and_written_from_a_removed_one(
    tmp_path: Path, database: Path
) -> None:
    shutil.copy(database, tmp_path / "mlflow.db")
    store = workspace(tmp_path, None, tmp_path / "data").open_journaled()
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # MLflow and SQLAlchemy warn about themselves
        assert store.records(["0" * 12]) == {} and store.away is None
        store.close()


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:///{}/a b.db",
        "sqlite:///{}/a%20b.db?timeout=3",
        "sqlite+pysqlite:///{}/a b.db?timeout=3",
        "sqlite:///file:{}/a%2520b.db?uri=true&mode=rw",
        "sqlite:///file://localhost{}/a%2520b.db?uri=true",
        "sqlite:///a%20b.db?timeout=3",
    ],
)
def test_an_address_of_sqlite_names_one_file_however_it_is_written(tmp_path: Path, text: str) -> None:
    space = workspace(None, text.format(tmp_path), None)
    assert space.store_at.file == tmp_path / "a b.db"
    assert space.store_at.name == f"sqlite:///{tmp_path}/a b.db"


@pytest.mark.parametrize("name", ["x.db", "100%.db", "a%20b?c#d.db"])
def test_settings_of_sqlite_reach_it_and_are_no_part_of_the_file_s_name(tmp_path: Path, name: str) -> None:
    from urllib.parse import quote

    from sqlalchemy import create_engine

    space = workspace(None, f"sqlite:///{quote(name)}?timeout=7", None)
    engine = create_engine(space.store_at.for_mlflow(writes=True))
    assert engine.dialect.create_connect_args(engine.url)[1]["timeout"] == 7
    with engine.connect():
        assert [file.name for file in tmp_path.iterdir()] == [name]
    assert "mode=ro" in space.store_at.for_mlflow(writes=False)
    engine.dispose()


@pytest.mark.parametrize("text", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"])
def test_a_database_in_memory_is_no_file(text: str) -> None:
    assert workspace(None, text, None).store_at.file is None


def test_a_store_whose_settings_became_its_name_is_named_and_not_passed_over(tmp_path: Path) -> None:
    odd = tmp_path / "x.db?timeout=3"
    odd.touch()
    with pytest.raises(UsageError, match=r"rename it to .*/x\.db$"):
        workspace(None, f"sqlite:///{odd}", None)
    odd.rename(tmp_path / "x.db")
    assert workspace(None, f"sqlite:///{odd}", None).store_at.file == tmp_path / "x.db"


def deep(folder: Path, size: int) -> Path:
    """A path below `folder` that has `size` bytes, and of which no part is too long."""
    left = size - len(os.fsencode(folder))
    return folder.joinpath(*["d" * 99] * (left // 100 - 1), "d" * (left % 100 + 99))


def test_a_home_whose_store_s_path_is_too_long_for_sqlite_is_one_line(tmp_path: Path) -> None:
    most = deep(tmp_path, LONGEST - len("/mlflow.db"))
    space_in(most).open_journaled().close()
    assert (most / "mlflow.db").exists()
    with pytest.raises(UsageError, match=r"SQLite takes paths of at most 480 bytes, this has 481; .* --home"):
        space_in(deep(tmp_path, LONGEST + 1 - len("/mlflow.db")))
    with pytest.raises(UsageError, match="choose another place with --tracking-uri"):
        workspace(None, f"sqlite:///{deep(tmp_path, 600)}", None)


@pytest.mark.parametrize("flag", ["home", "data", "checkpoints"])
def test_a_folder_that_leaves_no_room_for_what_is_in_it_is_one_line(tmp_path: Path, flag: str) -> None:
    named = {"home": None, "data": None, "checkpoints": None, flag: str(deep(tmp_path, LONGEST_FOLDER + 1))}
    checkpoints = named.pop("checkpoints")
    with pytest.raises(UsageError, match="File name too long; choose another folder"):
        workspace(**named, tracking_uri="http://127.0.0.1:9", checkpoints=checkpoints)


@pytest.mark.slow
def test_mlflow_prints_no_addresses_among_tables_whatever_a_trial_puts_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", raising=False)
    space = workspace(tmp_path, "http://127.0.0.1:9", None)
    space.open_journaled(say=lambda line: None).close()
    assert os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] == "true"
