"""What is looked at before the first trial: told if it takes a while."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from orchestrator import Sweep
from orchestrator.commands.screen import grid
from orchestrator.errors import UsageError
from orchestrator.execution import drive
from orchestrator.execution.options import Options
from orchestrator.planning.data import missing_packages
from orchestrator.planning.plan import make_plan
from orchestrator.recording.workspace import workspace
from tests.builders import INFO, expansion
from tests.place import Place


@pytest.mark.parametrize(
    ("slow", "told"),
    [
        ("checks.unusable", "looking whether .*trials keeps checkpoints"),
        ("checks.missing_data", "looking for the data"),
        ("drive.plan_sweep", "looking into the store"),
        ("drive.provenance", "looking at the code and this machine"),
    ],
)
def test_what_takes_long_before_the_first_trial_is_said(
    ready: Place, monkeypatch: pytest.MonkeyPatch, slow: str, told: str
) -> None:
    answers = {
        "checks.unusable": None,
        "checks.missing_data": (),
        "drive.plan_sweep": make_plan(expansion(), {}),
        "drive.provenance": INFO.provenance,
    }

    def answer(*_: object) -> object:
        time.sleep(0.3)
        return answers[slow]

    monkeypatch.setattr(f"orchestrator.execution.{slow}", answer)
    monkeypatch.setattr("orchestrator.process.waiting.WORD_S", 0.2)
    said: list[str] = []
    prepared = drive.prepare(
        expansion(), workspace(ready.folder / "runs", None, None), Options("serial", None), say=said.append
    )
    prepared.store.close()
    assert [line for line in said if re.fullmatch(f"{told} …", line)]


def test_a_package_that_data_needs_is_said_by_validate_and_plan_and_before_a_download(
    ready: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "huggingface tiny: needs the package datasets: pip install 'orch-ssl[huggingface]'"
    monkeypatch.setattr("trainers.datasets.huggingface.needs", lambda config: line)
    data = {"name": "huggingface", "path": "tiny"}
    base = {"trainer": "ssl", "method": "simsiam", "encoder": "linear", "data": data}
    tree = {
        "version": 1,
        "name": "s",
        "base": base,
        "axes": {"size": {"path": "data.size", "values": [8, 9]}},
    }
    sweep = Sweep(tree, home=ready.folder / "runs")
    assert grid.validated(sweep.spec, "s.yaml").splitlines()[1:] == [f"s.yaml: {line}"]
    assert grid.plan_text(sweep.plan()).splitlines()[-1] == line
    with pytest.raises(UsageError, match=re.escape(line)):
        sweep.run(download=True, executor="serial")


@pytest.mark.parametrize(
    ("program", "says"),
    [
        (
            "nosuchprogram",
            "run: no such program on this machine: nosuchprogram; install it, or give its path",
        ),
        ("/no/such", "run: no such program on this machine: /no/such; install it, or give its path"),
        ("train.sh", "run: train.sh is one of its files, and looked for in PATH; write ./train.sh"),
        ("sh", None),
        ("./train.sh", None),
    ],
)
def test_a_program_that_is_not_there_is_told_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, says: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("train.sh").write_text("#!/bin/sh\n", encoding="ascii")
    base = {
        "trainer": "command",
        "run": [program, "{seed}", "{lr}"],
        "files": ["train.sh"],
        "params": {"lr": 1},
    }
    axes = {"lr": {"path": "params.lr", "values": [1, 2]}}
    sweep = Sweep({"version": 1, "name": "s", "base": base, "axes": axes})
    assert list(missing_packages(sweep.expansion.cells)) == ([says] if says else [])
