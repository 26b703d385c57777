"""What BYOL, SimSiam, DirectPred and their kin share: an online branch, a target branch, a predictor."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from trainers.config.base import Frozen
from trainers.config.lazy import F, nn, torch
from trainers.methods.base import AbstractMethod, Forward, MethodConfig, in_full_precision
from trainers.networks.blueprint import Blueprint, frozen_copy
from trainers.networks.heads import LinearPredictor, MlpPredictor, NoPredictor, predictor_matrix, project
from trainers.randomness import seeded


class ReinitConfig(Frozen):
    """Fresh predictor weights every few epochs: xavier uniform, biases zero; momentum buffers stay.

    Before training and before epochs k, 2k, ..., counted from 1, as the paper's code has it.

    Source: Tian et al. 2020, arXiv:2010.00578, §4, and its code.
    """

    every: int = Field(ge=1)
    """k, epochs between two re-initialisations."""
    layers: Literal["all", "top", "bottom"] = "all"
    """Which linear layers: both, the one that makes the prediction, or the one that reads the embedding;
    in a predictor of one layer they are the same."""


class SiameseConfig(MethodConfig):
    """What every method with a target branch has.

    `momentum_end`, `stop_gradient` and `reinit` are ablations: None is the method as published.
    """

    momentum: float = Field(0.996, ge=0, le=1)
    """Share of the target that a step keeps: target ← m·target + (1 - m)·online. 0: no EMA."""
    momentum_end: float | None = Field(None, ge=0, le=1)
    """Momentum at the end of a cosine ramp from `momentum`; None keeps it constant (report, DirectPred)."""
    loss_scale: float = Field(1.0, gt=0)
    """1: the report's sum of two cosines; 2: BYOL's and luckmatters'; 0.5: SimSiam's mean."""
    target_init: Literal["copy", "independent"] = "copy"
    """Whether the target starts as a copy of the online network (report) or on its own (luckmatters)."""
    stop_gradient: Literal[False] | None = None
    """false: the gradient flows into both branches; needs momentum 0. The ablation that collapses."""
    reinit: ReinitConfig | None = None
    """Whether the predictor is initialised again during training."""

    @model_validator(mode="after")
    def _gradient_needs_a_shared_target(self) -> Self:
        if self.stop_gradient is False and self.has_target:
            raise ValueError(
                "stop_gradient: false needs momentum 0 and target_init copy: no gradient reaches an EMA"
            )
        return self

    @model_validator(mode="after")
    def _there_is_something_to_initialise(self) -> Self:
        predictor = getattr(self, "predictor", None)
        if self.reinit is not None and (isinstance(predictor, NoPredictor) or not self.has_weights):
            raise ValueError("reinit: there is no predictor whose weights could be initialised again")
        return self

    @property
    def has_weights(self) -> bool:
        """Whether the predictor has weights that stay from one step to the next."""
        return True

    @property
    def has_target(self) -> bool:
        """Whether the target has weights of its own.

        Without EMA it is the online network itself: with batch statistics a second forward pass would
        compute the same numbers again.
        """
        return self.momentum > 0 or self.momentum_end is not None or self.target_init == "independent"

    def momentum_at(self, step: int, steps: int) -> float:
        """m after step `step` of `steps`: m_end - (m_end - m)(1 + cos(π step / steps))/2."""
        if self.momentum_end is None:
            return self.momentum
        share = (1 + math.cos(math.pi * step / steps)) / 2
        return self.momentum_end - (self.momentum_end - self.momentum) * share


class Siamese(AbstractMethod):
    """A method with an online and a target branch, under training.

        L = -scale · mean_n [ cos(q(z1), sg z2') + cos(q(z2), sg z1') ],   z = g(f(x)),  z' = target's z

    The target runs in train mode, with the batch's own statistics: its running ones are never used
    (report and luckmatters; its BatchNorm buffers therefore need no EMA).
    """

    def __init__(
        self,
        config: SiameseConfig,
        blueprint: Blueprint,
        predictor: MlpPredictor | LinearPredictor | NoPredictor,
        *,
        train_predictor: bool = True,
    ) -> None:
        """Build the online and target networks of `blueprint`."""
        self.siamese, self.predictor_config, self.seed = config, predictor, blueprint.seed
        self.encoder, features = blueprint.encoder()
        self.projector = blueprint.projector(features)
        self.predictor = blueprint.predictor(predictor)
        self.dimension = blueprint.dimension
        self.trained = {"encoder": self.encoder, "projector": self.projector}
        if train_predictor:
            self.trained["predictor"] = self.predictor
        else:
            self.predictor.requires_grad_(False)
        self.networks = nn.ModuleDict(
            {"encoder": self.encoder, "projector": self.projector, "predictor": self.predictor}
        )
        if config.has_target:
            if config.target_init == "copy":
                encoder, projector = frozen_copy(self.encoder), frozen_copy(self.projector)
            else:
                encoder = frozen_copy(blueprint.encoder(copy_of="target")[0])
                projector = frozen_copy(blueprint.projector(features, copy_of="target"))
            self.networks["target_encoder"] = encoder
            self.networks["target_projector"] = projector

    def forward(
        self, view1: torch.Tensor, view2: torch.Tensor, labels: torch.Tensor | None = None
    ) -> Forward:
        """The loss of one batch of two views, each [N, C, H, W]."""
        del labels
        z1 = self.projector(self.encoder(view1))
        z2 = self.projector(self.encoder(view2))
        target1, target2 = self._targets(view1, view2, z1, z2)
        p1, p2 = self.predict(z1, z2)
        similarity = _cosine(p1, target2) + _cosine(p2, target1)
        return Forward(
            -self.siamese.loss_scale * similarity,
            z1.detach(),
            z2.detach(),
            target1.detach(),
            target2.detach(),
        )

    def predict(self, z1: torch.Tensor, z2: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The predictions from both views' embeddings, [N, d] each."""
        return self.predictor(z1), self.predictor(z2)

    def before_epoch(self, epoch: int) -> None:
        """Initialise the predictor again if it is time."""
        reinit = self.siamese.reinit
        if reinit is None or (epoch and (epoch + 1) % reinit.every):
            return
        linear = [layer for layer in self.predictor if isinstance(layer, nn.Linear)]
        chosen = {"all": linear, "top": linear[-1:], "bottom": linear[:1]}[reinit.layers]
        with seeded(self.seed, "reinit", epoch), torch.no_grad():
            for layer in chosen:
                # Drawn on the CPU, so that a GPU trial starts from the same weights.
                fresh = torch.empty(layer.weight.shape)
                layer.weight.copy_(nn.init.xavier_uniform_(fresh))
                if layer.bias is not None:
                    layer.bias.zero_()
        project(self.predictor, self.predictor_config)

    def after_step(self, forward: Forward, *, step: int, steps: int) -> None:
        """Constrain W_p if asked to, then move the target towards the online network."""
        self.set_predictor(forward, step=step)
        if self.siamese.has_target:
            momentum = self.siamese.momentum_at(step, steps)
            move_towards(self.networks["target_encoder"], self.encoder, momentum)
            move_towards(self.networks["target_projector"], self.projector, momentum)

    def set_predictor(self, forward: Forward, *, step: int) -> None:
        """What becomes of W_p after the optimizer's step; here the predictor's own constraint."""
        del forward, step
        project(self.predictor, self.predictor_config)

    def predictor_matrix(self) -> torch.Tensor | None:
        """W_p [d, d]; W2·W1 for two layers."""
        return predictor_matrix(self.predictor)

    def _targets(
        self, view1: torch.Tensor, view2: torch.Tensor, z1: torch.Tensor, z2: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if self.siamese.has_target:
            encoder, projector = self.networks["target_encoder"], self.networks["target_projector"]
            with torch.no_grad():
                return projector(encoder(view1)), projector(encoder(view2))
        return (z1, z2) if self.siamese.stop_gradient is False else (z1.detach(), z2.detach())


def move_towards(target: nn.Module, online: nn.Module, momentum: float) -> None:
    """target ← m·target + (1 - m)·online, for every parameter."""
    with torch.no_grad():
        torch._foreach_lerp_(
            list(target.parameters()), [p.detach() for p in online.parameters()], 1 - momentum
        )


@in_full_precision
def _cosine(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return F.cosine_similarity(prediction, target, dim=1).mean()
