"""How a command ends when what it says cannot be written, or somebody interrupts it."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest
import typer

from orchestrator.commands.options import reported
from orchestrator.commands.screen import tables
from orchestrator.commands.train.trial import outcome_text, run_one
from orchestrator.recording.workspace import workspace
from tests.builders import expansion
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


def test_a_trial_whose_trainer_gives_a_verdict_without_evidence_is_shown() -> None:
    outcome = Outcome(status="collapsed", details={"collapse": {"verdict": "total"}})
    assert outcome_text(outcome).splitlines() == ["collapsed", "  collapse: total"]
