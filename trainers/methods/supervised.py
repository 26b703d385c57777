"""The supervised reference: the same encoder, trained on the labels."""

from __future__ import annotations

from typing import Literal

from trainers.config.lazy import F, nn, torch
from trainers.methods.base import AbstractMethod, Forward, MethodConfig, in_full_precision
from trainers.networks.blueprint import Blueprint


class Config(MethodConfig):
    """Cross-entropy of a linear classifier on the encoder, on the first view of each image.

    The classifier stands in the projector's place and its K scores in the embedding's; the trial's
    `projector` is not used. The usual views: flip and a shift by 4 pixels, no crop and no colours.
    """

    name: Literal["supervised"] = "supervised"


class Supervised(AbstractMethod):
    """The supervised reference under training."""

    def __init__(self, config: Config, blueprint: Blueprint) -> None:
        """Build the networks of `blueprint`.

        Raises:
            ValueError: the probe is to read a projector, which this method has not.
        """
        del config
        if blueprint.projector_config.probed_blocks:
            raise ValueError("supervised: has no projector to probe; leave projector.probed_blocks out")
        self.encoder, features = blueprint.encoder()
        self.projector = blueprint.classifier(features)
        self.dimension = blueprint.classes
        self.trained = {"encoder": self.encoder, "projector": self.projector}
        self.networks = nn.ModuleDict(self.trained)

    def forward(
        self, view1: torch.Tensor, view2: torch.Tensor, labels: torch.Tensor | None = None
    ) -> Forward:
        """The cross-entropy of one batch; images whose label is -1 do not count.

        Raises:
            ValueError: there are no labels.
        """
        del view2
        if labels is None:
            raise ValueError("supervised: needs the labels of the batch")
        scores = self.projector(self.encoder(view1))
        return Forward(_cross_entropy(scores, labels), scores.detach(), scores.detach())


def build(config: Config, blueprint: Blueprint) -> Supervised:
    """The supervised reference on the networks of `blueprint`."""
    return Supervised(config, blueprint)


@in_full_precision
def _cross_entropy(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    # Where no image of the batch has a label the mean is over nothing: zero, not NaN.
    total = F.cross_entropy(scores, labels, ignore_index=-1, reduction="sum")
    return total / (labels >= 0).sum().clamp(min=1)
