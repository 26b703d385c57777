"""What data sets that are read image by image share: which images are taken, and at what size."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from pydantic import Field, model_validator

from trainers.config.base import FieldError, Frozen
from trainers.config.lazy import torch
from trainers.datasets._decoding import Level, decoded
from trainers.datasets._images import ROWS_AT_ONCE, balanced_order
from trainers.datasets.base import DatasetConfig, Images, MissingDataError

if TYPE_CHECKING:
    from PIL import Image


class HoldOut(Frozen):
    """Test images that are taken out of the training images: equally many of each class."""

    share: float = Field(gt=0, lt=1)
    """Of all training images."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Which ones. It is not the trial's: all seeds of a trial are measured on the same."""


class Splits(Frozen):
    """What a data set calls its parts."""

    train: str | None = None
    """The part to train on; None: the usual one."""
    test: str | None = None
    """The part to measure on; None: the usual one, or none where images are held out."""


class LabelledConfig(DatasetConfig):
    """Fields that these data sets have beside their name and place."""

    splits: Splits | None = None
    """Names of its parts for training and testing; None: the usual ones."""
    hold_out: HoldOut | None = None
    """Test images out of the part for training, for data without a part for testing, or instead of it."""
    size: int = Field(32, ge=8, le=512)
    """Height and width in pixels: the short side is resized to it (antialiased) and the centre cropped."""
    train: int | None = Field(None, ge=1)
    """Number of training images, equally many of each class; more begin with the same ones. None: all."""
    test: int | None = Field(None, ge=1)
    """Number of test images, chosen alike. None: all."""
    mean: tuple[float, float, float] | None = None
    """Mean of each channel in [0, 1], for normalisation; None: that of the training images."""
    std: tuple[float, float, float] | None = None
    """Standard deviation of each channel, for normalisation; None: that of the training images."""
    background: tuple[Level, Level, Level] | None = None
    """Colour under transparent pixels, RGB from 0 to 255; None: white."""

    @model_validator(mode="after")
    def _tests_on_one_part(self) -> Self:
        if self.hold_out and self.splits and self.splits.test is not None:
            raise FieldError("hold_out", "test images come from splits.test, or are held out; leave one out")
        return self


@dataclass(frozen=True)
class Part:
    """Images with labels that are not decoded yet.

    Attributes:
        labels: class of each, an index into the names of classes.
        image: the file, the bytes or the picture of one of them.
    """

    labels: Sequence[int]
    image: Callable[[int], Path | IO[bytes] | Image.Image]


def number_for_training(config: LabelledConfig, count: Callable[[], int]) -> int | None:
    """The number of images to pre-train on; None where the data is not there.

    Args:
        config: of the data set.
        count: the number of images of its training part; raises MissingDataError where they are not there.
    """
    if config.train is not None:
        return config.train
    try:
        there = count()
    except MissingDataError:
        return None
    return there - (round(there * config.hold_out.share) if config.hold_out else 0)


def loaded(
    config: LabelledConfig, named: str, train: Part, test: Part | None, *, classes: Sequence[str]
) -> Images:
    """The images that `config` chooses, of two parts; without a second they are held out of the first.

    Classes without a training image are left out, and the labels of the others follow one another.

    Args:
        config: sizes and numbers.
        named: what messages call the data set.
        train: what to train on.
        test: what to measure on; None: what `config` holds out.
        classes: names by label; beyond them, a class is called by its label.

    Raises:
        MissingDataError: there are too few images, test images are of other classes, or one is not readable.
    """
    labels = torch.tensor(list(train.labels), dtype=torch.int64)
    if not len(labels) or (test is not None and not len(test.labels)):
        raise MissingDataError(f"{named}: a part without images; name others by splits")
    test_labels = labels if test is None else torch.tensor(list(test.labels), dtype=torch.int64)
    rows, test_rows = torch.arange(len(labels)), torch.arange(len(test_labels))
    if test is None:
        rows, test_rows = _held_out(config, labels)
    for part, chosen in (("train", labels), ("test", test_labels)):
        if int(chosen.min()) < 0:
            raise MissingDataError(f"{named}: images for {part} without a label; name other parts by splits")
    there = labels[rows].unique()
    if missed := sorted({*test_labels[test_rows].tolist()} - {*there.tolist()}):
        told = ", ".join(_name(classes, label) for label in missed[:3])
        raise MissingDataError(
            f"{named}: {len(missed)} classes have test images and none to train on ({told}); "
            + ("lower hold_out.share" if test is None else "name other parts by splits")
        )
    pixels, chosen = _read(config, named, "train", train, rows, labels)
    test_pixels, test_chosen = _read(config, named, "test", test or train, test_rows, test_labels)
    mean, std = _statistics(pixels)
    return Images(
        train=pixels,
        train_labels=torch.searchsorted(there, chosen),
        test=test_pixels,
        test_labels=torch.searchsorted(there, test_chosen),
        classes=tuple(_name(classes, label) for label in there.tolist()),
        mean=config.mean or mean,
        std=config.std or std,
    )


def _held_out(config: LabelledConfig, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows to train on and rows to measure on, by a hash of their place: for every version the same."""
    assert config.hold_out is not None
    seed = config.hold_out.seed
    places = [hashlib.sha256(f"hold_out/{seed}/{row}".encode()).digest() for row in range(len(labels))]
    shuffled = torch.tensor(sorted(range(len(labels)), key=places.__getitem__))
    order = shuffled[balanced_order(labels[shuffled])]
    number = round(len(labels) * config.hold_out.share)
    return order[number:].sort().values, order[:number].sort().values


def _read(
    config: LabelledConfig, named: str, split: str, part: Part, rows: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The images of a split, uint8 [N, 3, S, S], and their labels."""
    number = getattr(config, split)
    if number is not None and number > len(rows):
        raise MissingDataError(
            f"{named}: {number} images were asked for, {len(rows)} are there; lower '{split}'"
        )
    order = rows[balanced_order(labels[rows], number)]
    if not len(order):
        raise MissingDataError(f"{named}: no image is left to {split}; change hold_out.share")
    size, background = config.size, config.background
    return decoded(order.tolist(), part.image, size, background, named=named, split=split), labels[order]


def _statistics(pixels: torch.Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel in [0, 1], to four digits; from sums that are exact."""
    levels = torch.arange(256, dtype=torch.float64) / 255
    means, deviations = [], []
    for channel in pixels.unbind(1):
        chunks = channel.split(ROWS_AT_ONCE)
        counts = sum(torch.bincount(chunk.flatten(), minlength=256) for chunk in chunks)
        shares = torch.as_tensor(counts).double() / channel.numel()
        mean = float((shares * levels).sum())
        means.append(round(mean, 4))
        deviations.append(round(float((shares * (levels - mean) ** 2).sum()) ** 0.5, 4) or 1.0)
    return tuple(means), tuple(deviations)


def _name(classes: Sequence[str], label: int) -> str:
    return classes[label] if label < len(classes) else str(label)
