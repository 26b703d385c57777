"""A trial that starts from another's trained encoder: its weights, on every network, and after a resume."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainers.builders import TINY, blueprint, config, fit, interrupt, timeless
from trainers.attempt import checkpoint
from trainers.attempt.checkpoint import ENCODER, GIVEN
from trainers.attempt.report import Outcome
from trainers.config.base import Runtime, canonical, identity_dump
from trainers.loops import ssl
from trainers.networks.kept import EncoderFileError, about_of, read, sha256

PARENT = "0123456789ab"
NETWORK = TINY["encoder"] | {"from_trial": PARENT}


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file with the encoder of a trained trial."""
    folder = tmp_path_factory.mktemp("parent")
    outcome = ssl.fit(
        config(epochs=1), runtime=Runtime(keep=("encoder",)), folder=folder, report=lambda message: None
    )
    assert outcome.status == "completed"
    return folder / ENCODER


def given(left: Path, folder: Path) -> Path:
    """A trial's folder, in which the encoder was laid."""
    folder.mkdir()
    shutil.copy(left, folder / GIVEN)
    return folder


@pytest.mark.slow
def test_a_child_starts_from_the_very_weights_and_says_so(left: Path, tmp_path: Path) -> None:
    outcome = fit(config(encoder=NETWORK), given(left, tmp_path / "child"))
    kept = read(left.read_bytes())
    assert outcome.details["encoder_start"] == checkpoint.digest(kept.encoder.state_dict())
    assert outcome.details["started_from"] == {"trial": PARENT, "sha256": sha256(left.read_bytes())}
    scratch = fit(config())
    assert "started_from" not in scratch.details and scratch.metrics != outcome.metrics


def test_every_encoder_of_a_method_starts_from_them(left: Path) -> None:
    weights = read(left.read_bytes()).encoder.state_dict()
    plan = blueprint(TINY["encoder"])
    started = type(plan)(plan.encoder_config, plan.projector_config, plan.shape, plan.seed, start=weights)
    for copy_of in ("online", "target"):
        state = started.encoder(copy_of)[0].state_dict()
        assert all(torch.equal(value, state[name]) for name, value in weights.items())


@pytest.mark.slow
def test_an_interrupted_child_ends_as_one_that_was_not(left: Path, tmp_path: Path) -> None:
    whole = fit(config(encoder=NETWORK), given(left, tmp_path / "whole"))
    interrupt(given(left, tmp_path / "child"), epoch=2, encoder=NETWORK)
    again: Outcome = fit(config(encoder=NETWORK), tmp_path / "child")
    assert again.details["resumed_at_epoch"] == 2
    assert timeless(again.metrics) == timeless(whole.metrics)
    assert again.details["started_from"] == whole.details["started_from"]


def test_what_a_child_leaves_is_a_network_like_any_other(left: Path, tmp_path: Path) -> None:
    folder = given(left, tmp_path / "child")
    ssl.fit(
        config(encoder=NETWORK, epochs=1),
        runtime=Runtime(keep=("encoder",)),
        folder=folder,
        report=lambda message: None,
    )
    network = about_of((folder / ENCODER).read_bytes()).network
    assert canonical(identity_dump(network)) == canonical(identity_dump(config().encoder))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"encoder": NETWORK | {"widths": [24]}}, "encoder of trial 0123456789ab is another network"),
        (
            {"encoder": NETWORK, "data": TINY["data"] | {"size": 16}},
            "the encoder to start from does not take images of 3x16x16: weight '1.weight' has shape",
        ),
    ],
)
def test_an_encoder_of_another_shape_is_one_line_before_the_first_epoch(
    left: Path, tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(EncoderFileError, match=says):
        fit(config(**changes), given(left, tmp_path / "child"))


def test_an_encoder_that_was_not_given_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(EncoderFileError, match="encoder of trial 0123456789ab was not given to this trial"):
        fit(config(encoder=NETWORK), tmp_path)
