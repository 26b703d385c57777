"""scikit-learn's handwritten digits: real, 8x8 and installed with it, so nothing is ever downloaded."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from trainers.config.lazy import torch
from trainers.datasets._images import balanced_order, resized
from trainers.datasets.base import DatasetConfig, Images

if TYPE_CHECKING:
    import numpy as np

ALL, TEST = 1_797, 359


class Config(DatasetConfig):
    """Grey digits 0 to 9, 1 438 training and 359 test images; the split is fixed and stratified.

    Source: Alpaydin, Kaynak 1998, Optical recognition of handwritten digits (UCI), its test part.
    """

    name: Literal["digits"] = "digits"
    size: int = Field(8, ge=8, le=256)
    """Height and width in pixels; other than 8, the images are resized once, when loaded."""
    channels: Literal[1, 3] = 3
    """Colour channels; with 3 all are equal, so that every encoder and view takes the images. With 1 no view
    changes brightness and contrast: `views.jitter` is of three channels alone."""


def missing(config: Config, *, root: Path | None) -> str | None:
    """None: the images come with scikit-learn."""
    return None


def for_training(config: Config, *, root: Path | None) -> int:
    """The number of images to pre-train on."""
    return ALL - TEST


def load(config: Config, *, root: Path | None, download: bool) -> Images:
    """The digits, split by a hash of their index: the same for every seed and version."""
    pixels, labels = _pixels_and_labels()
    # Pixels are counts from 0 to 16.
    grey = (torch.from_numpy(pixels).view(-1, 1, 8, 8) * (255 / 16)).round().to(torch.uint8)
    images = resized(grey, config.size).repeat(1, config.channels, 1, 1)
    targets = torch.from_numpy(labels).long()
    shuffled = torch.tensor(sorted(range(len(targets)), key=_hash))
    order = shuffled[balanced_order(targets[shuffled])]
    test, train = order[:TEST], order[TEST:]
    return Images(
        train=images[train],
        train_labels=targets[train],
        test=images[test],
        test_labels=targets[test],
        classes=tuple("0123456789"),
        mean=(0.3054,) * config.channels,
        std=(0.3760,) * config.channels,
    )


def _pixels_and_labels() -> tuple[np.ndarray, np.ndarray]:
    """Counts [1797, 64] and digits [1797], from scikit-learn's own file: to import it takes 1.6 s."""
    import numpy as np

    found = importlib.util.find_spec("sklearn")  # which does not import it
    for folder in (found and found.submodule_search_locations) or ():
        if (file := Path(folder, "datasets", "data", "digits.csv.gz")).exists():
            rows = np.loadtxt(file, delimiter=",")
            return rows[:, :-1], rows[:, -1].astype(int)
    from sklearn.datasets import load_digits  # of another version, wherever that has them

    pixels, labels = load_digits(return_X_y=True)
    return pixels, labels


def _hash(index: int) -> bytes:
    return hashlib.sha256(f"digits/{index}".encode()).digest()
