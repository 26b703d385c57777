"""Barlow Twins: the cross-correlation of both views' embeddings should be the identity."""

from __future__ import annotations

import functools
from typing import Literal

from pydantic import Field

from trainers.config.lazy import torch
from trainers.methods._joint import JointEmbedding
from trainers.methods.base import MethodConfig, in_full_precision
from trainers.networks.blueprint import Blueprint


class Config(MethodConfig):
    """Barlow Twins.

        L = scale · [ Σ_i (1 - C_ii)² + λ Σ_{i≠j} C_ij² ],   C = Ẑ1ᵀ Ẑ2 / N

    Ẑ: embeddings standardised over the batch by a BatchNorm without γ and β (biased variance plus 1e-5).

    Source: Zbontar et al. 2021, arXiv:2103.03230, eqs. 1-2. The off-diagonal terms are C_ij², not C_ii²
    as one of the project's sources prints.
    """

    name: Literal["barlow_twins"] = "barlow_twins"
    off_diagonal: float = Field(5e-3, ge=0)
    """λ, the weight of the off-diagonal terms; it has to fall as the embedding gets wider."""
    loss_scale: float = Field(1.0, gt=0)
    """1: the paper; 0.1: solo-learn on CIFAR-10."""


def build(config: Config, blueprint: Blueprint) -> JointEmbedding:
    """Barlow Twins on the networks of `blueprint`."""
    return JointEmbedding(blueprint, functools.partial(barlow_loss, config=config))


@in_full_precision
def barlow_loss(z1: torch.Tensor, z2: torch.Tensor, *, config: Config) -> torch.Tensor:
    """The loss of `Config` for embeddings [N, d]."""
    correlation = _standardised(z1).T @ _standardised(z2) / len(z1)
    diagonal = correlation.diagonal()
    off = correlation.square().sum() - diagonal.square().sum()
    return config.loss_scale * ((1 - diagonal).square().sum() + config.off_diagonal * off)


def _standardised(z: torch.Tensor) -> torch.Tensor:
    centred = z - z.mean(dim=0)
    return centred / (centred.square().mean(dim=0) + 1e-5).sqrt()
