"""What is looked at before the first trial: told if it takes a while."""

from __future__ import annotations

import re
import time

import pytest

from orchestrator import Sweep
from orchestrator.commands.screen import grid
from orchestrator.errors import UsageError
from orchestrator.execution import drive
from orchestrator.execution.options import Options
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
