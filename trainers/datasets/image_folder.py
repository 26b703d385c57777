"""The user's own images, in train/<class>/ and test/<class>/ of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from trainers.config.base import NOT_IDENTITY
from trainers.config.lazy import torch
from trainers.datasets._images import balanced_order
from trainers.datasets.base import DatasetConfig, Images, MissingDataError, data_folder

if TYPE_CHECKING:
    import numpy as np

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp"}


class Config(DatasetConfig):
    """Image files below a folder: train/<class>/* and test/<class>/*, with the same classes in both.

    Read are png, jpg, jpeg, bmp and webp, in the order of their names; images of the classes take turns.
    """

    name: Literal["image_folder"] = "image_folder"
    label: str = Field(min_length=1)
    """What tables call the data, such as "CIFAR-10 (JPEG)". It stands for the images in a trial's id:
    other images need another label."""
    root: Path = Field(json_schema_extra=NOT_IDENTITY)
    """The folder that holds train and test; a relative one is looked for in the data folder."""
    size: int = Field(32, ge=8, le=512)
    """Height and width in pixels: the short side is resized to it (antialiased) and the centre cropped."""
    train: int | None = Field(None, ge=1)
    """Number of training images, equally many of each class; more begin with the same ones. None: all."""
    test: int | None = Field(None, ge=1)
    """Number of test images, chosen alike. None: all."""
    mean: tuple[float, float, float] = (0.4914, 0.4822, 0.4465)
    """Mean of each channel in [0, 1], for normalisation; CIFAR-10's unless given."""
    std: tuple[float, float, float] = (0.2023, 0.1994, 0.2010)
    """Standard deviation of each channel, for normalisation; CIFAR-10's unless given."""


def missing(config: Config, *, root: Path | None) -> str | None:
    """Why the images are not there, in one sentence, or None when they are."""
    folder = _folder(config, root)
    ways_out = (
        "put the images there as train/<class>/* and test/<class>/*, or name their folder as the data "
        "set's root (a relative one is looked for below --data FOLDER or ORCH_DATA)"
    )
    if not folder.is_dir():
        return f"image_folder '{config.label}': no folder {folder}; {ways_out}"
    for split in ("train", "test"):
        if not (folder / split).is_dir():
            return f"image_folder '{config.label}': no folder {split} in {folder}; {ways_out}"
    train, test = _classes(folder / "train"), _classes(folder / "test")
    if not train:
        return f"image_folder '{config.label}': no class folders in {folder / 'train'}; {ways_out}"
    if train != test:
        differing = ", ".join(sorted(set(train) ^ set(test)))
        return (
            f"image_folder '{config.label}': train and test in {folder} have different classes "
            f"({differing}); {ways_out}"
        )
    return None


def for_training(config: Config, *, root: Path | None) -> int | None:
    """The number of images to pre-train on; None where the folder is not there."""
    if config.train is not None:
        return config.train
    if missing(config, root=root):
        return None
    folder = _folder(config, root) / "train"
    return sum(len(_files(folder / name)) for name in _classes(folder))


def load(config: Config, *, root: Path | None, download: bool) -> Images:
    """The images as the files hold them; `download` changes nothing.

    Raises:
        MissingDataError: the folder is not as it should be, or a file cannot be decoded.
    """
    reason = missing(config, root=root)
    if reason:
        raise MissingDataError(reason)
    folder = _folder(config, root)
    classes = _classes(folder / "train")
    train, train_labels = _read_split(config, folder / "train", classes, config.train)
    test, test_labels = _read_split(config, folder / "test", classes, config.test)
    return Images(
        train=train,
        train_labels=train_labels,
        test=test,
        test_labels=test_labels,
        classes=classes,
        mean=config.mean,
        std=config.std,
    )


def _folder(config: Config, root: Path | None) -> Path:
    return (data_folder(root) / config.root.expanduser()).absolute()


def _classes(folder: Path) -> tuple[str, ...]:
    found = (path.name for path in folder.iterdir() if not path.name.startswith(".") and path.is_dir())
    return tuple(sorted(found))


def _read_split(
    config: Config, folder: Path, classes: tuple[str, ...], number: int | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The first `number` images of one split, uint8 [N, 3, S, S], and their labels."""
    import numpy as np

    paths: list[Path] = []
    found: list[int] = []
    for label, name in enumerate(classes):
        files = _files(folder / name)
        if not files:
            raise MissingDataError(
                f"image_folder '{config.label}': no images in {folder / name} "
                f"({', '.join(sorted(SUFFIXES))}); put some there or remove the class from train and test"
            )
        paths += files
        found += [label] * len(files)
    if number is not None and number > len(paths):
        raise MissingDataError(
            f"image_folder '{config.label}': {number} images were asked for, {len(paths)} are in {folder}; "
            f"add images or lower '{folder.name}'"
        )
    labels = torch.tensor(found)
    order = balanced_order(labels, number)
    pixels = np.empty((len(order), config.size, config.size, 3), dtype=np.uint8)
    for row, index in enumerate(order.tolist()):
        pixels[row] = _read(paths[index], config)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), labels[order]


def _files(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if not path.name.startswith(".") and path.suffix.lower() in SUFFIXES
    )


def _read(path: Path, config: Config) -> np.ndarray:
    """One image, uint8 [S, S, 3].

    Raises:
        MissingDataError: the file cannot be decoded.
    """
    import numpy as np
    from PIL import Image

    size = config.size
    try:
        with Image.open(path) as file:
            image = file.convert("RGB")
    # Pillow raises SyntaxError for a broken PNG.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        cause = " ".join(str(error).split())
        raise MissingDataError(
            f"image_folder '{config.label}': cannot decode {path} ({cause}); replace or remove the file"
        ) from error
    width, height = image.size
    if width == height == size:
        return np.asarray(image)
    short = min(width, height)
    # The crop is taken while resizing, so an odd margin needs no rounding.
    left, top = (width - short) / 2, (height - short) / 2
    box = (left, top, left + short, top + short)
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box))
