"""What every evaluation's config has, and what it is given: an encoder, and images with labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field, SerializeAsAny

from trainers.attempt.folders import Folder
from trainers.attempt.report import Report
from trainers.config.base import NOT_IDENTITY, Frozen
from trainers.config.lazy import nn, torch
from trainers.config.plugins import Plugin
from trainers.datasets.base import DatasetConfig, Images
from trainers.measures import frozen
from trainers.randomness import stream

TOP1 = "evaluation/top1"
"""What every evaluation reports: test accuracy in [0, 1]."""


class LabelsError(ValueError):
    """A data set lacks labels that an evaluation needs; one line."""


class EvaluationConfig(Frozen):
    """What every evaluation's config has."""

    name: str
    data: Annotated[SerializeAsAny[DatasetConfig] | None, Plugin("datasets")] = Field(
        None, json_schema_extra=NOT_IDENTITY
    )
    """Images to evaluate on; None: those that the encoder was trained on. The trial's own `data` counts."""
    labels: float | None = Field(None, gt=0, lt=1)
    """Share of the training images whose labels are used, as many of each class, drawn from the seed; 0.01:
    1 %. None: all."""
    blocks: int | None = Field(None, ge=1)
    """Hidden blocks of the projector that features go through; None: the encoder's own."""


@dataclass(frozen=True)
class Subject:
    """What an evaluation looks at."""

    network: nn.Module
    """From prepared images to features [N, D], in eval mode, on the device."""
    dimension: int
    """D"""
    images: Images
    prepared: Callable[[torch.Tensor], torch.Tensor]
    """Images, uint8 [N, C, H, W], as the network takes them: normalised, on its device."""
    mean: torch.Tensor
    std: torch.Tensor
    """Normalisation, [C]."""
    seed: int
    device: str
    report: Report
    folder: Folder | None
    """Of the trial, for checkpoints."""
    key: str
    """The trial's canonical config."""

    @property
    def classes(self) -> int:
        """Number of classes K."""
        return len(self.images.classes)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Features, float32 [N, D], of images uint8 [N, C, H, W]."""
        return frozen.features(self.network, images, self.prepared)

    def splits(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Training features and labels, test features and labels, on the device."""
        own = self.images
        train, test = self.features(own.train), self.features(own.test)
        return train, own.train_labels.to(train.device), test, own.test_labels.to(test.device)


def labelled(images: Images, share: float | None, *, seed: int, name: str) -> Images:
    """The images with as many training images of each class as make that share; all of them for None.

    Raises:
        LabelsError: an image has no label, or a class has too few.
    """
    for split, labels in (("training", images.train_labels), ("test", images.test_labels)):
        if missing := int((labels < 0).sum()):
            raise LabelsError(f"data set '{name}' has no label for {missing} of {len(labels)} {split} images")
    if share is None:
        return images
    each = max(1, round(share * len(images.train) / len(images.classes)))
    order = torch.randperm(len(images.train), generator=stream(seed, "labels"))
    chosen = []
    for index, label in enumerate(images.classes):
        own = order[images.train_labels[order] == index]
        if len(own) < each:
            raise LabelsError(
                f"data set '{name}': {share:g} of the labels: {each} of each class; '{label}' has {len(own)}"
            )
        chosen.append(own[:each])
    kept = torch.cat(chosen).sort().values
    return replace(images, train=images.train[kept], train_labels=images.train_labels[kept])
