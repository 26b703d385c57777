"""CIFAR-10: 60 000 photographs of 10 classes, 32x32. Read from disk; downloaded only when asked."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from trainers.datasets._cifar import Cifar
from trainers.datasets._cifar import for_training as for_training
from trainers.datasets._cifar import load as load
from trainers.datasets._cifar import missing as missing
from trainers.datasets.base import DatasetConfig

SOURCE = Cifar(
    name="cifar10",
    torchvision="CIFAR10",
    archive="cifar-10-python.tar.gz",
    folder="cifar-10-batches-py",
    files=(*(f"data_batch_{part}" for part in range(1, 6)), "test_batch", "batches.meta"),
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2023, 0.1994, 0.2010),
)


class Config(DatasetConfig):
    """CIFAR-10, 50 000 training and 10 000 test images. Images of the classes take turns.

    Source: Krizhevsky 2009, Learning multiple layers of features from tiny images.
    """

    name: Literal["cifar10"] = "cifar10"
    size: int = Field(32, ge=8, le=256)
    """Height and width in pixels; other than 32, the images are resized once, when loaded."""
    train: int | None = Field(None, ge=1, le=50_000)
    """Number of training images, equally many of each class; more begin with the same ones. None: all."""
    test: int | None = Field(None, ge=1, le=10_000)
    """Number of test images, chosen alike. None: all."""
