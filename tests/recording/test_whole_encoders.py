"""A kept encoder is read once to know that it is whole, and again when its file was changed."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from pathlib import Path

import pytest

from orchestrator.recording.journal import whole
from orchestrator.recording.journal.whole import WholeEncoders
from orchestrator.recording.trial_files import lost_encoders
from orchestrator.recording.workspace import workspace
from tests.builders import INFO, outcome, trials

CONTENT = b"weights"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every file that is read for its digest."""
    digest, found = whole._digest, list[Path]()

    def noted(file: Path) -> str:
        found.append(file)
        return digest(file)

    monkeypatch.setattr(whole, "_digest", noted)
    monkeypatch.setattr(whole, "FRESH_S", 0.02)
    return found


def looked(folder: Path, file: Path) -> set[str]:
    """What a new command finds of one encoder, in another tick of the file system's clock."""
    time.sleep(0.05)
    return WholeEncoders(folder, store="test").among({"one": file}, {"one": DIGEST})


def test_a_file_that_was_read_is_read_again_only_when_it_was_changed(
    tmp_path: Path, reads: list[Path]
) -> None:
    file = tmp_path / "encoder.safetensors"
    file.write_bytes(CONTENT)
    assert looked(tmp_path, file) == looked(tmp_path, file) == {"one"} and reads == [file]
    there = file.stat()
    file.write_bytes(b"damaged")  # as long as before, and as old
    os.utime(file, ns=(there.st_atime_ns, there.st_mtime_ns))
    assert looked(tmp_path, file) == set() and len(reads) == 2
    file.unlink()
    assert looked(tmp_path, file) == set()
    file.write_bytes(CONTENT)
    assert looked(tmp_path, file) == {"one"} and len(reads) == 3


def test_of_another_digest_than_the_one_that_was_read_nothing_is_known(
    tmp_path: Path, reads: list[Path]
) -> None:
    file = tmp_path / "encoder.safetensors"
    file.write_bytes(CONTENT)
    assert looked(tmp_path, file) == {"one"}
    known = WholeEncoders(tmp_path, store="test").among({"one": file}, {"one": "0" * 64})
    assert known == set() and len(reads) == 2


@pytest.mark.parametrize("left", [b"", b"[1]", b'{"one": 1}'])
def test_what_cannot_be_remembered_is_read_anew(tmp_path: Path, reads: list[Path], left: bytes) -> None:
    file = tmp_path / "encoder.safetensors"
    file.write_bytes(CONTENT)
    WholeEncoders(tmp_path, store="test").path.write_bytes(left)
    assert looked(tmp_path, file) == {"one"} and len(reads) == 1
    assert WholeEncoders(tmp_path / "not there", store="test").among({}, {}) == set()
    assert looked(tmp_path / "not there", file) == {"one"}  # nothing is kept, and nothing fails


@pytest.mark.filterwarnings("default")  # MLflow and SQLAlchemy warn about themselves
def test_a_look_at_kept_encoders_reads_each_once_and_tells_those_that_are_damaged_or_gone(
    tmp_path: Path, database: Path, reads: list[Path]
) -> None:
    home = tmp_path / "runs"
    home.mkdir()
    shutil.copy(database, home / "mlflow.db")
    space = workspace(home, None, None)
    store = space.store_at.to_write()
    for trial in trials(3):
        (left := tmp_path / trial.id).mkdir()
        (left / "encoder.safetensors").write_bytes(CONTENT)
        store.begin(trial.facts, INFO)
        store.finish(trial.id, outcome(details={"encoder": {"sha256": DIGEST}}), INFO)
        store.keep_encoder(trial.id, left, DIGEST)
    known = list(space.open_store().records([one.id for one in trials(3)]).values())
    (home / "journal").mkdir()
    time.sleep(0.05)
    for _ in range(2):
        assert lost_encoders(known, space.open_store(), space.whole_encoders) == {}
    assert len(reads) == 3
    reads[0].write_bytes(b"damaged")
    reads[1].unlink()
    told = lost_encoders(known, space.open_store(), space.whole_encoders)
    assert sorted(words.split(":")[0].split(" in ")[0] for words in told.values()) == ["is damaged", "is not"]
