"""The user's own images, in train/<class>/ and test/<class>/ of a folder."""

from __future__ import annotations

import unicodedata
from collections import Counter
from pathlib import Path
from typing import Literal

from pydantic import Field

from trainers.config.base import NOT_IDENTITY
from trainers.config.lazy import torch
from trainers.datasets._decoding import Level, decoded
from trainers.datasets._images import balanced_order
from trainers.datasets.base import DatasetConfig, Entry, Images, MissingDataError, data_folder, entries

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}
LAYOUT = (
    "put the images there as train/<class>/* and test/<class>/*, or name their folder as the data "
    "set's root (a relative one is looked for below --data FOLDER or ORCH_DATA)"
)


class Config(DatasetConfig):
    """Image files below a folder: train/<class>/* and test/<class>/*, with the same classes in both.

    Read are png, jpg, jpeg, bmp, webp, tif and tiff, in the order of their names; images of the classes take
    turns. Other files are skipped, and counted in the trial's log. Class names that differ only in how
    their accents are encoded (NFC, NFD) are one class.
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
    background: tuple[Level, Level, Level] | None = None
    """Colour under transparent pixels, RGB from 0 to 255; None: white."""


def missing(config: Config, *, root: Path | None) -> str | None:
    """Why the images are not there, in one sentence, or None when they are."""
    folder, named = _folder(config, root), f"image_folder '{config.label}'"
    if not folder.is_dir():
        return f"{named}: no folder {folder}; {LAYOUT}"
    for split in ("train", "test"):
        if not (folder / split).is_dir():
            others = ", ".join(list(_classes(folder))[:3])
            beside = f" (there are folders {others})" if others else ""
            return f"{named}: no folder {split} in {folder}{beside}; {LAYOUT}"
    train, test = set(_classes(folder / "train")), set(_classes(folder / "test"))
    if not train:
        return f"{named}: no class folders in {folder / 'train'}; {LAYOUT}"
    if train != test:
        differing = ", ".join(sorted(train ^ test))
        return f"{named}: train and test in {folder} have different classes ({differing}); {LAYOUT}"
    for split in ("train", "test"):
        for name, folders in _classes(folder / split).items():
            if not any(_is_image(entry) for one in folders for entry in entries(one)):
                read = ", ".join(sorted(SUFFIXES))
                return f"{named}: no images in {folder / split / name} (read are {read}); {LAYOUT}"
    return None


def for_training(config: Config, *, root: Path | None) -> int | None:
    """The number of images to pre-train on; None where the folder is not there."""
    if config.train is not None:
        return config.train
    if missing(config, root=root):
        return None
    return len(_files(_folder(config, root) / "train"))


def load(config: Config, *, root: Path | None, download: bool) -> Images:
    """The images as the files hold them; `download` changes nothing.

    Raises:
        MissingDataError: the folder is not as it should be, or a file cannot be decoded.
    """
    reason = missing(config, root=root)
    if reason:
        raise MissingDataError(reason)
    folder = _folder(config, root)
    skipped: list[str] = []
    train, train_labels = _read_split(config, folder / "train", config.train, skipped)
    test, test_labels = _read_split(config, folder / "test", config.test, skipped)
    return Images(
        train=train,
        train_labels=train_labels,
        test=test,
        test_labels=test_labels,
        classes=tuple(_classes(folder / "train")),
        mean=config.mean,
        std=config.std,
        notes=tuple(skipped),
    )


def listing(config: Config, *, root: Path | None) -> list[tuple[str, int]]:
    """Name and size in bytes of every image file, by name; none where they are not there."""
    folder = _folder(config, root)
    if missing(config, root=root):
        return []
    files = [path for split in ("train", "test") for path in _files(folder / split)]
    return [(path.relative_to(folder).as_posix(), path.stat().st_size) for path in files]


def _folder(config: Config, root: Path | None) -> Path:
    return (data_folder(root) / config.root.expanduser()).absolute()


def _classes(folder: Path) -> dict[str, list[Path]]:
    """The folders of each class, by its name; both in order."""
    out: dict[str, list[Path]] = {}
    for entry in entries(folder):
        if not entry.path.name.startswith(".") and entry.is_folder:
            out.setdefault(unicodedata.normalize("NFC", entry.path.name), []).append(entry.path)
    return dict(sorted(out.items()))


def _files(split: Path) -> list[Path]:
    """Every image file of a split."""
    folders = [one for ones in _classes(split).values() for one in ones]
    return sorted(one.path for folder in folders for one in entries(folder) if _is_image(one))


def _read_split(
    config: Config, folder: Path, number: int | None, skipped: list[str]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The first `number` images of one split, uint8 [N, 3, S, S], and their labels; a line in `skipped`.

    Raises:
        MissingDataError: there are too few, or a file cannot be decoded.
    """
    named = f"image_folder '{config.label}'"
    paths: list[Path] = []
    found: list[int] = []
    others = [entry for entry in entries(folder) if not entry.is_folder]
    for label, folders in enumerate(_classes(folder).values()):
        files = sorted(
            (entry for one in folders for entry in entries(one)), key=lambda entry: entry.path.name
        )
        images = [entry.path for entry in files if _is_image(entry)]
        others += [entry for entry in files if not _is_image(entry)]
        paths += images
        found += [label] * len(images)
    if number is not None and number > len(paths):
        raise MissingDataError(
            f"{named}: {number} images were asked for, {len(paths)} are in {folder}; "
            f"add images or lower '{folder.name}'"
        )
    counts = Counter(_kind(one) for one in others if not one.path.name.startswith("."))
    if counts:
        told = ", ".join(f"{count} × {kind}" for kind, count in sorted(counts.items()))
        skipped.append(f"{named}: {counts.total()} files in {folder} are skipped: {told}")
    labels = torch.tensor(found)
    order = balanced_order(labels, number)
    size, background = config.size, config.background
    pixels = decoded(order.tolist(), paths.__getitem__, size, background, named=named, split=folder.name)
    return pixels, labels[order]


def _is_image(entry: Entry) -> bool:
    # A pipe with an image's name would be waited for without end.
    return not entry.path.name.startswith(".") and entry.path.suffix.lower() in SUFFIXES and entry.is_file


def _kind(entry: Entry) -> str:
    if entry.is_folder:
        return "folder"
    return entry.path.suffix.lower() or "no suffix" if entry.is_file else "no regular file"
