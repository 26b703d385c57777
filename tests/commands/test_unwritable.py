"""What is written goes to where it may be, or is one line; and nothing is left behind."""

from __future__ import annotations

import os

import pytest

from orchestrator.recording.memory import MemoryStore
from orchestrator.recording.workspace import Workspace
from tests.place import Place


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("/dev/full", "is there already and is no report"),  # read, it has no end
        (".", "is there already and is no report"),
        ("sweep.yaml", "is there already and is no report"),
        ("sweep.yaml/r.html", "Not a directory; choose another with --out"),
        ("nowhere/r.html", "No such file or directory; choose another with --out"),
    ],
)
def test_a_report_takes_the_place_of_a_report_and_of_nothing_else(
    place: Place, monkeypatch: pytest.MonkeyPatch, out: str, said: str
) -> None:
    monkeypatch.setattr(Workspace, "open_store", lambda self, **how: MemoryStore())
    before = sorted(os.listdir(place.folder))
    told = place.orch("report", "sweep.yaml", "-o", out, code=2).stderr
    assert told == f"orch: {out}: {said}" + ("; choose another with --out\n" if "already" in said else "\n")
    assert sorted(os.listdir(place.folder)) == before


def test_a_report_is_written_twice(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Workspace, "open_store", lambda self, **how: MemoryStore())
    for _ in range(2):
        assert place.orch("report", "sweep.yaml", "-o", "r.html").stdout == "r.html\n"


def test_a_report_of_a_file_whose_name_is_no_text_is_written(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Workspace, "open_store", lambda self, **how: MemoryStore())
    name = os.fsdecode(b"\xff.yaml")
    (place.folder / "sweep.yaml").rename(place.folder / name)
    for form in ("html", "md"):
        place.orch("report", name, "-f", form, "-o", f"r.{form}")
    assert "\\udcff.yaml" in (place.folder / "r.html").read_text(encoding="utf-8")
