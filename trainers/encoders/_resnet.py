"""Residual encoders from torchvision's blocks, with a width and a stem that torchvision's own lack."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from trainers.config.lazy import nn
from trainers.encoders.base import EncoderConfig


class ResnetConfig(EncoderConfig):
    """What the residual encoders share."""

    width: int = Field(64, ge=1)
    """Channels of the first stage; the papers' networks have 64."""
    stem: Literal["small", "imagenet"] = "small"
    """"small": 3x3 stride 1 and no pooling, for 32 px (report, §4). "imagenet": 7x7 stride 2 and pooling."""
    stem_init: Literal["torch"] | None = None
    """How the first convolution starts. None: as all others (He, by fan out). "torch": as nn.Conv2d does
    (luckmatters on CIFAR, whose first convolution is put in after the network was initialised)."""
    bn_momentum: float = Field(0.1, gt=0, le=1)
    """Weight of the newest batch in BatchNorm's running statistics; torch 0.1, Keras (report) 0.01."""
    bn_eps: float = Field(1e-5, gt=0)
    """torch 1e-5, Keras (report) 1e-3."""


def build_resnet(
    block: Any, blocks: Sequence[int], config: ResnetConfig, shape: tuple[int, int, int]
) -> tuple[nn.Module, int]:
    """The residual network without its classifier, and its feature dimension.

    Args:
        block: torchvision's BasicBlock or Bottleneck.
        blocks: number of blocks in each stage.
        config: width, stem and BatchNorm constants.
        shape: shape of one image, [C, H, W].

    Source: He et al. 2015, arXiv:1512.03385; initialised as torchvision's ResNet is.
    """
    norm = functools.partial(nn.BatchNorm2d, eps=config.bn_eps, momentum=config.bn_momentum)
    width = config.width
    if config.stem == "small":
        stem = [nn.Conv2d(shape[0], width, 3, padding=1, bias=False), norm(width), nn.ReLU(True)]
    else:
        stem = [
            nn.Conv2d(shape[0], width, 7, stride=2, padding=3, bias=False),
            norm(width),
            nn.ReLU(True),
            nn.MaxPool2d(3, stride=2, padding=1),
        ]
    stages: list[nn.Module] = []
    inputs = width
    for index, number in enumerate(blocks):
        planes = width * 2**index
        for position in range(number):
            stride = 2 if index > 0 and position == 0 else 1
            outputs = planes * block.expansion
            shortcut = None
            if stride != 1 or inputs != outputs:
                shortcut = nn.Sequential(_pointwise(inputs, outputs, stride), norm(outputs))
            stages.append(block(inputs, planes, stride, shortcut, norm_layer=norm))
            inputs = outputs
    encoder = nn.Sequential(*stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for module in encoder.modules():
        kept = config.stem_init == "torch" and module is encoder[0]
        if isinstance(module, nn.Conv2d) and not kept:
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return encoder, inputs


def _pointwise(inputs: int, outputs: int, stride: int) -> nn.Conv2d:
    from trainers.encoders._pointwise import StridedPointwise  # its class derives from torch's

    safe = stride == 1 or inputs >= StridedPointwise.FEWEST
    return (nn.Conv2d if safe else StridedPointwise)(inputs, outputs, 1, stride=stride, bias=False)
