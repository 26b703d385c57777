"""One linear map of the pixels: the encoder W of the linear theory (Tian et al. 2021, §3)."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from trainers.config.lazy import nn
from trainers.encoders.base import EncoderConfig


class Config(EncoderConfig):
    """h = W x with x the flattened image."""

    name: Literal["linear"] = "linear"
    width: int = Field(64, ge=1)
    """Feature dimension D."""
    bias: bool = False
    """Whether a bias is added."""


def build(config: Config, shape: tuple[int, int, int]) -> tuple[nn.Module, int]:
    """The encoder for images of `shape` [C, H, W], and its feature dimension."""
    layer = nn.Linear(math.prod(shape), config.width, bias=config.bias)
    return nn.Sequential(nn.Flatten(), layer), config.width
