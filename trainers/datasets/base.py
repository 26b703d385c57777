"""What a data set is to a trainer: labelled images in memory, and the errors of one that is not there."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from trainers.config.base import Frozen
from trainers.config.lazy import torch
from trainers.config.plugins import behind

if TYPE_CHECKING:
    from torch import Tensor


class DatasetConfig(Frozen):
    """What every data set's config has."""

    name: str


class MissingDataError(Exception):
    """A data set is not where it was looked for; the message says where that was and both ways out."""


@dataclass(frozen=True)
class Images:
    """A labelled data set, whole, in memory.

    Attributes:
        train, test: images, uint8 [N, C, H, W].
        train_labels, test_labels: class indices, int64 [N].
        classes: class names; their number is K.
        mean, std: per-channel constants in [0, 1] units, for normalisation; length C.
        unlabelled: further images without labels for pre-training, uint8 [M, C, H, W], or None.
        notes: what a reader of the trial's log must know, such as which files were skipped; a line each.
        listing: of the files that they were read from, see `listing_of`.
    """

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    unlabelled: Tensor | None = None
    notes: tuple[str, ...] = ()
    listing: str | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one image, [C, H, W]."""
        _, channels, height, width = self.train.shape
        return channels, height, width

    def for_training(self) -> tuple[Tensor, Tensor]:
        """All images to pre-train on, uint8 [N, C, H, W], and their labels [N], -1 where there is none."""
        if self.unlabelled is None:
            return self.train, self.train_labels
        none = self.train_labels.new_full((len(self.unlabelled),), -1)
        images = torch.cat((self.train, self.unlabelled))
        return images, torch.cat((self.train_labels, none))

    def fault(self) -> str | None:
        """Why no method can learn from these images or be measured on them, in a few words, or None."""
        for split, images in (("training", self.train), ("test", self.test)):
            alike = flat = len(images) > 1
            for chunk in images.split(1024):  # the first chunk of good images ends it
                alike = alike and bool((chunk == images[:1]).all())
                flat = flat and bool((chunk == chunk[:, :, :1, :1]).all())
                if not (alike or flat):
                    break
            else:
                what = "alike" if alike else "of one colour each"
                return f"all {len(images)} {split} images are {what}"
        return None

    def fingerprint(self) -> str:
        """Hash of every pixel and label, so that a table can tell that two trials saw the same data."""
        return self._fingerprint

    @functools.cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256()
        parts = (self.train, self.train_labels, self.test, self.test_labels, self.unlabelled)
        for tensor in parts:
            if tensor is not None:
                digest.update(str(tuple(tensor.shape)).encode())
                digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()[:12]


def listing_of(config: DatasetConfig, root: Path | None) -> str | None:
    """The number of a data set's files and a digest of their names and sizes: others are told in no time.

    None for data sets that cannot change, or that are not there.
    """
    listed = getattr(behind(type(config)), "listing", None)
    files = listed(config, root=root) if listed else []
    if not files:
        return None
    text = "\n".join(f"{name} {size}" for name, size in files)
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape"))  # names may be in any encoding
    return f"{len(files)} files, {digest.hexdigest()[:12]}"


class Entry(NamedTuple):
    """What stands in a folder; a link that leads nowhere is neither folder nor file."""

    path: Path
    is_folder: bool
    is_file: bool


_listed: ContextVar[dict[Path, tuple[Entry, ...]] | None] = ContextVar("_listed", default=None)


@contextlib.contextmanager
def listed_once() -> Iterator[None]:
    """Inside, each folder is listed once, however often `entries` asks: a disk elsewhere takes its time."""
    before = _listed.set({})
    try:
        yield
    finally:
        _listed.reset(before)


def entries(folder: Path) -> tuple[Entry, ...]:
    """What is in a folder, by name."""
    known = _listed.get()
    if known is None or folder not in known:
        with os.scandir(folder) as there:
            ones = sorted(there, key=lambda one: one.name)
        found = tuple(Entry(folder / one.name, _is(one.is_dir), _is(one.is_file)) for one in ones)
        if known is None:
            return found
        known[folder] = found
    return known[folder]


def _is(looked: Callable[[], bool]) -> bool:
    try:
        return looked()
    except OSError:  # a link to itself
        return False


def data_folder(root: str | Path | None) -> Path:
    """The folder that downloaded data sets live in: `root`, else $ORCH_DATA, else ./data."""
    return Path(root or os.environ.get("ORCH_DATA") or "data").expanduser()
