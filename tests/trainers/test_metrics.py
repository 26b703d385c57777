"""Every trainer but `command` declares what it reports: a sweep file that asks for more is refused early."""

from __future__ import annotations

from typing import Any

import pytest

from tests.marks import but_first_slow
from tests.trainers.builders import CONVNET, RUNTIME, config
from trainers.attempt.isolation import run_trial
from trainers.config.base import LoopConfig
from trainers.config.plugins import config_type, load, names
from trainers.measures import catalogue

GRID = {
    "x": {"of": "p0", "low": -1, "high": 2, "points": 5},
    "y": {"of": "s0", "low": 0.02, "high": 2, "points": 5},
}
TRIALS: dict[str, list[dict[str, Any]]] = {
    "ssl": [
        {
            "encoder": CONVNET,
            "method": {"name": "byol", "predictor": {"kind": "linear"}},
            "probe": {"best": True},
        },
        {"encoder": CONVNET, "method": {"name": "simclr"}},
    ],
    "modes": [GRID | {"eta": 0.1, "time": 50}, GRID | {"beta": 0.4, "time": 5}],
    "linear_dynamics": [{"size": 4, "time": 50, "records": 5}],
    "hltm": [{"depth": 3, "epochs": 1, "samples": 128, "measured": 500}],
}


def made(trainer: str, fields: dict[str, Any]) -> LoopConfig:
    if trainer == "ssl":
        return config(**fields)
    found = config_type("loops", trainer).model_validate(fields)
    assert isinstance(found, LoopConfig)
    return found


@pytest.mark.parametrize("trainer", but_first_slow(TRIALS))
def test_a_trainer_reports_what_it_declares_and_nothing_else(trainer: str) -> None:
    loop = load("loops", trainer)
    by_epoch, at_end, missing = set[str](), set[str](), set(loop.METRICS) | set(loop.FINAL_METRICS)
    for fields in TRIALS[trainer]:
        reports: list[Any] = []
        one = made(trainer, fields)
        outcome = run_trial(one, runtime=RUNTIME, folder=None, report=reports.append)
        assert outcome.status in ("completed", "collapsed"), outcome.reason
        told = {name for report in reports for name in report.metrics}
        unreported = loop.unreported(one) if hasattr(loop, "unreported") else set()
        assert not unreported & (told | outcome.metrics.keys())
        by_epoch |= told
        at_end |= outcome.metrics.keys() - told
        missing &= unreported | missing - told - outcome.metrics.keys()
    assert by_epoch <= set(loop.METRICS) and at_end <= set(loop.FINAL_METRICS)
    assert not set(loop.FINAL_METRICS) & by_epoch
    # Defined only where enough eigenvalues are alive, or of a deeper tree.
    assert {
        name
        for name in missing
        if not name.startswith(("Wp/slope", "correlation/", "covariance/", "weights/"))
    } == set()


def test_no_trainer_is_left_out() -> None:
    # What a script reports its file says; an evaluation needs an encoder: test_evaluations.py.
    assert TRIALS.keys() | {"command", "evaluation"} == set(names("loops"))


def test_every_metric_has_words_a_unit_and_a_formula() -> None:
    declared: set[str] = set()
    for kind in ("loops", "methods"):
        for module in (load(kind, name) for name in names(kind)):
            declared |= {*getattr(module, "METRICS", ()), *getattr(module, "FINAL_METRICS", ())}
    assert declared == set(catalogue.METRICS), "trainers/measures/catalogue.py says what each metric is"
    assert all(metric.words and metric.unit and metric.formula for metric in catalogue.METRICS.values())
