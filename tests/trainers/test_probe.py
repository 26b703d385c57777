"""Laws of the probe and of k-NN: what they find, and that looking changes nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook

from tests.trainers.builders import CONVNET, RUNTIME, config
from trainers.attempt.checkpoint import digest
from trainers.loops import ssl
from trainers.measures.probe import KnnConfig, ProbeConfig, knn_top1, linear_probe, standardised
from trainers.randomness import stream

CLASSES = 4
FAST = ProbeConfig(epochs=5)


def features(number: int, *, separation: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Normal features whose class means are `separation` apart on axes of their own, and labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (number,), generator=generator)
    x = torch.randn((number, 8), generator=generator)
    return x + separation * torch.eye(CLASSES, 8)[labels], labels


def probe(
    separation: float, config: ProbeConfig = FAST, *, scale: float = 1.0, seed: int = 0
) -> dict[str, float]:
    x, y = features(512, separation=separation)
    test, labels = features(512, separation=separation, seed=1)
    generator = stream(seed, "probe")
    return linear_probe(
        x * scale, y, test * scale, labels, classes=CLASSES, config=config, generator=generator
    )


def test_separable_features_are_classified_without_error() -> None:
    found = probe(30.0, ProbeConfig(epochs=50))
    assert found["probe/top1"] == found["probe/train_top1"] == 1.0


def test_features_that_know_nothing_of_the_labels_give_chance() -> None:
    # Standard deviation of 512 guesses at 1/4: 0.019; four of them.
    assert abs(probe(separation=0.0)["probe/top1"] - 1 / CLASSES) < 0.077


def test_top5_counts_labels_among_the_five_best() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn((600, 3), generator=generator), torch.randint(0, 10, (600,), generator=generator)
    found = linear_probe(x, y, x, y, classes=10, config=FAST, generator=stream(0, "probe"))
    # Ten classes and no information: a half, with a standard deviation of 0.02, and a little learned.
    assert abs(found["probe/top5"] - 0.5) < 0.12 and found["probe/top1"] < 0.3
    assert probe(separation=0.0)["probe/top5"] == 1.0  # of four classes


def test_the_probe_is_the_same_for_the_same_stream_and_another_for_another() -> None:
    assert probe(1.0) == probe(1.0)
    assert probe(1.0)["probe/train_loss"] != probe(1.0, seed=1)["probe/train_loss"]


@contextmanager
def recorded_rates() -> Iterator[list[float]]:
    """The learning rate of every optimizer step that is made inside."""
    rates: list[float] = []
    handle = register_optimizer_step_pre_hook(lambda o, *_: rates.append(o.param_groups[0]["lr"]))
    yield rates
    handle.remove()


def test_the_rate_falls_by_a_power_of_two_to_the_final_one() -> None:
    with recorded_rates() as rates:
        probe(1.0, ProbeConfig(epochs=50, batch_size=128, lr=0.05, final_lr=0.005))
    steps = 50 * 4
    expected = [0.005 + 0.045 * (1 - step / steps) ** 2 for step in range(steps)]
    assert rates == pytest.approx(expected, rel=1e-12)  # float64, five roundings
    assert rates[0] == 0.05 and rates[-1] == pytest.approx(0.005, rel=1e-3)


def test_the_last_small_batch_of_an_epoch_is_used() -> None:
    with recorded_rates() as rates:
        probe(1.0, ProbeConfig(epochs=1, batch_size=500))
    assert len(rates) == 2


def test_a_standardised_probe_does_not_see_the_features_scale() -> None:
    plain, scaled = (probe(1.0, ProbeConfig(epochs=5, standardise=True), scale=s) for s in (1.0, 1024.0))
    assert plain == scaled  # a power of two changes no mantissa
    assert probe(1.0)["probe/train_loss"] != probe(1.0, scale=1024.0)["probe/train_loss"]


def test_features_are_standardised_as_scikit_learn_does_it() -> None:
    from sklearn.preprocessing import StandardScaler

    generator = torch.Generator().manual_seed(0)
    train, test = torch.randn((2, 300, 5), generator=generator) * torch.tensor([1e-3, 1.0, 1e3, 0.0, 0.0])
    train[:, 4], test[:, 4] = 0.1, 0.1 + test[:, 0]  # constant, and not in the test set
    scaler = StandardScaler().fit(train.double().numpy())
    for found, values in zip(standardised(train, test), (train, test), strict=True):
        expected = torch.from_numpy(scaler.transform(values.double().numpy()))
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-6)  # float32, 300 values


def test_what_only_rounding_makes_differ_is_constant() -> None:
    rounded = torch.full((100, 1), 0.1)
    rounded[::2] = torch.nextafter(rounded[::2], torch.ones(1))
    train, test = standardised(rounded, torch.ones(4, 1))
    assert float(train.abs().max()) < 1e-6 and test.flatten().tolist() == pytest.approx([0.9] * 4)


def test_a_unit_that_was_silent_in_training_does_not_drown_the_others() -> None:
    (x, y), (test, labels) = (features(512, separation=8.0, seed=seed) for seed in (0, 1))
    touched = torch.zeros(512, 1)
    touched[::5] = 1.0
    found = linear_probe(
        torch.cat((x, torch.zeros(512, 1)), dim=1),
        y,
        torch.cat((test, touched), dim=1),
        labels,
        classes=CLASSES,
        config=ProbeConfig(epochs=20, standardise=True),
        generator=stream(0, "probe"),
    )
    assert found["probe/top1"] > 0.98


@pytest.mark.parametrize(
    ("library", "bound"), [(None, math.sqrt(6 / (64 + 4))), ("torch", 1 / math.sqrt(64))]
)
def test_the_classifier_starts_as_its_library_has_it(library: Any, bound: float) -> None:
    started: list[tuple[list[Tensor], float]] = []

    def note(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        group = optimizer.param_groups[0]
        started.append(([p.detach().clone() for p in group["params"]], group["eps"]))

    handle = register_optimizer_step_pre_hook(note)
    x, y = torch.randn(512, 64), torch.arange(512) % CLASSES
    chosen = ProbeConfig(epochs=1, library=library)
    linear_probe(x, y, x, y, classes=CLASSES, config=chosen, generator=stream(0, "probe"))
    handle.remove()
    (weight, bias), eps = started[0]
    assert 0.95 * bound < float(weight.abs().max()) <= bound  # of 256 uniform values
    assert bool(bias.any()) == (library == "torch") and float(bias.abs().max()) <= bound
    assert eps == (1e-8 if library == "torch" else 1e-7)
    if library == "torch":
        assert bound == pytest.approx(float(torch.nn.Linear(64, 9999).weight.detach().abs().max()), rel=1e-4)


def test_the_last_small_batch_is_dropped_where_the_reports_code_is_followed() -> None:
    with recorded_rates() as rates:
        probe(1.0, ProbeConfig(epochs=2, batch_size=500, lr=0.05, final_lr=0.005, drop_last=True))
    assert rates == pytest.approx([0.05, 0.005 + 0.045 / 4], rel=1e-12)  # two steps of the decay


# k-NN


def literal_knn(x: Tensor, y: Tensor, test: Tensor, labels: Tensor, k: int, temperature: float) -> float:
    correct = 0
    for query, label in zip(test.double(), labels.tolist(), strict=True):
        cosines = [float(query @ row / (query.norm() * row.norm())) for row in x.double()]
        nearest = sorted(range(len(x)), key=lambda i: -cosines[i])[:k]
        votes = [0.0] * CLASSES
        for i in nearest:
            votes[int(y[i])] += math.exp(cosines[i] / temperature)
        correct += votes.index(max(votes)) == label
    return correct / len(test)


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.1), (7, 0.1), (40, 0.02), (40, 5.0)])
def test_knn_equals_a_literal_vote(k: int, temperature: float) -> None:
    (x, y), (test, labels) = (features(60, separation=1.0, seed=seed) for seed in (0, 1))
    chosen = KnnConfig(k=k, temperature=temperature)
    found = knn_top1(x, y, test, labels, classes=CLASSES, config=chosen)
    assert found == literal_knn(x, y, test, labels, k, temperature)
    assert 1 / CLASSES < found < 1


def test_knn_sees_directions_alone() -> None:
    (x, y), (test, labels) = (features(200, separation=1.0, seed=seed) for seed in (0, 1))
    found = [knn_top1(x * s, y, test, labels, classes=CLASSES, config=KnnConfig(k=9)) for s in (1.0, 1024.0)]
    assert found[0] == found[1]


def test_more_neighbours_than_features_are_all_of_them() -> None:
    (x, y), (test, labels) = (features(50, separation=1.0, seed=seed) for seed in (0, 1))
    found = [knn_top1(x, y, test, labels, classes=CLASSES, config=KnnConfig(k=k)) for k in (50, 5000)]
    assert found[0] == found[1]


# Evaluating a trial


def trained_trial() -> tuple[ssl.Trial, ssl.Images]:
    chosen = config(encoder=CONVNET)
    images = ssl.load_images(chosen.data, RUNTIME)
    trial = ssl.Trial(chosen, images, RUNTIME)
    ssl.train_epoch(trial, *images.for_training(), 0, mean=torch.zeros(3), std=torch.ones(3))
    return trial, images


def evaluate(trial: ssl.Trial, images: ssl.Images) -> dict[str, float]:
    return ssl.evaluate(trial, images, mean=torch.zeros(3), std=torch.ones(3))


def test_evaluating_changes_neither_networks_nor_their_mode() -> None:
    trial, images = trained_trial()
    before = digest(trial.networks.state_dict())
    first, second = evaluate(trial, images), evaluate(trial, images)
    assert first == second and digest(trial.networks.state_dict()) == before
    assert all(module.training for module in trial.networks.modules())


def test_evaluation_uses_running_statistics() -> None:
    # In train mode they would not matter.
    trial, images = trained_trial()
    before = evaluate(trial, images)
    trial.method.encoder[1].running_var.mul_(1e4)
    assert evaluate(trial, images)["probe/train_loss"] != before["probe/train_loss"]


def test_evaluation_sees_the_encoder_and_no_other_network() -> None:
    trial, images = trained_trial()
    before = evaluate(trial, images)
    for name, network in trial.networks.items():
        if name != "encoder":
            for p in network.parameters():
                p.data.zero_()
    assert evaluate(trial, images) == before
