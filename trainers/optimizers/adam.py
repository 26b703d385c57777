"""Adam, with decay coupled to the gradient (L2) or decoupled from it (AdamW)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from trainers.config.lazy import torch
from trainers.optimizers.base import OptimizerConfig, uncompiled


class Config(OptimizerConfig):
    """Adam (Kingma and Ba 2014, arXiv:1412.6980) or AdamW (Loshchilov and Hutter, arXiv:1711.05101)."""

    name: Literal["adam"] = "adam"
    lr: float = Field(1e-3, gt=0)
    """Learning rate α, as it is applied."""
    beta1: float = Field(0.9, ge=0, lt=1)
    """Keep rate of the mean of the gradients."""
    beta2: float = Field(0.999, ge=0, lt=1)
    """Keep rate of the mean of their squares."""
    decoupled: bool = False
    """Whether the decay is applied to the weight itself (AdamW) instead of to the gradient."""


def build(config: Config, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """The optimizer over parameter groups that carry their own `lr` and `weight_decay`."""
    kind = torch.optim.AdamW if config.decoupled else torch.optim.Adam
    betas = (config.beta1, config.beta2)
    made: torch.optim.Optimizer = uncompiled(kind)(groups, lr=config.lr, betas=betas)
    return made
