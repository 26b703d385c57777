"""Builds a trial's networks so that equal purposes start from equal weights in every cell of a seed."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

from trainers.config.lazy import nn, torch
from trainers.config.plugins import behind
from trainers.encoders.base import EncoderConfig
from trainers.networks.heads import (
    LinearPredictor,
    MlpPredictor,
    NoPredictor,
    ProjectorConfig,
    build_predictor,
    build_projector,
)
from trainers.networks.kept import EncoderFileError, fill
from trainers.randomness import seeded


@dataclass(frozen=True)
class Blueprint:
    """What a method needs to build networks.

    Each network draws from a stream of its own, so an encoder's first weights do not depend on what
    stands on top of it.
    """

    encoder_config: EncoderConfig
    projector_config: ProjectorConfig
    shape: tuple[int, int, int]
    """Shape of one image, [C, H, W]."""
    seed: int
    classes: int = 10
    """Number of classes K, for the supervised reference."""
    start: Mapping[str, torch.Tensor] | None = None
    """Weights that every encoder starts from, of another trial; None: it draws them."""

    @property
    def dimension(self) -> int:
        """Dimension d of the embeddings."""
        return self.projector_config.output

    def encoder(self, copy_of: str = "online") -> tuple[nn.Module, int]:
        """A fresh encoder and its feature dimension; `copy_of` names whose weights it starts from.

        Raises:
            EncoderFileError: the weights to start from are another network's.
        """
        with seeded(self.seed, "weights", "encoder", copy_of):
            network, features = behind(type(self.encoder_config)).build(self.encoder_config, self.shape)
        if self.start is not None:
            try:
                fill(network, self.start)
            except EncoderFileError as error:
                shape = "x".join(map(str, self.shape))
                told = f"the encoder to start from does not take images of {shape}: {error}"
                raise EncoderFileError(told) from None
        return network, features

    def projector(self, features: int, copy_of: str = "online") -> nn.Sequential:
        """A fresh projector for features of that dimension."""
        with seeded(self.seed, "weights", "projector", copy_of):
            return build_projector(self.projector_config, features)

    def classifier(self, features: int) -> nn.Sequential:
        """A fresh linear classifier for features of that dimension."""
        with seeded(self.seed, "weights", "classifier"):
            return nn.Sequential(nn.Linear(features, self.classes))

    def predictor(self, config: MlpPredictor | LinearPredictor | NoPredictor) -> nn.Sequential:
        """A fresh predictor for this blueprint's embeddings."""
        with seeded(self.seed, "weights", "predictor"):
            return build_predictor(config, self.dimension)


def frozen_copy(module: nn.Module) -> nn.Module:
    """A copy that no gradient reaches and no optimizer may hold: a target network at its start."""
    return copy.deepcopy(module).requires_grad_(False)


def buffers(**tensors: torch.Tensor) -> nn.Module:
    """A module of nothing but named buffers: state that moves and is saved along with the networks."""
    module = nn.Module()
    for name, tensor in tensors.items():
        module.register_buffer(name, tensor)
    return module
