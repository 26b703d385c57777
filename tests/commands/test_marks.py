"""Marks in words, and the logs behind them, whatever the file says."""

from __future__ import annotations

import pytest

from orchestrator.commands.look import write_report
from orchestrator.recording.memory import MemoryStore
from orchestrator.recording.workspace import Workspace
from tests.builders import INFO, expansion, outcome, table_yaml
from tests.place import Place


@pytest.fixture
def half(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A sweep of which one trial of each cell has collapsed, and the others are missing."""
    store = MemoryStore()
    for trial in expansion(seeds=[0]).trials:
        store.begin(trial.facts, INFO)
        store.finish(trial.id, outcome(0.1, "collapsed"), INFO)
    monkeypatch.setattr(Workspace, "open_store", lambda space: store)
    return place


def test_marks_are_words_where_the_command_or_the_file_says_so(half: Place) -> None:
    signs = half.orch("table", "sweep.yaml").stdout
    words = half.orch("table", "sweep.yaml", "--marks", "words").stdout
    assert "10.0 (n=1) † 1/2, · 1/2" in signs
    assert "10.0 (n=1); 1 of 2 collapsed, 1 of 2 missing" in words and "†" not in words
    half.write(table_yaml("marks: words\n"), "words.yaml")
    assert half.orch("table", "words.yaml").stdout == words
    assert half.orch("table", "words.yaml", "--marks", "signs").stdout == signs
    assert half.orch("table", "sweep.yaml", "--marks", "words", "--rows", "cells").stdout.count("1 of 2") == 8


def test_other_marks_are_told_with_those_that_are(half: Place) -> None:
    told = half.orch("table", "sweep.yaml", "--marks", "emoji", code=2).stderr
    assert told == "orch: --marks emoji: expected signs or words\n"


def test_of_many_logs_a_report_has_those_of_failed_trials_first(
    half: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_report, "LOGS", 1)
    store = Workspace.open_store(None)  # type: ignore[arg-type]
    last = expansion(seeds=[1]).trials[-1]
    store.begin(last.facts, INFO)
    store.finish(last.id, outcome(0.1, "failed", error="code", reason="ValueError: no"), INFO)
    logs = half.folder / "runs" / "logs"
    logs.mkdir(parents=True)
    for trial in expansion(seeds=[0, 1]).trials:
        (logs / f"{trial.id}.log").write_text(f"the end of {trial.label}\n", encoding="utf-8")
    half.orch("report", "sweep.yaml", "-o", "told.html")
    told = (half.folder / "told.html").read_text(encoding="utf-8")
    assert f"the end of {last.label}" in told and told.count("the end of ") == 1
