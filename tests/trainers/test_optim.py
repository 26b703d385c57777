"""Laws of the optimizers: which parameter gets which rate, and what one step does."""

from __future__ import annotations

import inspect
import math
import sys
from typing import Any

import pytest
import torch
from torch import nn

from tests.trainers import builders
from trainers.config.families import members, module
from trainers.networks.rates import ScheduleConfig, build_optimizer, set_rates
from trainers.optimizers import adam, lars, sgd
from trainers.optimizers.base import MARKED, OptimizerConfig, uncompiled

# One step in float64 against the same formula in another order: some 10 roundings of 1e-16.
EXACT: dict[str, Any] = {"rtol": 1e-13, "atol": 1e-15}


def networks(seed: int = 0) -> dict[str, nn.Module]:
    """Three small networks in float64 whose parameters all have gradients."""
    torch.manual_seed(seed)
    nets: dict[str, nn.Module] = {
        "encoder": nn.Sequential(nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3)),
        "projector": nn.Sequential(nn.Linear(3, 4)),
        "predictor": nn.Sequential(nn.Linear(4, 4)),
    }
    for net in nets.values():
        net.double()
    new_gradients(nets)
    return nets


def new_gradients(nets: dict[str, nn.Module]) -> None:
    for net in nets.values():
        for p in net.parameters():
            p.grad = torch.randn_like(p)


def parameters(nets: dict[str, nn.Module]) -> dict[str, nn.Parameter]:
    return {f"{net}.{name}": p for net, module in nets.items() for name, p in module.named_parameters()}


def rates(config: OptimizerConfig) -> dict[str, tuple[float, float]]:
    """Learning rate and decay of every parameter by name."""
    groups = build_optimizer(networks(), config).param_groups
    return {name: (g["lr"], g["weight_decay"]) for g in groups for name in g["names"]}


NAMES = {
    "encoder.0.weight",
    "encoder.1.weight",
    "encoder.1.bias",
    "projector.0.weight",
    "projector.0.bias",
    "predictor.0.weight",
    "predictor.0.bias",
}


def test_names_and_parameters_of_a_group_belong_together() -> None:
    nets = networks()
    named = parameters(nets)
    assert set(named) == NAMES
    for group in build_optimizer(nets, sgd.Config(decay="no_bias")).param_groups:
        assert [named[name] for name in group["names"]] == group["params"]


def test_a_networks_own_rates_land_on_its_parameters_and_no_other() -> None:
    # Figure 4 of the report: α 0.2, α_p 2, η 0, η_p 4e-4.
    config = sgd.Config(lr=0.2, weight_decay=0.0, predictor={"lr": 2.0, "weight_decay": 4e-4})
    expected = {name: (2.0, 4e-4) if name.startswith("predictor") else (0.2, 0.0) for name in NAMES}
    assert rates(config) == expected


def test_a_decay_of_zero_is_not_taken_for_none() -> None:
    found = rates(sgd.Config(lr=0.1, weight_decay=0.5, encoder={"weight_decay": 0.0}))
    assert found["encoder.1.weight"] == (0.1, 0.0) and found["projector.0.weight"] == (0.1, 0.5)


@pytest.mark.parametrize(
    ("scope", "spared"),
    [
        ("all", set()),
        ("no_bias", {"projector.0.bias", "predictor.0.bias"}),
        (
            "no_bias_no_norm",
            {"projector.0.bias", "predictor.0.bias", "encoder.1.weight", "encoder.1.bias"},
        ),
    ],
)
def test_the_decay_scope_decides_which_parameters_decay(scope: str, spared: set[str]) -> None:
    found = rates(sgd.Config(weight_decay=0.5, decay=scope))
    assert {name for name, (_, decay) in found.items() if decay == 0.0} == spared
    assert {decay for name, (_, decay) in found.items() if name not in spared} == {0.5}


def test_a_parameter_of_two_networks_is_refused() -> None:
    layer = nn.Linear(2, 2)
    with pytest.raises(AssertionError, match=r"projector\.weight is in two parameter groups"):
        build_optimizer({"encoder": layer, "projector": layer}, sgd.Config())


def test_frozen_parameters_are_not_stepped() -> None:
    nets = networks()
    nets["projector"].requires_grad_(False)
    groups = build_optimizer(nets, sgd.Config()).param_groups
    assert {name for g in groups for name in g["names"]} == {n for n in NAMES if "projector" not in n}


# Steps


def test_sgd_follows_its_formula() -> None:
    nets = networks()
    optimizer = build_optimizer(nets, sgd.Config(lr=0.3, momentum=0.8, weight_decay=0.05))
    weights = {name: p.detach().clone() for name, p in parameters(nets).items()}
    velocity = {name: torch.zeros_like(w) for name, w in weights.items()}
    for _ in range(3):
        new_gradients(nets)
        for name, p in parameters(nets).items():
            velocity[name] = 0.8 * velocity[name] + p.grad + 0.05 * weights[name]
            weights[name] = weights[name] - 0.3 * velocity[name]
        optimizer.step()
    for name, p in parameters(nets).items():
        torch.testing.assert_close(p.detach(), weights[name], **EXACT)


def test_lars_follows_its_formula() -> None:
    nets = networks()
    config = lars.Config(lr=0.3, momentum=0.8, weight_decay=0.05, trust=0.01)
    optimizer = build_optimizer(nets, config)
    weights = {name: p.detach().clone() for name, p in parameters(nets).items()}
    velocity = {name: torch.zeros_like(w) for name, w in weights.items()}
    for _ in range(3):
        new_gradients(nets)
        for name, p in parameters(nets).items():
            w, update = weights[name], p.grad.clone()
            if w.ndim > 1:  # biases and BatchNorm neither decay nor scale
                update = update + 0.05 * w
                update = update * 0.01 * (w**2).sum() ** 0.5 / (update**2).sum() ** 0.5
            velocity[name] = 0.8 * velocity[name] + update
            weights[name] = w - 0.3 * velocity[name]
        optimizer.step()
    for name, p in parameters(nets).items():
        torch.testing.assert_close(p.detach(), weights[name], **EXACT)


def test_lars_decays_vectors_without_scaling_them() -> None:
    nets = networks()
    bias = nets["projector"][0].bias
    old = bias.detach().clone()
    config = lars.Config(lr=0.3, momentum=0.0, weight_decay=0.05, decay="all")
    build_optimizer(nets, config).step()
    torch.testing.assert_close(bias.detach(), old - 0.3 * (bias.grad + 0.05 * old), **EXACT)


def test_lars_steps_a_zero_matrix_by_its_plain_gradient() -> None:
    nets = networks()
    weight = nets["predictor"][0].weight
    nn.init.zeros_(weight)
    gradient = weight.grad.clone()
    build_optimizer(nets, lars.Config(lr=0.3)).step()
    torch.testing.assert_close(weight.detach(), -0.3 * gradient, **EXACT)


@pytest.mark.parametrize("decoupled", [False, True])
def test_adam_follows_its_formula(decoupled: bool) -> None:
    nets = networks()
    weight = nets["predictor"][0].weight
    old = weight.detach().clone()
    config = adam.Config(lr=0.3, weight_decay=0.05, decoupled=decoupled)
    gradient = weight.grad + (0.0 if decoupled else 0.05 * old)
    build_optimizer(nets, config).step()
    # After one step both bias-corrected moments are the gradient and its square.
    kept = old * (1 - 0.3 * 0.05) if decoupled else old
    expected = kept - 0.3 * gradient / (gradient.abs() + 1e-8)
    torch.testing.assert_close(weight.detach(), expected, **EXACT)


# Schedules


def test_a_predictor_with_a_constant_schedule_keeps_its_rate() -> None:
    optimizer = build_optimizer(networks(), sgd.Config(lr=0.2, predictor={"lr": 2.0, "schedule": "constant"}))
    for factor in (0.5, 0.25):  # twice: factors apply to the first rate, not to the one before
        set_rates(optimizer, factor)
        found = {g["network"]: g["lr"] for g in optimizer.param_groups}
        assert found == {"encoder": 0.2 * factor, "projector": 0.2 * factor, "predictor": 2.0}


def test_a_constant_schedule_is_one_from_first_to_last_step() -> None:
    assert {ScheduleConfig().factor(step, steps=30, steps_per_epoch=10) for step in range(30)} == {1.0}


def test_the_cosine_falls_from_one_by_half_a_cosine_to_its_end() -> None:
    schedule = ScheduleConfig(name="cosine", final=0.1)
    found = [schedule.factor(step, steps=30, steps_per_epoch=10) for step in (0, 15, 30)]
    assert found == pytest.approx([1.0, 0.55, 0.1], abs=1e-15)
    quarter = schedule.factor(10, steps=40, steps_per_epoch=10)
    assert quarter == pytest.approx(0.1 + 0.9 * (1 + math.sqrt(0.5)) / 2, abs=1e-15)


@pytest.mark.parametrize("name", ["constant", "cosine"])
def test_the_warm_up_is_linear_never_zero_and_ends_at_one(name: str) -> None:
    schedule = ScheduleConfig(name=name, warmup_epochs=0.5)
    found = [schedule.factor(step, steps=30, steps_per_epoch=10) for step in range(6)]
    assert found == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])


@pytest.mark.parametrize("name", members("trainers.optimizers"))
def test_a_step_leaves_each_gradient_in_its_tensor(name: str) -> None:
    nets = networks()
    before = {name: p.grad for name, p in parameters(nets).items()}
    build_optimizer(nets, module("trainers.optimizers", name).Config()).step()
    assert all(p.grad is before[name] for name, p in parameters(nets).items())


# What torch.compile would need


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_an_optimizer_without_marks_for_torch_compile_steps_as_torchs_own_bit_for_bit(kind: Any) -> None:
    mine, theirs = (list(parameters(networks()).values()) for _ in range(2))
    how = {"lr": 0.3, "weight_decay": 0.05} | ({"momentum": 0.8} if kind is torch.optim.SGD else {})
    own, other = uncompiled(kind)(mine, **how), kind(theirs, **how)
    for _ in range(3):
        for one, two in zip(mine, theirs, strict=True):
            two.grad = one.grad.clone()
        own.step()
        other.step()
        assert all(torch.equal(one, two) for one, two in zip(mine, theirs, strict=True))
        own.zero_grad()
        assert all(one.grad is None for one in mine)
        new_gradients({"all": nn.ParameterList(mine)})
    assert own.state_dict()["param_groups"] == other.state_dict()["param_groups"]
    other.load_state_dict(own.state_dict())
    own.load_state_dict(other.state_dict())


def test_a_trial_is_trained_and_probed_without_the_compiler_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each function that is marked for it remembers it, once it was imported.
    for name in MARKED:
        function = inspect.unwrap(getattr(torch.optim.Optimizer, name))
        monkeypatch.delattr(function, "__dynamo_disable", raising=False)
    for name in ("torch._dynamo", "torch._inductor.config"):
        monkeypatch.setitem(sys.modules, name, None)  # an import of it is an error
    assert builders.fit(builders.config()).status == "completed"
