"""BYOL whose predictor reads directions: embeddings of one length."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from trainers.config.lazy import F, torch
from trainers.methods._siamese import Siamese, SiameseConfig
from trainers.networks.blueprint import Blueprint
from trainers.networks.heads import MlpPredictor, PredictorConfig


class Config(SiameseConfig):
    """What a sweep file may say of it; momentum and the like come from `SiameseConfig`."""

    name: Literal["mybyol"] = "mybyol"
    predictor: PredictorConfig = MlpPredictor()
    length: float = Field(1.0, gt=0)
    """Length of an embedding, as the predictor sees it."""


class MyByol(Siamese):
    """BYOL, but for what the predictor reads."""

    siamese: Config

    def predict(self, z1: torch.Tensor, z2: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The predictions from both views' embeddings, [N, d] each."""
        first, second = (self.siamese.length * F.normalize(z, dim=1) for z in (z1, z2))
        return self.predictor(first), self.predictor(second)


def build(config: Config, blueprint: Blueprint) -> MyByol:
    """The method on the networks of `blueprint`."""
    return MyByol(config, blueprint, config.predictor)
