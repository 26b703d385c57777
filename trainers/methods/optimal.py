"""The optimal linear predictor, solved for every few steps: better predictions, worse features."""

from __future__ import annotations

import functools
from typing import Literal

from pydantic import Field

from trainers.config.lazy import torch
from trainers.measures.matrix import spectral_function
from trainers.methods._direct import DirectConfig, DirectPredictor
from trainers.networks.blueprint import Blueprint


class Config(DirectConfig):
    """BYOL with the least-squares predictor plugged in every `freq` steps.

        W_p = E[z' zᵀ] (F + r I)⁻¹

    z': the target's embedding of the other view. With freq above 1 the optimizer trains W_p in between.

    Source: Tian et al. 2021, arXiv:2102.06810, Table 1. Its code (luckmatters, "solve") is another: it
    multiplies F's eigenvectors by the inverse eigenvalues as a vector, not as a diagonal matrix, so that all
    rows of its W_p are the same, and it solves from the left unless told otherwise. The published 32 to 41 %
    may come from that.
    """

    name: Literal["optimal"] = "optimal"
    ridge: float = Field(1e-2, gt=0)
    """r; the paper gives no value."""


def build(config: Config, blueprint: Blueprint) -> DirectPredictor:
    """The optimal predictor on the networks of `blueprint`."""
    return DirectPredictor(config, blueprint, functools.partial(optimal_matrix, ridge=config.ridge))


def optimal_matrix(correlation: torch.Tensor, cross: torch.Tensor, *, ridge: float) -> torch.Tensor:
    """W_p [d, d] from F and E[z' zᵀ], [d, d] each."""
    return cross @ spectral_function(correlation, lambda s: 1 / (s + ridge))
