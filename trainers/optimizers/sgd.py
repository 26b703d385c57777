"""Stochastic gradient descent with momentum, the optimizer of the report and of DirectPred."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from trainers.config.lazy import torch
from trainers.optimizers.base import OptimizerConfig, uncompiled


class Config(OptimizerConfig):
    """SGD: v ← m·v + g + η·w; w ← w - α·v. Defaults: lr 0.03, momentum 0.9, decay 4e-4 (report, §4)."""

    name: Literal["sgd"] = "sgd"
    lr: float = Field(0.03, gt=0)
    """Learning rate α, as it is applied."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Momentum m of the gradient."""
    weight_decay: float = Field(4e-4, ge=0)
    """Decay η: coupled L2."""


def build(config: Config, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """The optimizer over parameter groups that carry their own `lr` and `weight_decay`."""
    made: torch.optim.Optimizer = uncompiled(torch.optim.SGD)(groups, lr=config.lr, momentum=config.momentum)
    return made
