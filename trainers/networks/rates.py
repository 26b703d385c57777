"""Parameter groups and learning-rate schedules: who is stepped at which rate, and when."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field

from trainers.config.base import Frozen
from trainers.config.lazy import nn, torch
from trainers.config.plugins import behind
from trainers.optimizers.base import NetworkRates, OptimizerConfig


class ScheduleConfig(Frozen):
    """How the learning rate moves over training, as a factor of the optimizer's rate."""

    name: Literal["constant", "cosine"] = "constant"
    """"constant" (report, DirectPred) or "cosine": half a cosine from 1 to `final` after the warm-up."""
    warmup_epochs: float = Field(0.0, ge=0)
    """Epochs of linear warm-up from zero."""
    final: float = Field(0.0, ge=0, le=1)
    """Factor at the end of the cosine."""

    def factor(self, step: int, *, steps: int, steps_per_epoch: int) -> float:
        """Factor of the learning rate at `step` of `steps`."""
        warmup = round(self.warmup_epochs * steps_per_epoch)
        if step < warmup:
            return (step + 1) / warmup
        if self.name == "constant":
            return 1.0
        progress = (step - warmup) / max(1, steps - warmup)
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * progress)) / 2


def build_optimizer(networks: dict[str, nn.Module], config: OptimizerConfig) -> torch.optim.Optimizer:
    """The optimizer over `networks`, each with its own rate and decay.

    Args:
        networks: trained networks by name; "encoder", "projector" and "predictor" may have own rates.
        config: the rates.

    Raises:
        AssertionError: a parameter belongs to two networks, and would be stepped twice.
    """
    optimizer: torch.optim.Optimizer = behind(type(config)).build(config, parameter_groups(networks, config))
    return optimizer


def parameter_groups(networks: dict[str, nn.Module], config: OptimizerConfig) -> list[dict[str, Any]]:
    """One group per network and decay: `params`, `names`, `network`, `lr`, `base_lr`, `weight_decay`."""
    groups: list[dict[str, Any]] = []
    seen: set[int] = set()
    for network, module in networks.items():
        rates: NetworkRates = getattr(config, network, None) or NetworkRates()
        lr = rates.rate(config.lr)
        decay = config.weight_decay if rates.weight_decay is None else rates.weight_decay
        split: dict[bool, list[tuple[str, nn.Parameter]]] = {True: [], False: []}
        for name, parameter in module.named_parameters():
            if not parameter.requires_grad:
                continue
            assert id(parameter) not in seen, f"{network}.{name} is in two parameter groups"
            seen.add(id(parameter))
            split[_decays(module, name, config.decay)].append((name, parameter))
        for decays, named in split.items():
            if named:
                groups.append(
                    {
                        "params": [parameter for _, parameter in named],
                        "names": [f"{network}.{name}" for name, _ in named],
                        "network": network,
                        "lr": lr,
                        "base_lr": lr,
                        "weight_decay": decay if decays else 0.0,
                        "scheduled": rates.schedule != "constant",
                    }
                )
    return groups


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Multiply the rate of every network that follows the schedule by `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * (factor if group["scheduled"] else 1.0)


def _decays(module: nn.Module, name: str, scope: str) -> bool:
    owner_name, _, kind = name.rpartition(".")
    owner = module.get_submodule(owner_name)
    is_norm = isinstance(owner, nn.modules.batchnorm._BatchNorm | nn.GroupNorm | nn.LayerNorm)
    if scope == "all":
        return True
    if is_norm:
        return scope == "no_bias"
    return kind != "bias"


def flow_time(
    optimizer: OptimizerConfig, schedule: ScheduleConfig, epoch: int, *, epochs: int, steps: int
) -> float:
    """Time t of the theory's gradient flow in an epoch of `steps` steps: the sum of its learning rates.

    `epoch` counts from 0, `epochs` are all of the training.

    With momentum μ every gradient acts 1/(1 - μ) times. An adaptive optimizer's steps are counted alike,
    although they follow no gradient flow.
    """
    factors = (
        schedule.factor(step, steps=epochs * steps, steps_per_epoch=steps)
        for step in range(epoch * steps, (epoch + 1) * steps)
    )
    return optimizer.lr / (1 - getattr(optimizer, "momentum", 0.0)) * sum(factors)
