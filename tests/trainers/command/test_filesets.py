"""Laws of the files that a config names: what they are identified by, and how they get elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from tests.scripted import script
from trainers.config import filesets as files
from trainers.config.filesets import FileSet, Named, parcels, receive

READ: TypeAdapter[FileSet] = TypeAdapter(Named)


def read(*entries: object) -> FileSet:
    return READ.validate_python(list(entries))


def refused(*entries: object) -> str:
    with pytest.raises(ValidationError) as caught:
        read(*entries)
    return str(caught.value.errors()[0]["msg"])


def test_files_are_identified_by_their_bytes_but_for_the_ends_of_lines() -> None:
    for one, other in (
        ("x = 1\n", "# /// script\nx = 1\n"),
        ('def f():\n    """a"""\n', 'def f():\n    """b"""\n'),
        ("#!/bin/sh\n", "#!/bin/bash\n"),
    ):
        script(one)
        before = read("train.py").digests
        script(other)
        assert read("train.py").digests != before
    Path("train.py").write_bytes(b"x = 1\r\ny = 2\r\n")
    before = read("train.py").digests
    Path("train.py").write_bytes(b"x = 1\ny = 2\n")
    assert read("train.py").digests == before
    Path("train.py").write_bytes(b"\0\r\n")
    before = read("train.py").digests
    Path("train.py").write_bytes(b"\0\n")
    assert read("train.py").digests != before


def test_results_of_orch_below_a_folder_are_not_of_it_and_a_folder_around_the_sweep_is_refused() -> None:
    for name in ("src/a.py", "src/runs/mlflow.db", "src/runs/journal/x", "src/out/journal/x"):
        script("1\n", name)
    assert list(read("src").content) == ["src/a.py", "src/out/journal/x"]
    for entry in (".", "..", str(Path().absolute()), "src/.."):
        assert "has the sweep file in it, too; name the files and folders that" in refused(entry)
    assert files.placed(["code", "."], Path("src")) == [".", "src"]


def test_where_the_sweep_lies_is_no_part_of_the_identity() -> None:
    script("x = 1\n", "here/src/a.py")
    script("x = 1\n", "there/deep/src/a.py")
    one, other = read(["src", "here/src"]), read(["src", "there/deep/src"])
    assert one.digests == other.digests
    assert list(one.content) == ["src/a.py"]


def test_a_folder_is_read_whole_but_for_caches_and_hidden_files(tmp_path: Path) -> None:
    for name in ("src/b/c.py", "src/a.txt", "src/.git/x", "src/__pycache__/a.pyc", "src/.hidden"):
        script("1\n", name)
    made = read("src/")
    assert list(made.content) == ["src/a.txt", "src/b/c.py"]
    made.lay_out(tmp_path / "there")
    assert (tmp_path / "there" / "src" / "b" / "c.py").read_text() == "1\n"


def test_what_begins_like_a_program_may_be_run_where_it_is_laid_out(tmp_path: Path) -> None:
    script("#!/bin/sh\n", "a.sh")
    script("echo\n", "b.sh")
    read("a.sh", "b.sh").lay_out(tmp_path / "there")
    assert os.access(tmp_path / "there" / "a.sh", os.X_OK)
    assert not os.access(tmp_path / "there" / "b.sh", os.X_OK)


def test_a_name_above_the_sweep_is_laid_out_without_the_way_up() -> None:
    assert files.name_of("../lib/net.py") == "lib/net.py"
    assert files.name_of("./src/") == "src"
    assert files.name_of("/home/me/train.py") == "train.py"


def test_what_cannot_be_read_or_is_too_much_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    script("1\n", "a/x.py")
    script("2\n", "b/x.py")
    assert "no such file or folder: c.py; expected" in refused("c.py")
    assert "two entries are laid out as x.py" in refused(["x.py", "a/x.py"], ["x.py", "b/x.py"])
    assert "expected names of files and folders, got 3" in refused(3)
    Path("a/out").symlink_to(Path("b/x.py").absolute())
    assert "a/out leads out of a, or to a folder; name its target, too" in refused("a")
    Path("a/out").unlink()
    Path("a/gone").symlink_to("nowhere")
    assert "a/gone leads to nothing; remove it, or what it is for" in refused("a")
    Path("empty").mkdir()
    assert "empty is a folder without a file" in refused("empty")
    os.mkfifo("pipe")
    assert "pipe is no regular file" in refused("pipe")
    (Path("named") / os.fsdecode(b"\xff")).mkdir(parents=True)
    (Path("named") / os.fsdecode(b"\xff") / "x.py").touch()
    assert r"named/\udcff/x.py: its name is no UTF-8, and cannot travel; rename it" in refused("named")
    monkeypatch.setattr(files, "MOST_BYTES", 3)
    script("12345\n", "b/large.py")
    assert "the largest is b/large.py with 0.0 MiB; leave data out, and pass its path" in refused("b")


def test_content_travels_once_and_a_process_without_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    script("x = 1\n")
    made = read("train.py")
    sent = parcels([made, made])
    assert len(sent) == 1
    monkeypatch.setattr(files, "_kept", {})
    with pytest.raises(FileNotFoundError, match=r"train.py: not brought to this process"):
        _ = made.content
    receive(sent)
    assert made.content == {"train.py": b"x = 1\n"}
