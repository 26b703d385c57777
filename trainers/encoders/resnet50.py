"""ResNet-50, the encoder of the ImageNet results."""

from __future__ import annotations

from typing import Literal

from trainers.config.lazy import nn, torchvision
from trainers.encoders._resnet import ResnetConfig, build_resnet


class Config(ResnetConfig):
    """Bottleneck blocks 3-4-6-3; D = 32·width, 2048 at the papers' width of 64.

    A width other than 64 widens every layer of a block alike.
    """

    name: Literal["resnet50"] = "resnet50"
    stem: Literal["small", "imagenet"] = "imagenet"
    """"small": 3x3 of stride 1 without pooling; "imagenet": 7x7 of stride 2 with pooling."""


def build(config: Config, shape: tuple[int, int, int]) -> tuple[nn.Module, int]:
    """The encoder for images of `shape` [C, H, W], and its feature dimension."""
    return build_resnet(torchvision.models.resnet.Bottleneck, (3, 4, 6, 3), config, shape)
