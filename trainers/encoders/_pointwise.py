"""A 1x1 convolution with a stride that is safe for few channels."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class StridedPointwise(nn.Conv2d):
    """`nn.Conv2d(inputs, outputs, 1, stride=s)`, computed at stride 1 on every s-th pixel.

    The weight gradient of oneDNN, which torch calls on a CPU, writes past its memory and may be wrong where
    a strided 1x1 convolution has fewer input channels than a vector has numbers, 16 at most, and images are
    in channels_last (oneDNN issue 6035, seen with torch 2.14.1: a crash with 2 to 6 channels).
    """

    FEWEST = 16
    """Input channels from which nn.Conv2d itself is right."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W] to [N, outputs, H/s, W/s], rounded up."""
        rows, columns = self.stride
        return F.conv2d(input[:, :, ::rows, ::columns], self.weight, self.bias)
