"""STL-10: few labelled and 100 000 unlabelled photographs, 96x96. Downloaded only when asked."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from trainers.config.lazy import torch
from trainers.datasets._images import balanced_order, resized
from trainers.datasets._torchvision import Source
from trainers.datasets.base import DatasetConfig, Images

SOURCE = Source(
    name="stl10",
    torchvision="STL10",
    archive="stl10_binary.tar.gz",
    folder="stl10_binary",
    files=("train_X.bin", "train_y.bin", "unlabeled_X.bin", "test_X.bin", "test_y.bin"),
)
# The order of the labels 1 to 10, as in the archive's class_names.txt.
CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")


class Config(DatasetConfig):
    """STL-10, 5 000 training, 8 000 test and 100 000 unlabelled images. Images of the classes take turns.

    Source: Coates, Lee, Ng 2011, An analysis of single-layer networks in unsupervised feature learning.
    """

    name: Literal["stl10"] = "stl10"
    size: int = Field(96, ge=8, le=256)
    """Height and width in pixels; other than 96, the images are resized once, when loaded."""
    train: int | None = Field(None, ge=1, le=5_000)
    """Number of training images, equally many of each class; more begin with the same ones. None: all."""
    test: int | None = Field(None, ge=1, le=8_000)
    """Number of test images, chosen alike. None: all."""
    unlabelled: int | None = Field(None, ge=0, le=100_000)
    """Number of unlabelled images, the first in the file; 0: none. None: all, 2.8 GB at full size."""


def missing(config: Config, *, root: Path | None) -> str | None:
    """Why the data is not there, in one sentence, or None when it is."""
    return SOURCE.missing(root)


def for_training(config: Config, *, root: Path | None) -> int:
    """The number of images to pre-train on."""
    return (config.train or 5_000) + (100_000 if config.unlabelled is None else config.unlabelled)


def load(config: Config, *, root: Path | None, download: bool) -> Images:
    """The images on disk, downloaded first if they are not there and `download`.

    Raises:
        MissingDataError: the files are not there, or one is damaged.
    """
    folder = SOURCE.prepare(root, download=download) / SOURCE.folder
    splits = []
    for split, number in (("train", config.train), ("test", config.test)):
        labels = _read(folder / f"{split}_y.bin").long() - 1
        order = balanced_order(labels, number)
        splits.append((resized(_images(folder / f"{split}_X.bin")[order], config.size), labels[order]))
    unlabelled = None
    if config.unlabelled != 0:
        unlabelled = resized(_images(folder / "unlabeled_X.bin")[: config.unlabelled], config.size)
    return Images(
        train=splits[0][0],
        train_labels=splits[0][1],
        test=splits[1][0],
        test_labels=splits[1][1],
        classes=CLASSES,
        mean=(0.4467, 0.4398, 0.4066),
        std=(0.2603, 0.2566, 0.2713),
        unlabelled=unlabelled,
    )


def _images(path: Path) -> torch.Tensor:
    # The file holds each channel by columns.
    return _read(path).view(-1, 3, 96, 96).transpose(2, 3)


def _read(path: Path) -> torch.Tensor:
    # Mapped, not read: of 2.8 GB only the images that are used enter memory. shared=False never writes.
    return torch.from_file(str(path), shared=False, size=path.stat().st_size, dtype=torch.uint8)
