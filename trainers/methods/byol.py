"""BYOL: predict a slowly moving target's embedding of the other view."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from trainers.heads import (
    MlpPredictor,
    NoPredictor,
    PredictorConfig,
    predictor_matrix,
    symmetrise,
)
from trainers.lazy import F, nn, torch
from trainers.methods.base import AbstractMethod, Forward, MethodConfig
from trainers.networks import Blueprint, frozen_copy


class Config(MethodConfig):
    """BYOL, and with momentum 0 the report's SimSiam.

        L = -scale · mean_n [ cos(q(z1), sg z2') + cos(q(z2), sg z1') ],   z = g(f(x)),  z' = target's z

    Source: Grill et al. 2020, arXiv:2006.07733, eq. 2; Tian et al. 2021, arXiv:2102.06810. The constant
    2 of ‖a - b‖² = 2 - 2cos is left out of the loss.
    """

    name: Literal["byol"] = "byol"
    momentum: float = Field(0.996, ge=0, le=1)
    """Share of the target that a step keeps: target ← m·target + (1 - m)·online. 0: no EMA."""
    predictor: PredictorConfig = MlpPredictor()
    """The predictor q."""
    loss_scale: float = Field(1.0, gt=0)
    """1: the report's sum of two cosines; 2: BYOL's and luckmatters'; 0.5: SimSiam's mean."""
    target_init: Literal["copy", "independent"] = "copy"
    """Whether the target starts as a copy of the online network (report) or on its own (luckmatters)."""


class Method(AbstractMethod):
    """BYOL under training.

    The target runs in train mode, with the batch's own statistics: its running ones are never used
    (report and luckmatters; its BatchNorm buffers therefore need no EMA).
    """

    def __init__(self, config: Config, blueprint: Blueprint) -> None:
        """Build the online and target networks of `blueprint`."""
        self.config = config
        self.encoder, features = blueprint.encoder()
        self.projector = blueprint.projector(features)
        self.predictor = blueprint.predictor(config.predictor)
        self.trained = {
            "encoder": self.encoder,
            "projector": self.projector,
            "predictor": self.predictor,
        }
        self.networks = nn.ModuleDict(self.trained)
        # Without EMA the target is the online network itself: with batch statistics a second forward
        # pass would compute the same numbers again.
        self.has_target = config.momentum > 0 or config.target_init == "independent"
        if self.has_target:
            if config.target_init == "copy":
                encoder, projector = frozen_copy(self.encoder), frozen_copy(self.projector)
            else:
                encoder = frozen_copy(blueprint.encoder(copy_of="target")[0])
                projector = frozen_copy(blueprint.projector(features, copy_of="target"))
            self.networks["target_encoder"] = encoder
            self.networks["target_projector"] = projector

    def forward(self, view1: torch.Tensor, view2: torch.Tensor) -> Forward:
        """The loss of one batch of two views, each [N, C, H, W]."""
        z1 = self.projector(self.encoder(view1))
        z2 = self.projector(self.encoder(view2))
        target1, target2 = self._targets(view1, view2, z1, z2)
        similarity = _cosine(self.predictor(z1), target2) + _cosine(self.predictor(z2), target1)
        return Forward(-self.config.loss_scale * similarity, z1.detach(), z2.detach())

    def after_step(self, *, step: int, steps: int) -> None:
        """Symmetrise W_p if asked to, then move the target towards the online network."""
        del step, steps
        if not isinstance(self.config.predictor, NoPredictor) and self.config.predictor.symmetric:
            symmetrise(self.predictor)
        if self.has_target:
            move_towards(self.networks["target_encoder"], self.encoder, self.config.momentum)
            move_towards(self.networks["target_projector"], self.projector, self.config.momentum)

    def predictor_matrix(self) -> torch.Tensor | None:
        """W_p [d, d]; W2·W1 for two layers."""
        return predictor_matrix(self.predictor)

    def _targets(
        self, view1: torch.Tensor, view2: torch.Tensor, z1: torch.Tensor, z2: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.has_target:
            return z1.detach(), z2.detach()
        encoder, projector = self.networks["target_encoder"], self.networks["target_projector"]
        with torch.no_grad():
            return projector(encoder(view1)), projector(encoder(view2))


def build(config: Config, blueprint: Blueprint) -> Method:
    """BYOL on the networks of `blueprint`."""
    return Method(config, blueprint)


def move_towards(target: nn.Module, online: nn.Module, momentum: float) -> None:
    """target ← m·target + (1 - m)·online, for every parameter."""
    with torch.no_grad():
        torch._foreach_lerp_(
            list(target.parameters()), [p.detach() for p in online.parameters()], 1 - momentum
        )


def _cosine(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    # Never in half precision, whatever autocast did before; never less than the inputs have.
    p, z = (x.float() if x.dtype in (torch.bfloat16, torch.float16) else x for x in (prediction, target))
    return F.cosine_similarity(p, z, dim=1).mean()
