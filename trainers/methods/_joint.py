"""Methods with one network and a loss over both its embeddings: no target, no predictor."""

from __future__ import annotations

from collections.abc import Callable

from trainers.config.lazy import nn, torch
from trainers.methods.base import AbstractMethod, Forward
from trainers.networks.blueprint import Blueprint


class JointEmbedding(AbstractMethod):
    """An encoder and a projector under a loss over the embeddings of both views."""

    def __init__(
        self, blueprint: Blueprint, loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    ) -> None:
        """Build the networks of `blueprint`; `loss` takes both views' embeddings, [N, d] each."""
        self.loss = loss
        self.encoder, features = blueprint.encoder()
        self.projector = blueprint.projector(features)
        self.dimension = blueprint.dimension
        self.trained = {"encoder": self.encoder, "projector": self.projector}
        self.networks = nn.ModuleDict(self.trained)

    def forward(
        self, view1: torch.Tensor, view2: torch.Tensor, labels: torch.Tensor | None = None
    ) -> Forward:
        """The loss of one batch of two views, each [N, C, H, W]."""
        del labels
        z1 = self.projector(self.encoder(view1))
        z2 = self.projector(self.encoder(view2))
        return Forward(self.loss(z1, z2), z1.detach(), z2.detach())
