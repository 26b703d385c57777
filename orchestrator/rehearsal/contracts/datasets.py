"""What every data set promises: images as trainers take them, the same every time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.rehearsal.contracts.laws import Broken, Laws, Subject, no_global_draws
from trainers.config.lazy import torch
from trainers.datasets.base import Images, MissingDataError


def _loaded(subject: Subject) -> Images:
    images = subject.module.load(subject.config, root=subject.data_root, download=False)
    if not isinstance(images, Images):
        raise Broken(f"`load` gave a {type(images).__name__}, expected Images")
    return images


def has_images(subject: Subject) -> None:
    """Both splits are whole: types and shapes."""
    data = _loaded(subject)
    splits = (("train", data.train, data.train_labels), ("test", data.test, data.test_labels))
    for name, images, labels in splits:
        got = f"{name} is {images.dtype} {list(images.shape)}"
        if images.ndim != 4 or images.dtype != torch.uint8 or not images.is_contiguous():
            raise Broken(f"{got}, expected contiguous uint8 [N, C, H, W]")
        if images.shape[1:] != data.train.shape[1:] or not len(images):
            raise Broken(f"{got}, expected one or more images of {list(data.train.shape[1:])}")
        if labels.dtype != torch.int64 or labels.shape != (len(images),):
            got = f"{name}_labels is {labels.dtype} {list(labels.shape)}"
            raise Broken(f"{got}, expected int64 [{len(images)}], a label for each image")


def has_classes(subject: Subject) -> None:
    """Labels are indices of classes."""
    data = _loaded(subject)
    for name, labels in (("train", data.train_labels), ("test", data.test_labels)):
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= len(data.classes):
            raise Broken(f"{name}_labels are {low} to {high}, expected 0 to {len(data.classes) - 1}")


def can_be_normalised(subject: Subject) -> None:
    """A mean and a deviation for each channel."""
    data = _loaded(subject)
    channels = data.shape[0]
    if not len(data.mean) == len(data.std) == channels:
        raise Broken(
            f"mean has {len(data.mean)} values and std {len(data.std)}, expected {channels}, one a channel"
        )
    if not all(value > 0 for value in data.std):
        raise Broken(f"std is {data.std}, expected values above 0")


def can_be_learnt(subject: Subject) -> None:
    """Images differ, and show something."""
    if fault := _loaded(subject).fault():
        raise Broken(f"{fault}; look at what `load` reads")


def is_repeatable(subject: Subject) -> None:
    """Equal configs give equal bytes."""
    if _loaded(subject).fingerprint() != _loaded(subject).fingerprint():
        raise Broken(
            "loaded twice, it gave other images; sort what is listed, and draw from a seed in its Config"
        )


def draws_nothing(subject: Subject) -> None:
    """Random numbers are its own."""
    with no_global_draws("loading it"):
        _loaded(subject)


def counts_its_images(subject: Subject) -> None:
    """`for_training` counts what `load` gives."""
    count = getattr(subject.module, "for_training", None)
    if count is None:
        return
    said, number = count(subject.config, root=subject.data_root), len(_loaded(subject).for_training()[0])
    if said is not None and said != number:
        raise Broken(f"`for_training` says {said} images, and there are {number} to train on")


def says_what_is_missing(subject: Subject) -> None:
    """`missing` is one line or None, and `load` says the same."""
    ask: Any = getattr(subject.module, "missing", None)
    if ask is None:
        return
    said = ask(subject.config, root=subject.folder)
    if said is None:
        return
    if not isinstance(said, str) or not said.strip() or "\n" in said:
        raise Broken(f"`missing` gave {said!r} for an empty folder, expected a sentence in one line, or None")
    try:
        subject.module.load(subject.config, root=subject.folder, download=False)
    except MissingDataError:
        return
    raise Broken(
        "`missing` says that an empty folder lacks the data, and `load` does not raise MissingDataError"
    )


def lists_its_files(subject: Subject) -> None:
    """Names and sizes, in one order."""
    listing: Any = getattr(subject.module, "listing", None)
    if listing is None:
        return

    def listed(root: Path | None) -> list[Any]:
        return list(listing(subject.config, root=root))

    files = listed(subject.data_root)
    if files != listed(subject.data_root):
        raise Broken("`listing` gave another list the second time; sort it")
    for one in (*files, *listed(subject.folder)):
        if not (
            isinstance(one, tuple) and len(one) == 2 and isinstance(one[0], str) and isinstance(one[1], int)
        ):
            raise Broken(f"`listing` has {one!r}, expected name and size in bytes of a file")


LAWS: Laws = {
    "missing data is told in one sentence": says_what_is_missing,
    "its images are uint8 [N, C, H, W], with a label each": has_images,
    "its labels are indices of its classes": has_classes,
    "it has mean and deviation of each channel": can_be_normalised,
    "its images differ": can_be_learnt,
    "equal configs give equal images": is_repeatable,
    "it leaves the global random generators alone": draws_nothing,
    "it counts its images right": counts_its_images,
    "it lists its files": lists_its_files,
}
