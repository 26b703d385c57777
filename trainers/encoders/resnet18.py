"""ResNet-18, the encoder of the report and of DirectPred."""

from __future__ import annotations

from typing import Literal

from trainers.config.lazy import nn, torchvision
from trainers.encoders._resnet import ResnetConfig, build_resnet


class Config(ResnetConfig):
    """Two basic blocks in each of four stages; D = 8·width, 512 at the papers' width of 64."""

    name: Literal["resnet18"] = "resnet18"


def build(config: Config, shape: tuple[int, int, int]) -> tuple[nn.Module, int]:
    """The encoder for images of `shape` [C, H, W], and its feature dimension."""
    return build_resnet(torchvision.models.resnet.BasicBlock, (2, 2, 2, 2), config, shape)
