"""BYOL: predict a slowly moving target's embedding of the other view."""

from __future__ import annotations

from typing import Literal

from trainers.methods._siamese import Siamese, SiameseConfig
from trainers.networks.blueprint import Blueprint
from trainers.networks.heads import MlpPredictor, PredictorConfig


class Config(SiameseConfig):
    """BYOL, and with momentum 0 the report's SimSiam.

        L = -scale · mean_n [ cos(q(z1), sg z2') + cos(q(z2), sg z1') ],   z = g(f(x)),  z' = target's z

    Source: Grill et al. 2020, arXiv:2006.07733, eq. 2; Tian et al. 2021, arXiv:2102.06810. The constant
    2 of ‖a - b‖² = 2 - 2cos is left out of the loss.
    """

    name: Literal["byol"] = "byol"
    predictor: PredictorConfig = MlpPredictor()
    """The predictor q."""


def build(config: Config, blueprint: Blueprint) -> Siamese:
    """BYOL on the networks of `blueprint`."""
    return Siamese(config, blueprint, config.predictor)
