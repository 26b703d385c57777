"""BatchNorm whose mean or deviation is detached or dropped. Imports torch, so it is imported when built."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

Statistic = Literal["kept", "detached", "dropped"]


class AblatedBatchNorm(nn.BatchNorm1d):
    """x ← (x - mean) / √(var + eps) with unbiased var; either statistic may lose its gradient or its place.

    Eval mode uses the running statistics, as torch's BatchNorm does; like it, half precision (autocast) comes
    in and goes out, and all between is float32.
    """

    def __init__(self, width: int, *, affine: bool, mean: Statistic, std: Statistic) -> None:
        """BatchNorm for vectors of dimension `width`."""
        super().__init__(width, affine=affine)
        self.mean, self.std = mean, std

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x` [N, width], normalised as far as the ablation allows."""
        given = x.dtype
        x = x.to(torch.promote_types(given, torch.float32))
        running_mean, running_var = self.get_buffer("running_mean"), self.get_buffer("running_var")
        if self.training:
            mean, variance = x.mean(dim=0), x.var(dim=0)
            with torch.no_grad():
                self.get_buffer("num_batches_tracked").add_(1)
                running_mean.lerp_(mean.to(running_mean.dtype), self.momentum or 0.0)
                running_var.lerp_(variance.to(running_var.dtype), self.momentum or 0.0)
        else:
            mean, variance = running_mean, running_var
        std = (variance + self.eps).sqrt()
        if self.mean != "dropped":
            x = x - (mean.detach() if self.mean == "detached" else mean)
        if self.std != "dropped":
            x = x / (std.detach() if self.std == "detached" else std)
        return (x * self.weight + self.bias if self.affine else x).to(given)
