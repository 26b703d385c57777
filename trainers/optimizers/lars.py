"""LARS: SGD whose rate is scaled per weight by the ratio of weight norm to gradient norm."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from trainers.config.lazy import torch
from trainers.optimizers.base import OptimizerConfig, uncompiled


class Config(OptimizerConfig):
    """LARS (You et al. 2017, arXiv:1708.03888), as BYOL uses it: biases and BatchNorm are not scaled.

        u = g + η·w;  u ← u · trust·|w| / |u|  (matrices only);  v ← m·v + u;  w ← w - α·v

    BYOL gives lr 0.2 per 256 images; `lr` here is the rate as applied, so multiply it yourself.
    """

    name: Literal["lars"] = "lars"
    lr: float = Field(0.2, gt=0)
    """Learning rate α, as it is applied."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """m"""
    weight_decay: float = Field(1.5e-6, ge=0)
    """Decay η, coupled."""
    decay: Literal["all", "no_bias", "no_bias_no_norm"] = "no_bias_no_norm"
    """Which parameters decay."""
    trust: float = Field(1e-3, gt=0)
    """Trust coefficient."""


def build(config: Config, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """The optimizer over parameter groups that carry their own `lr` and `weight_decay`."""

    # Inside `build`, because a class body would import torch when the config is read.
    class Lars(uncompiled(torch.optim.SGD)):  # type: ignore[misc]
        """torch's SGD on gradients that were scaled first."""

        def step(self, closure: Any = None) -> Any:
            with torch.no_grad():
                for group in self.param_groups:
                    decay = group["weight_decay"]
                    for weight in group["params"]:
                        if weight.grad is None or weight.ndim < 2:
                            continue
                        update = weight.grad + decay * weight
                        weight_norm, update_norm = weight.norm(), update.norm()
                        scale = torch.where(
                            (weight_norm > 0) & (update_norm > 0),
                            config.trust * weight_norm / update_norm,
                            torch.ones_like(weight_norm),
                        )
                        # SGD will add decay·w again, so take it out beforehand. In place: a recorded graph
                        # writes each batch's gradient into this tensor.
                        weight.grad.copy_(update * scale - decay * weight)
            return super().step(closure)

    return Lars(groups, lr=config.lr, momentum=config.momentum)
