"""Laws of BYOL and SimSiam; what every method promises is in tests/contracts/test_plugins.py."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.trainers.builders import (
    LABELS,
    config,
    fit,
    method,
    pair,
    timeless,
    train,
    trained_digest,
)
from trainers.attempt.checkpoint import digest
from trainers.config import plugins
from trainers.methods.base import AbstractMethod
from trainers.networks.rates import build_optimizer
from trainers.optimizers import sgd

METHODS = plugins.names("methods")
LINEAR = {"kind": "linear"}
KINDS = [{"kind": "mlp", "hidden": 5}, LINEAR, {"kind": "none"}]


# BYOL's loss


def literal_batchnorm(x: Tensor) -> Tensor:
    rows = len(x)
    mean = sum(x[n] for n in range(rows)) / rows
    variance = sum((x[n] - mean) ** 2 for n in range(rows)) / rows
    return (x - mean) / (variance + 1e-5) ** 0.5


def literal_branch(x: Tensor, w: dict[str, Tensor]) -> Tensor:
    """Embeddings of images: Linear, BatchNorm with γ and β, ReLU; then Linear, BatchNorm, ReLU, Linear."""
    h = x.reshape(len(x), -1) @ w["encoder.1.weight"].T + w["encoder.1.bias"]
    h = literal_batchnorm(h) * w["encoder.2.weight"] + w["encoder.2.bias"]
    z = h * (h > 0) @ w["projector.0.weight"].T + w["projector.0.bias"]
    z = literal_batchnorm(z)
    return z * (z > 0) @ w["projector.3.weight"].T + w["projector.3.bias"]


def literal_prediction(z: Tensor, w: dict[str, Tensor]) -> Tensor:
    if "predictor.0.weight" not in w:
        return z
    if "predictor.3.weight" not in w:
        return z @ w["predictor.0.weight"].T
    a = literal_batchnorm(z @ w["predictor.0.weight"].T + w["predictor.0.bias"])
    return a * (a > 0) @ w["predictor.3.weight"].T + w["predictor.3.bias"]


def literal_cosine(a: Tensor, b: Tensor) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for row_a, row_b in zip(a, b, strict=True):
        total = total + (row_a * row_b).sum() / ((row_a**2).sum() ** 0.5 * (row_b**2).sum() ** 0.5)
    return total / len(a)


@pytest.mark.parametrize("predictor", KINDS, ids=lambda kind: kind["kind"])
def test_byols_loss_and_gradient_equal_a_literal_reference(predictor: dict[str, object]) -> None:
    # An independent target has weights of its own, so a mistaken branch would show in the value.
    built = method(predictor=predictor, momentum=0.9, loss_scale=2, target_init="independent")
    built.networks.double()
    view1, view2 = pair(dtype=torch.float64)
    loss = built.forward(view1, view2).loss
    loss.backward()

    weights = {name: p.detach().clone() for name, p in built.networks.named_parameters()}
    fixed = {k.removeprefix("target_"): v for k, v in weights.items() if k.startswith("target_")}
    target1, target2 = literal_branch(view1, fixed), literal_branch(view2, fixed)
    online = {k: v.requires_grad_() for k, v in weights.items() if not k.startswith("target_")}
    p1 = literal_prediction(literal_branch(view1, online), online)
    p2 = literal_prediction(literal_branch(view2, online), online)
    expected = -2 * (literal_cosine(p1, target2) + literal_cosine(p2, target1))
    expected.backward()

    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-9)
    for name, weight in online.items():
        got = built.networks.get_parameter(name).grad
        torch.testing.assert_close(got, weight.grad, rtol=1e-8, atol=1e-9, msg=name)


def targets(built: AbstractMethod) -> list[nn.Parameter]:
    return [p for name in ("encoder", "projector") for p in built.networks[f"target_{name}"].parameters()]


WITH_TARGET = [name for name in METHODS if "target_encoder" in method(name).networks]


def test_methods_with_a_target_of_their_own_are_found() -> None:
    assert {"byol", "directpred", "moco"} <= set(WITH_TARGET)


@pytest.mark.parametrize("name", WITH_TARGET)
def test_the_gradient_never_reaches_the_target(name: str) -> None:
    built = method(name)
    target = targets(built)
    before = copy.deepcopy(target)
    optimizer = build_optimizer(built.trained, sgd.Config(lr=1.0, weight_decay=0.1))
    built.forward(*pair(), LABELS).loss.backward()
    optimizer.step()
    stepped = {id(p) for group in optimizer.param_groups for p in group["params"]}
    for p, old in zip(target, before, strict=True):
        assert p.grad is None and not p.requires_grad and id(p) not in stepped and torch.equal(p, old)


def test_the_shared_target_passes_no_gradient_either() -> None:
    # Without stop-gradient the predictor-free loss is symmetric in its branches and its gradient doubles.
    shared = method(momentum=0.0, predictor={"kind": "none"})
    kept = method(momentum=1.0, predictor={"kind": "none"})
    for built in (shared, kept):
        built.forward(*pair()).loss.backward()
    for p, q in zip(shared.encoder.parameters(), kept.encoder.parameters(), strict=True):
        assert p.grad is not None and p.grad.abs().sum() > 0 and torch.equal(p.grad, q.grad)


# The target


@pytest.mark.parametrize("name", WITH_TARGET)
def test_a_step_moves_the_target_to_the_moving_average(name: str) -> None:
    built = method(name, momentum=0.75)
    target = copy.deepcopy(targets(built))
    train(built, 1)
    online = [*built.encoder.parameters(), *built.projector.parameters()]
    for new, old, p in zip(targets(built), target, online, strict=True):
        assert not torch.equal(new, old)
        torch.testing.assert_close(new, 0.75 * old + 0.25 * p, rtol=1e-6, atol=1e-7)  # one float32 rounding


def test_a_step_moves_the_target_by_the_momentum_of_that_step() -> None:
    built = method(momentum=0.5, momentum_end=1.0)
    target = copy.deepcopy(targets(built))
    forward = built.forward(*pair())
    for p in built.encoder.parameters():
        p.data.add_(1.0)
    built.after_step(forward, step=100, steps=100)  # the ramp's end: nothing moves any more
    assert all(torch.equal(new, old) for new, old in zip(targets(built), target, strict=True))
    built.after_step(forward, step=0, steps=100)
    assert not torch.equal(targets(built)[0], target[0])


def test_the_target_starts_as_a_copy_unless_it_is_independent() -> None:
    for start, equal in (("copy", True), ("independent", False)):
        networks = method(target_init=start).networks
        for name in ("encoder", "projector"):
            states = [digest(networks[prefix + name].state_dict()) for prefix in ("", "target_")]
            assert (states[0] == states[1]) is equal


def test_the_target_stays_in_train_mode() -> None:
    built = method(momentum=0.9)
    train(built, 2)
    assert all(module.training for module in built.networks["target_encoder"].modules())


def test_the_targets_batch_statistics_are_the_batchs_own() -> None:
    built = method(momentum=0.9)
    before = built.forward(*pair()).loss
    for module in built.networks.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean += 100
    assert torch.equal(built.forward(*pair()).loss, before)


# Without EMA


def test_no_ema_equals_a_target_that_is_copied_before_every_step() -> None:
    built = method("byol", momentum=0.0)
    kept = method("byol", momentum=0.0)
    encoder, projector, predictor = kept.trained.values()
    optimizer = build_optimizer(kept.trained, sgd.Config(lr=0.1))
    for step in range(4):
        target = copy.deepcopy(nn.Sequential(encoder, projector))
        views = pair(seed=step)
        z1, z2 = (projector(encoder(view)) for view in views)
        with torch.no_grad():
            t1, t2 = (target(view) for view in views)
        similarity = nn.functional.cosine_similarity
        loss = -(similarity(predictor(z1), t2).mean() + similarity(predictor(z2), t1).mean())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    train(built, 4)
    assert digest(built.networks.state_dict()) == digest(kept.networks.state_dict())


def test_simsiam_is_byol_without_ema_bit_for_bit(tmp_path: Path) -> None:
    byol = fit(config(method={"name": "byol", "momentum": 0.0, "loss_scale": 0.5}), tmp_path / "byol")
    simsiam = fit(config(method={"name": "simsiam", "loss_scale": 0.5}), tmp_path / "simsiam")
    assert timeless(simsiam.metrics) == timeless(byol.metrics)
    assert trained_digest(tmp_path / "simsiam") == trained_digest(tmp_path / "byol")


# Symmetric predictors


@pytest.mark.parametrize("name", ["byol", "simsiam"])
def test_a_symmetric_linear_predictor_is_symmetric_after_every_step(name: str) -> None:
    built = method(name, predictor=LINEAR | {"symmetric": True})
    for step in range(3):
        train(built, 1 + step)
        weight = built.trained["predictor"][0].weight
        assert torch.equal(weight, weight.T)


def test_a_symmetric_two_layer_predictor_has_transposed_weights_after_every_step() -> None:
    built = method(predictor={"hidden": 5, "symmetric": True})
    for step in range(3):
        train(built, 1 + step)
        first, second = built.trained["predictor"][0], built.trained["predictor"][3]
        assert torch.equal(first.weight, second.weight.T)


def test_symmetrising_takes_the_mean_and_leaves_biases_alone() -> None:
    regular, symmetric = (method(predictor={"hidden": 5, "symmetric": s}) for s in (False, True))
    train(regular, 1)
    train(symmetric, 1)
    (w1, w2), (s1, s2) = ([b.trained["predictor"][i] for i in (0, 3)] for b in (regular, symmetric))
    torch.testing.assert_close(s1.weight, (w1.weight + w2.weight.T) / 2, rtol=0, atol=0)
    assert torch.equal(s1.bias, w1.bias) and torch.equal(s2.bias, w2.bias)


def test_a_regular_predictor_is_left_alone() -> None:
    built = method(predictor=LINEAR | {"symmetric": False})
    train(built, 1)
    weight = built.trained["predictor"][0].weight
    assert not torch.equal(weight, weight.T)
