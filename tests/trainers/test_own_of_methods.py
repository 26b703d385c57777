"""Laws of what methods and encoders of one's own may do in a trial: draw random numbers, and measure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.rehearsal.contracts.loops import resumes, tiny_trial
from tests.contracts.test_plugins import SETTINGS
from tests.marks import but_first_slow
from tests.plugged import ENCODER, METHOD, joined
from trainers.attempt.isolation import run_trial
from trainers.attempt.report import EpochReport, Outcome
from trainers.config import foreign
from trainers.config.base import Runtime
from trainers.config.lazy import torch
from trainers.config.plugins import names
from trainers.loops import ssl

DROPPING = ENCODER.replace("nn.Flatten()", "nn.Flatten(), nn.Dropout(0.5)")
MEASURING = (
    METHOD.replace("return Siamese(", "return Own(")
    + """

from dataclasses import replace


class Own(Siamese):
    def forward(self, view1, view2, labels=None):
        made = super().forward(view1, view2, labels)
        return replace(made, metrics={"mine/loss": made.loss, "mine/one": 1})


METRICS = ("mine/loss", "mine/one")
"""
)


@pytest.fixture(autouse=True)
def own_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder to write plug-ins into, whose names end with the test."""
    monkeypatch.chdir(tmp_path)
    with foreign.knowing({}):
        yield


def trained(text: str) -> tuple[Outcome, list[EpochReport]]:
    joined(text)
    reports: list[EpochReport] = []
    config = tiny_trial(method="mine")
    return run_trial(config, runtime=Runtime(), folder=None, report=reports.append), reports


def test_a_resumed_trial_with_dropout_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    joined(DROPPING, "flat")
    config = tiny_trial(encoder="flat")
    resumes(config, tmp_path / "resumed")
    losses = []
    for _ in range(2):
        heard: list[EpochReport] = []
        run_trial(config, runtime=Runtime(), folder=None, report=heard.append)
        losses.append([one.metrics["train/loss"] for one in heard[1:]])
        torch.rand(3)  # whatever else was drawn before
    assert losses[0] == losses[1]


FEW = ("byol", "directpred", "simclr", "convnet", "lars")  # the others are trained with the slow tests


@pytest.mark.parametrize(
    "field",
    [
        pytest.param((kind, name), id=f"{kind}-{name}", marks=() if name in FEW else pytest.mark.slow)
        for kind in ("method", "encoder", "optimizer")
        for name in names(f"{kind}s")
    ],
)
def test_nothing_built_in_draws_from_the_global_generator_so_that_no_number_has_changed(
    field: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, name = field
    config = tiny_trial(**{kind: {"name": name, **SETTINGS.get(name, {})}}, epochs=1, knn={"k": 1})
    states: list[Any] = []
    train = ssl.train_epoch

    def watched(*given: Any, **named: Any) -> Any:
        states.append(torch.get_rng_state())
        losses = train(*given, **named)
        states.append(torch.get_rng_state())
        return losses

    monkeypatch.setattr(ssl, "train_epoch", watched)
    run_trial(config, runtime=Runtime(), folder=None, report=lambda message: None)
    assert len(states) == 2 and torch.equal(*states)


def test_what_a_method_measures_is_reported_as_its_mean_over_each_epoch() -> None:
    outcome, reports = trained(MEASURING)
    assert outcome.status in ("completed", "collapsed")
    for report in reports[1:]:
        assert report.metrics["mine/loss"] == pytest.approx(report.metrics["train/loss"], rel=1e-6)
        assert report.metrics["mine/one"] == 1
    assert outcome.metrics["mine/one"] == 1


@pytest.mark.parametrize(
    ("old", "new", "says"),
    but_first_slow(
        [
            ('"mine/one": 1', '"mine/two": 2', "measures 'mine/two', which its METRICS lacks"),
            ('"mine/one"', '"train/loss"', "measures 'train/loss', as its trainer does; rename it"),
            ('"mine/one"', '"probe/top1"', "measures 'probe/top1', as its trainer does; rename it"),
            ('"mine/one": 1', '"mine/one": made.z1[0]', "metric 'mine/one' is [6], expected one number"),
        ]
    ),
)
def test_what_a_method_may_not_measure_is_one_line(old: str, new: str, says: str) -> None:
    outcome, _ = trained(MEASURING.replace(old, new))
    assert outcome.status == "failed" and says in str(outcome.reason)
