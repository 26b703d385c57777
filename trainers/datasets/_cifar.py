"""What CIFAR-10 and CIFAR-100 share: all but their names, their files and the colours of their images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.config.lazy import torch
from trainers.config.plugins import behind
from trainers.datasets._images import balanced_order, resized
from trainers.datasets._torchvision import Source
from trainers.datasets.base import Images


@dataclass(frozen=True)
class Cifar(Source):
    """One of the two on disk.

    Attributes:
        mean, std: of its training images, by channel.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def missing(config: Any, *, root: Path | None) -> str | None:
    """Why the data is not there, in one sentence, or None when it is."""
    return _source(config).missing(root)


def for_training(config: Any, *, root: Path | None) -> int:
    """The number of images to pre-train on."""
    return int(config.train or 50_000)


def load(config: Any, *, root: Path | None, download: bool) -> Images:
    """The images on disk, downloaded first if they are not there and `download`.

    Raises:
        MissingDataError: the files are not there, or one is damaged.
    """
    source = _source(config)
    data = source.prepare(root, download=download)
    splits = []
    for train, number in ((True, config.train), (False, config.test)):
        dataset = source.dataset(data, train=train)
        labels = torch.tensor(dataset.targets)
        order = balanced_order(labels, number)
        images = torch.from_numpy(dataset.data)[order].permute(0, 3, 1, 2)
        splits.append((resized(images, config.size), labels[order]))
    return Images(
        train=splits[0][0],
        train_labels=splits[0][1],
        test=splits[1][0],
        test_labels=splits[1][1],
        classes=tuple(dataset.classes),
        mean=source.mean,
        std=source.std,
    )


def _source(config: Any) -> Cifar:
    source: Cifar = behind(type(config)).SOURCE
    return source
