"""Kinds of store are found by what an address says, and each keeps what the others promise."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.errors import UsageError
from orchestrator.recording import stores
from orchestrator.recording.workspace import workspace
from tests.builders import INFO, outcome, trials
from tests.contracts.test_stores import ADDRESSES, WRITTEN, finish_one, store_at
from trainers.config.families import members, module

pytestmark = pytest.mark.filterwarnings("default")  # MLflow and SQLAlchemy warn about themselves
KINDS = stores.names()


def takers(address: str) -> list[str]:
    return [kind for kind in KINDS if module(stores.__name__, kind).takes(address)]


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_kind_shows_as_its_address_is_taken_by_it_and_by_no_other(kind: str, tmp_path: Path) -> None:
    for address in (ADDRESSES[kind](tmp_path), *module(stores.__name__, kind).FORMS):
        assert takers(address) == [kind]


@pytest.mark.parametrize("address", ["databricks.orch.zip", "http://h/a.orch.zip", "memory:a.orch.zip"])
def test_what_ends_as_a_bundle_is_one_whatever_stands_before(address: str) -> None:
    assert takers(address) == ["bundle"]


@pytest.mark.parametrize("kind", KINDS)
def test_who_names_a_store_opens_and_makes_nothing(kind: str, tmp_path: Path) -> None:
    with contextlib.suppress(UsageError):
        store_at(kind, tmp_path).for_mlflow(writes=True)
    assert store_at(kind, tmp_path).name and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", [*stores.forms(), "sqlite:///a b%20c.db?timeout=3"])
def test_an_address_says_the_same_from_any_folder_once_it_was_understood(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = stores.at(form, "--tracking-uri", home=tmp_path)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = stores.at(first.text, "--tracking-uri", home=tmp_path)
    assert (again.text, again.name, again.file) == (first.text, first.name, first.file)


@pytest.mark.parametrize("form", stores.forms())
def test_no_name_of_a_store_has_a_password(form: str, tmp_path: Path) -> None:
    at = stores.at(form.replace("://", "://me:hidden@"), "--tracking-uri", home=tmp_path)
    assert "hidden" not in f"{at.name} {at.pages} {at.only_read}"


@pytest.mark.parametrize("kind", WRITTEN)
def test_what_is_written_to_a_kind_is_there_for_who_reads(
    kind: str, tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    at = store_at(kind, tmp_path)
    if at.file is not None:
        at.file.write_bytes(database.read_bytes())
    identity = finish_one(at.to_write())
    there = at.to_read().records([identity])
    assert there[identity].is_done
    if (reader := at.reader()) is not None:
        assert reader.records([identity]) == there


@pytest.mark.parametrize("kind", sorted({*KINDS} - {*WRITTEN}))
def test_into_a_kind_that_is_only_read_nobody_trains_and_no_journal_is_made(
    kind: str, tmp_path: Path
) -> None:
    space = workspace(tmp_path / "home", ADDRESSES[kind](tmp_path), None)
    with pytest.raises(UsageError, match="only read; `orch"):
        space.open_journaled()
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_what_mlflow_opens_of_a_kind_is_an_address_or_a_line(kind: str, tmp_path: Path) -> None:
    try:
        assert "://" in store_at(kind, tmp_path).for_mlflow(writes=True)
    except UsageError as error:
        assert "; " in str(error) and "\n" not in str(error)


def test_a_scheme_that_no_kind_takes_is_a_line_with_those_there_are_and_no_password(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        stores.at("redis://me:hidden@host:6379/0", "--tracking-uri", home=tmp_path)
    told = str(raised.value)
    assert told.startswith("--tracking-uri redis://host:6379/0: no kind of store takes 'redis:'; expected ")
    assert all(form in told for form in stores.forms()) and "hidden" not in told and "\n" not in told
    with pytest.raises(UsageError) as raised:
        stores.at("me:hidden@odd://host", "--tracking-uri", home=tmp_path)
    assert "hidden" not in str(raised.value)


def test_a_scheme_of_an_mlflow_plug_in_is_taken_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "odd-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1\n")
    (installed / "entry_points.txt").write_text("[mlflow.tracking_store]\nodd = odd:Store\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert takers("odd://me:hidden@host") == ["tracking"]
    assert store_at("tracking", tmp_path).may_be_away


@pytest.fixture
def redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A kind of store in a file of its own, dropped into the folder."""
    (tmp_path / "redis.py").write_text(
        '"""A store in memory under another name."""\n'
        "from orchestrator.recording.stores import memory\n"
        "FORMS = ('redis://host',)\n"
        "takes = lambda address: address.startswith('redis:')\n"
        "at = memory.at\n"
    )
    monkeypatch.setattr(stores, "__path__", [*stores.__path__, str(tmp_path)])
    members.cache_clear()
    yield
    members.cache_clear()


@pytest.mark.usefixtures("redis")
def test_a_file_in_the_folder_is_all_that_a_kind_of_store_takes(tmp_path: Path) -> None:
    space = workspace(tmp_path / "home", "redis://host", None)
    store, (first, *_) = space.open_journaled(), trials(1)
    store.begin(first.facts, INFO)
    store.finish(first.id, outcome(), INFO)
    store.flush()
    store.close()
    assert space.open_store().records([first.id])[first.id].is_done
    with pytest.raises(UsageError, match="redis://host"):
        workspace(tmp_path, "nonsense", None)
