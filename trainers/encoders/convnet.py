"""A plain convnet: the cheapest encoder that learns shapes on a laptop's CPU."""

from __future__ import annotations

from typing import Literal

from trainers.config.lazy import nn
from trainers.encoders.base import EncoderConfig, Widths


class Config(EncoderConfig):
    """Conv3x3-BatchNorm-ReLU blocks, stride 2 from the second on, then global average pooling."""

    name: Literal["convnet"] = "convnet"
    channels: Widths = (32, 64, 128, 128)
    """Output channels of each block; the last is the feature dimension D."""


def build(config: Config, shape: tuple[int, int, int]) -> tuple[nn.Module, int]:
    """The encoder for images of `shape` [C, H, W], and its feature dimension."""
    layers: list[nn.Module] = []
    width = shape[0]
    for index, channels in enumerate(config.channels):
        stride = 1 if index == 0 else 2
        layers += [
            nn.Conv2d(width, channels, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        ]
        width = channels
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers), width
