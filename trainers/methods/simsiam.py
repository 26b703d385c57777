"""SimSiam: both branches share all weights, only the gradient of one is stopped."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from trainers.methods import byol
from trainers.methods._siamese import ReinitConfig, Siamese
from trainers.methods.base import MethodConfig
from trainers.networks.blueprint import Blueprint
from trainers.networks.heads import MlpPredictor, PredictorConfig


class Config(MethodConfig):
    """SimSiam, which is BYOL without a moving target.

        L = -scale · mean_n [ cos(q(z1), sg z2) + cos(q(z2), sg z1) ]

    Source: Chen and He 2020, arXiv:2011.10566, eqs. 2-4, where scale is 1/2. The report trains it with
    BYOL's heads and scale 1; the original's have a BatchNorm on the embedding and a bottleneck.
    """

    name: Literal["simsiam"] = "simsiam"
    predictor: PredictorConfig = MlpPredictor()
    """The predictor q."""
    loss_scale: float = Field(0.5, gt=0)
    """0.5: the original's mean of two cosines; 1: the report's sum."""
    stop_gradient: Literal[False] | None = None
    """false: the gradient flows into both branches. The ablation that collapses."""
    reinit: ReinitConfig | None = None
    """Whether the predictor is initialised again during training."""


def build(config: Config, blueprint: Blueprint) -> Siamese:
    """SimSiam on the networks of `blueprint`."""
    as_byol = byol.Config(
        momentum=0.0,
        predictor=config.predictor,
        loss_scale=config.loss_scale,
        stop_gradient=config.stop_gradient,
        reinit=config.reinit,
    )
    return Siamese(as_byol, blueprint, config.predictor)
