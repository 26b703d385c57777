"""A trial's images on the device that trains it, with what normalises them."""

from __future__ import annotations

import contextlib
import functools
from dataclasses import replace
from typing import NamedTuple

from trainers.config.base import Runtime
from trainers.config.lazy import torch
from trainers.config.plugins import behind
from trainers.datasets.base import DatasetConfig, Images, MissingDataError, listed_once, listing_of
from trainers.views.augmentation import normalise as normalised


class DeviceImages(NamedTuple):
    """A data set, and what of it is on the device."""

    images: Images
    train: torch.Tensor
    """All training images, uint8 [N, C, H, W]."""
    labels: torch.Tensor
    """Their class indices, int64 [N], -1 where there is none."""
    held_out: torch.Tensor
    """The first test images, normalised, float32 [M, C, H, W]."""
    mean: torch.Tensor
    std: torch.Tensor
    """Normalisation, [C]."""


@functools.lru_cache(maxsize=2)
def load_images(config: DatasetConfig, runtime: Runtime) -> Images:
    """The data set of `config`, loaded once per process: a warm worker keeps it for the next trial.

    Raises:
        MissingDataError: the data set is not there, or nothing can be learnt from its images.
    """
    listing = None
    with listed_once():
        with contextlib.suppress(OSError):  # before they are read: files may change meanwhile
            listing = listing_of(config, runtime.data_root)
        images: Images = behind(type(config)).load(config, root=runtime.data_root, download=runtime.download)
    images = replace(images, listing=listing)
    fault = images.fault()
    if fault:  # else every method collapses on them, and is blamed
        raise MissingDataError(f"{config.name}: {fault}; look at the files, and at how they were made")
    return images


def on_device(config: DatasetConfig, runtime: Runtime, *, normalise: bool, held_out: int) -> DeviceImages:
    """The images of a trial on its device.

    Args:
        config: the data set.
        runtime: the device, and where data is.
        normalise: whether by the data set's mean and standard deviation; else images keep their values.
        held_out: number of test images.

    Raises:
        MissingDataError: the data set is not there.
    """
    images = load_images(config, runtime)
    mean, std = (torch.tensor(values, device=runtime.device) for values in (images.mean, images.std))
    if not normalise:
        mean, std = torch.zeros_like(mean), torch.ones_like(std)
    train, labels = (values.to(runtime.device) for values in images.for_training())
    first = normalised(images.test[:held_out].to(runtime.device), mean=mean, std=std)
    return DeviceImages(images, train, labels, first, mean, std)


def device_name(device: str) -> str:
    """What torch calls the hardware of a device."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu"
