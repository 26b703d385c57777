"""DirectCopy: the predictor is F itself, scaled, plus a little of the identity."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from trainers.config.lazy import torch
from trainers.measures.matrix import largest_eigenvalue, spectral_function
from trainers.methods._direct import DirectConfig, DirectPredictor
from trainers.networks.blueprint import Blueprint


class Config(DirectConfig):
    """DirectCopy and, with another exponent, DirectSet.

        W_p = F^α / ‖F^α‖ + ε I

    Source: Wang et al. 2021, arXiv:2110.04947; the report, eq. 5, with ε 0.3 and ρ 0.5. Neither names the
    norm; the spectral one is what other implementations take, the report's own code takes Frobenius'.
    """

    name: Literal["directcopy"] = "directcopy"
    rho: float = Field(0.5, ge=0, lt=1)
    """Keep rate ρ of F."""
    eps: float = Field(0.3, ge=0)
    """ε"""
    exponent: float = Field(1.0, gt=0)
    """α. 1: DirectCopy; 1/2: like DirectPred."""
    norm: Literal["spectral", "frobenius", "none"] = "spectral"
    """‖·‖, by which F^α is divided; none: it is not."""


def build(config: Config, blueprint: Blueprint) -> DirectPredictor:
    """DirectCopy on the networks of `blueprint`."""
    return DirectPredictor(config, blueprint, lambda correlation, _: directcopy_matrix(correlation, config))


def directcopy_matrix(correlation: torch.Tensor, config: Config) -> torch.Tensor:
    """W_p [d, d] that `config` makes of F [d, d]. No eigendecomposition where the exponent is 1."""
    power = correlation
    if config.exponent != 1:
        power = spectral_function(correlation, lambda s: s**config.exponent)
    if config.norm == "spectral":
        power = power / largest_eigenvalue(power)
    elif config.norm == "frobenius":
        power = power / power.norm()
    return power + config.eps * torch.eye(len(power), dtype=power.dtype, device=power.device)
