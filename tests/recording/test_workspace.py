"""Where a command works, also where the folder in which it was typed is no more."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import pytest

from orchestrator.errors import UsageError
from orchestrator.recording.workspace import workspace


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
