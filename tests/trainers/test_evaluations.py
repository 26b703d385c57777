"""Evaluations of a kept encoder: a trial's own numbers, fair labels, and one line for what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.marks import but_first_slow
from tests.trainers.builders import TINY, config
from trainers.attempt.checkpoint import ENCODER, GIVEN
from trainers.attempt.isolation import clean_process, run_trial
from trainers.attempt.report import EpochReport, Outcome
from trainers.config import plugins
from trainers.config.base import Runtime
from trainers.datasets import shapes
from trainers.datasets.base import Images
from trainers.loops import evaluation
from trainers.measures.evaluations.base import LabelsError, labelled
from trainers.measures.evaluations.corruptions import KINDS, corrupted
from trainers.networks.kept import About, sha256, written

NETWORK = {"network": TINY["encoder"], "projector": TINY["projector"]}
KEEPING = Runtime(keep=("encoder",))


def images(train: int = 200) -> Images:
    return shapes.load(shapes.Config(size=8, train=train, test=40), root=None, download=False)


def asked(protocol: Any, sha256: str | None = None, **more: Any) -> evaluation.Config:
    return evaluation.Config.model_validate(
        {"encoder": NETWORK | {"sha256": sha256}, "protocol": protocol, "data": TINY["data"], **more}
    )


def evaluate(protocol: Any, sha256: str | None = None, folder: Path | None = None, **more: Any) -> Outcome:
    return run_trial(
        asked(protocol, sha256, **more), runtime=Runtime(), folder=folder, report=lambda message: None
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Path]:
    """A trial that has left its encoder, where an evaluation finds it."""
    folder = tmp_path_factory.mktemp("trial")
    outcome = run_trial(config(), runtime=KEEPING, folder=folder, report=lambda message: None)
    (folder / ENCODER).rename(folder / GIVEN)
    return outcome, folder


@pytest.mark.slow
def test_an_evaluation_by_the_trials_own_protocol_finds_its_very_numbers(
    trained: tuple[Outcome, Path],
) -> None:
    outcome, folder = trained
    digest = outcome.details["encoder"]["sha256"]
    found = evaluate({"name": "linear", "probe": TINY["probe"]}, digest, folder)
    own = {name: value for name, value in outcome.metrics.items() if name.startswith("probe/")}
    assert {f"probe/{name.split('/')[1]}": value for name, value in found.metrics.items()} == own
    knn = evaluate({"name": "knn", "knn": TINY["knn"]}, digest, folder)
    assert knn.metrics == {"evaluation/top1": outcome.metrics["knn/top1"]}


def test_keeping_an_encoder_changes_no_number(trained: tuple[Outcome, Path]) -> None:
    alone = run_trial(config(), runtime=Runtime(), folder=None, report=lambda message: None)
    assert alone.metrics | {"time/epoch_s": 0, "time/images_per_s": 0} == trained[0].metrics | {
        "time/epoch_s": 0,
        "time/images_per_s": 0,
    }


@pytest.mark.parametrize("name", but_first_slow(plugins.names("evaluations"), 2))
def test_every_protocol_reports_what_it_declares_and_the_same_twice(name: str) -> None:
    small = {
        "fine_tune": {"epochs": 1},
        "knn": {},
        "corruptions": {"severities": [5], "probe": {"epochs": 2}},
    }
    protocol = {"name": name, **small.get(name, {"probe": {"epochs": 2}})}
    found, again = evaluate(protocol), evaluate(protocol)
    assert found.status == "completed" and found.metrics == again.metrics
    assert {"evaluation/top1"} <= found.metrics.keys() <= set(plugins.load("evaluations", name).METRICS)


def test_few_labels_are_as_many_of_each_class_and_drawn_from_the_seed() -> None:
    chosen = [labelled(images(), 0.25, seed=seed, name="x") for seed in (0, 0, 1)]
    for one in chosen:
        assert torch.bincount(one.train_labels, minlength=10).tolist() == [5] * 10
    assert torch.equal(chosen[0].train, chosen[1].train) and not torch.equal(chosen[0].train, chosen[2].train)
    assert len(chosen[0].test) == 40


def test_labels_that_a_data_set_lacks_are_one_line() -> None:
    whole = images()
    whole.train_labels[3:5] = -1
    with pytest.raises(LabelsError, match="data set 'x' has no label for 2 of 200 training images"):
        labelled(whole, None, seed=0, name="x")
    whole.train_labels[:] = 0
    with pytest.raises(LabelsError, match=r"20 of each class; '.*' has 0"):
        labelled(whole, 0.99, seed=0, name="x")


@pytest.mark.parametrize("kind", KINDS)
def test_a_corruption_keeps_shape_and_grows_with_its_severity(kind: Any) -> None:
    clean = images().test
    distances = [
        float((corrupted(clean, kind, level, seed=0).float() - clean.float()).abs().mean())
        for level in (1, 3, 5)
    ]
    assert corrupted(clean, kind, 1, seed=0).shape == clean.shape
    assert 0 < distances[0] <= distances[1] <= distances[2] and distances[0] < distances[2]


@pytest.mark.slow
def test_fine_tuning_learns_and_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    protocol = {"name": "fine_tune", "epochs": 4, "batch_size": 8, "lr": 0.05}
    losses: list[float] = []

    def report(message: EpochReport) -> None:
        losses.extend(v for k, v in message.metrics.items() if k == "evaluation/train_loss")
        if message.epoch == 2 and not message.replayed and len(losses) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), clean_process(threads=1):
        evaluation.fit(asked(protocol), runtime=Runtime(), folder=tmp_path, report=report)
    assert losses[1] < losses[0]
    assert evaluate(protocol, folder=tmp_path).metrics == evaluate(protocol).metrics


def grey_network(about: About) -> torch.nn.Module:
    return plugins.load("encoders", about.network.name).build(about.network, about.shape)[0]  # type: ignore


@pytest.mark.slow
def test_what_is_wrong_with_a_given_encoder_is_one_line(
    trained: tuple[Outcome, Path], tmp_path: Path
) -> None:
    outcome, folder = trained
    digest = outcome.details["encoder"]["sha256"]
    told = [evaluate("knn", digest, tmp_path).reason]
    (tmp_path / GIVEN).write_bytes((folder / GIVEN).read_bytes()[:-9])
    told.append(evaluate("knn", digest, tmp_path).reason)
    told.append(
        evaluate("knn", digest, folder, data={"name": "shapes", "size": 9, "train": 64, "test": 40}).reason
    )
    grey = About(network=NETWORK["network"], shape=(1, 8, 8), mean=(0.5,), std=(0.2,), dimension=16)
    content = written(grey, grey_network(grey), None)
    (tmp_path / GIVEN).write_bytes(content)
    told.append(evaluate("knn", sha256(content), tmp_path).reason)
    expected = (
        "was not given to this trial",
        "is damaged: its digest is",
        "has images of 3x9x9, which the encoder does not take",
        "has images of 3 channels, and the encoder takes 1",
    )
    for line, part in zip(told, expected, strict=True):
        assert line is not None and part in line and "\n" not in line


def test_more_blocks_than_the_projector_has_are_told_before_training() -> None:
    with pytest.raises(ValueError, match="is 2, but the projector has 1 hidden layers"):
        asked({"name": "knn", "blocks": 2})
