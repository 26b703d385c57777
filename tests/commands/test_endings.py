"""How a command ends when what it says cannot be written, or somebody interrupts it."""

from __future__ import annotations

import errno
import os
import signal
import tempfile
from pathlib import Path

import pytest
import typer

from orchestrator.commands.options import reported
from orchestrator.commands.screen import tables
from orchestrator.commands.starter import write
from orchestrator.commands.train.trial import outcome_text, run_one
from orchestrator.recording.workspace import workspace
from tests.builders import TINY, expansion, yaml
from tests.place import Place, own_signals
from trainers.attempt.report import Outcome

MODES = """
version: 1
name: t
base:
  trainer: modes
  time: 1
  x: {of: p0, low: 0, high: 2, points: 2}
  y: {of: s0, low: 1, high: 2, points: 2}
axes: {m: {path: eta, values: [0.3]}}
tables: [{name: t, rows: m, metric: modes/collapsed_share}]
"""


def test_a_table_that_a_full_disk_does_not_take_is_kept_in_the_store_and_exit_code_4(
    ready: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    ready.write(MODES)
    with monkeypatch.context() as disk:
        disk.setattr(tables, "print_tables", full)
        said = ready.orch("sweep", "sweep.yaml", "--executor", "serial", code=4).stderr
        assert "orch: standard output: No space left on device; make room, and ask" in said
        assert "tables, figures and report: summary run" in said
        assert ready.orch("table", "sweep.yaml", code=4).stderr.startswith("orch: standard output: No space")
    assert "(n=1)" in ready.orch("table", "sweep.yaml").stdout


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")
def test_a_line_about_an_epoch_that_cannot_be_written_fails_no_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    (trial,) = expansion(MODES).trials
    space = workspace(tmp_path, None, tmp_path)
    full = os.fdopen(os.open("/dev/full", os.O_WRONLY), "wb", buffering=0)
    monkeypatch.setattr("builtins.print", lambda line, flush: full.write(line.encode()))
    outcome = run_one(trial, space, device="cpu", threads=1, download=False, as_json=as_json)
    monkeypatch.undo()
    full.close()
    assert outcome.status == "completed", outcome.reason


def test_ctrl_c_is_a_line_and_130_once_a_command_has_begun() -> None:
    with own_signals():
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # as `orch` starts
        with pytest.raises(typer.Exit) as ended, reported():
            signal.raise_signal(signal.SIGINT)
    assert ended.value.exit_code == 130


@pytest.mark.parametrize(
    ("words", "does", "says"),
    [
        (
            ["trial", "sweep.yaml", "base", "--keep", "encoder", "--out", "one.orch.zip"],
            "train.trial.epoch_line",
            "this trial was being trained, and nothing of it is kept",
        ),
        (
            ["plan", "sweep.yaml", "--forecast"],
            "look.forecast.missing_data",
            "trials were being rehearsed, and nothing of that is kept",
        ),
        (
            ["check-plugin", "own.py"],
            "look.plugin.configured",
            "a plug-in was being checked, and nothing of that is kept",
        ),
        (["table", "sweep.yaml"], "screen.tables.made_tables", None),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_breaks_off_a_command_is_told_what_it_did(
    number: int,
    words: list[str],
    does: str,
    says: str | None,
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken_off(*_: object, **__: object) -> str:
        signal.raise_signal(number)
        return ""

    left = place.folder / "left"
    left.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(left))
    monkeypatch.setattr(f"orchestrator.commands.{does}", broken_off)
    place.write(yaml(TINY, "seeds: 1\ntables: [{name: main, rows: []}]\n"))
    place.write((Path(write.__file__).parent / "mybyol.py").read_text(), "own.py")
    told = place.orch(*words, code=130).stderr
    assert told.splitlines()[-1] == (
        f"orch: stopped at once; {says}" if says else "orch: interrupted; no trial was running"
    )
    assert list(left.iterdir()) == []


def test_a_trial_whose_trainer_gives_a_verdict_without_evidence_is_shown() -> None:
    outcome = Outcome(status="collapsed", details={"collapse": {"verdict": "total"}})
    assert outcome_text(outcome).splitlines() == ["collapsed", "  collapse: total"]
