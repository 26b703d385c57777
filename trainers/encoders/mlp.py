"""A multi-layer perceptron on pixels, for trials that must cost nothing."""

from __future__ import annotations

import math
from typing import Literal

from trainers.config.lazy import nn
from trainers.encoders.base import EncoderConfig, Widths


class Config(EncoderConfig):
    """Linear-BatchNorm-ReLU layers on the flattened image."""

    name: Literal["mlp"] = "mlp"
    widths: Widths = (128, 128)
    """Width of each layer; the last is the feature dimension D."""


def build(config: Config, shape: tuple[int, int, int]) -> tuple[nn.Module, int]:
    """The encoder for images of `shape` [C, H, W], and its feature dimension."""
    layers: list[nn.Module] = [nn.Flatten()]
    width = math.prod(shape)
    for output in config.widths:
        layers += [nn.Linear(width, output), nn.BatchNorm1d(output), nn.ReLU(inplace=True)]
        width = output
    return nn.Sequential(*layers), width
