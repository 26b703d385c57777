"""W-MSE: whiten each view's embeddings within slices of the batch, then pull the views together."""

from __future__ import annotations

import functools
from typing import Literal

from pydantic import Field

from trainers.config.lazy import F, torch
from trainers.methods._joint import JointEmbedding
from trainers.methods.base import MethodConfig, in_full_precision
from trainers.networks.blueprint import Blueprint


class Config(MethodConfig):
    """W-MSE.

        L = scale · mean_n ‖v1/|v1| - v2/|v2|‖²,   v = L⁻¹(z - z̄),   Σ = L Lᵀ

    Σ is the unbiased covariance of a slice of one view's embeddings. Whitening is by the inverse Cholesky
    factor, not the inverse square root: both whiten, and this is what the authors' code does. Slices
    follow the batch's order, which is already random, and are the same for both views.

    Source: Ermolov et al. 2021, arXiv:2007.06346, §3.
    """

    name: Literal["wmse"] = "wmse"
    slice_size: int = Field(128, ge=4)
    """Embeddings whitened together; at least twice the embedding dimension, or Σ is nearly singular."""
    shrinkage: float = Field(0.0, ge=0, lt=1)
    """e: Σ becomes (1 - e) Σ + e I."""
    one_sided: bool = False
    """Whether the second view is detached, as in solo-learn's simplified loss."""
    loss_scale: float = Field(1.0, gt=0)
    """Factor of the loss."""


def build(config: Config, blueprint: Blueprint) -> JointEmbedding:
    """W-MSE on the networks of `blueprint`.

    Raises:
        ValueError: a slice has fewer than 2d embeddings.
    """
    if config.slice_size < 2 * blueprint.dimension:
        raise ValueError(
            f"wmse: slice_size {config.slice_size} is below 2·d = {2 * blueprint.dimension}; "
            "raise method.slice_size or lower projector.output"
        )
    return JointEmbedding(blueprint, functools.partial(wmse_loss, config=config))


@in_full_precision
def wmse_loss(z1: torch.Tensor, z2: torch.Tensor, *, config: Config) -> torch.Tensor:
    """The loss of `Config` for embeddings [N, d], of which N must hold whole slices.

    Raises:
        ValueError: N is not a multiple of the slice.
    """
    if len(z1) % config.slice_size:
        raise ValueError(
            f"wmse: batch_size {len(z1)} is no multiple of slice_size {config.slice_size}; change one"
        )
    similarity = [
        F.cosine_similarity(
            whitened(part1, config.shrinkage),
            whitened(part2, config.shrinkage).detach()
            if config.one_sided
            else whitened(part2, config.shrinkage),
        )
        for part1, part2 in zip(z1.split(config.slice_size), z2.split(config.slice_size), strict=True)
    ]
    return config.loss_scale * (2 - 2 * torch.cat(similarity).mean())


def whitened(z: torch.Tensor, shrinkage: float) -> torch.Tensor:
    """`z` [N, d] centred and with the identity as its covariance; NaN where the covariance is singular."""
    centred = z - z.mean(dim=0)
    covariance = centred.T @ centred / (len(z) - 1)
    if shrinkage:
        covariance = torch.lerp(
            covariance,
            torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device),
            shrinkage,
        )
    factor, info = torch.linalg.cholesky_ex(covariance)
    # A singular covariance is the trial's divergence, which the loop reports, and not a crash.
    factor = torch.where(info > 0, torch.full_like(factor, torch.nan), factor)
    white: torch.Tensor = torch.linalg.solve_triangular(factor, centred.T, upper=False)
    return white.T
