"""VICReg: keep each dimension's variance up, the dimensions uncorrelated and the views close."""

from __future__ import annotations

import functools
from typing import Literal

from pydantic import Field

from trainers.config.lazy import F, torch
from trainers.methods._joint import JointEmbedding
from trainers.methods.base import MethodConfig, in_full_precision
from trainers.networks.blueprint import Blueprint


class Config(MethodConfig):
    """VICReg.

        L = λ s(Z1, Z2) + μ [v(Z1) + v(Z2)] + ν [c(Z1) + c(Z2)]
        v = 1/d Σ_j max(0, γ - √(Var z_j + ε)),   c = 1/d Σ_{i≠j} Cov_ij²

    with unbiased variances. Source: Bardes et al. 2022, arXiv:2105.04906, eqs. 1-6.
    """

    name: Literal["vicreg"] = "vicreg"
    invariance: float = Field(25.0, ge=0)
    """λ"""
    variance: float = Field(25.0, ge=0)
    """μ"""
    covariance: float = Field(1.0, ge=0)
    """ν"""
    target_std: float = Field(1.0, gt=0)
    """γ"""
    epsilon: float = Field(1e-4, gt=0)
    """ε"""
    invariance_form: Literal["mean", "sum"] = "mean"
    """"mean": s = ‖Z1 - Z2‖² / (N d), as the authors' code, solo-learn and lightly have it; "sum":
    ‖Z1 - Z2‖² / N, as the paper prints, d times as strong."""
    variance_form: Literal["sum", "mean"] = "sum"
    """"sum": v(Z1) + v(Z2), paper and solo-learn; "mean": half of it, the authors' code and lightly."""


def build(config: Config, blueprint: Blueprint) -> JointEmbedding:
    """VICReg on the networks of `blueprint`."""
    return JointEmbedding(blueprint, functools.partial(vicreg_loss, config=config))


@in_full_precision
def vicreg_loss(z1: torch.Tensor, z2: torch.Tensor, *, config: Config) -> torch.Tensor:
    """The loss of `Config` for embeddings [N, d]."""
    invariance = F.mse_loss(z1, z2)
    if config.invariance_form == "sum":
        invariance = invariance * z1.shape[1]
    variance = _variance(z1, config) + _variance(z2, config)
    if config.variance_form == "mean":
        variance = variance / 2
    covariance = _covariance(z1) + _covariance(z2)
    return config.invariance * invariance + config.variance * variance + config.covariance * covariance


def _variance(z: torch.Tensor, config: Config) -> torch.Tensor:
    # ε keeps the square root's gradient finite where a dimension has collapsed.
    return F.relu(config.target_std - (z.var(dim=0) + config.epsilon).sqrt()).mean()


def _covariance(z: torch.Tensor) -> torch.Tensor:
    centred = z - z.mean(dim=0)
    covariance = centred.T @ centred / (len(z) - 1)
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / z.shape[1]
