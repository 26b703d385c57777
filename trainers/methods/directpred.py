"""DirectPred: the predictor is set from the eigenspace of F, not learned."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from trainers.config.lazy import torch
from trainers.measures.matrix import largest_eigenvalue, spectral_function, sqrt_newton_schulz
from trainers.methods._direct import DirectConfig, DirectPredictor
from trainers.networks.blueprint import Blueprint

FLOOR = 1e-4  # smallest eigenvalue of W_p in the paper's code


class Config(DirectConfig):
    """DirectPred.

        F = U diag(s) Uᵀ,   W_p = U diag(p) Uᵀ
        code:   p_j = max(√(s_j / max s) + ε, 1e-4)          paper:   p_j = √s_j + ε max s

    The paper's ε multiplies the largest eigenvalue, its code's the root of it: with embeddings of norm
    10 that is a tenfold difference. The code's form, the default, does not depend on the scale of F.

    Source: Tian et al. 2021, arXiv:2102.06810, eqs. 18-19 and its code (luckmatters).
    """

    name: Literal["directpred"] = "directpred"
    eps: float = 0.1
    """ε. The paper's best: 0.1 with ρ 0.3."""
    eps_form: Literal["code", "paper"] = "code"
    """Which of the two forms above."""
    eps_inside: bool = False
    """Code form only: p_j = max(s_j / max s + ε, 1e-4)^a; ε may be negative."""
    shift: float = 0.0
    """c of p_j = √max(s_j - c, 0) (Table 7), of the normalised eigenvalues in the code's form."""
    exponent: float = Field(0.5, gt=0)
    """a in place of the square root."""
    diagonal: bool = False
    """Use only F's diagonal, with the identity as its eigenvectors."""
    root: Literal["eigh", "newton_schulz"] = "eigh"
    """How √F is found: exactly on the CPU, or by products on the device, which a GPU need not wait for
    and which is off by up to 5e-4. Newton-Schulz serves the code's form with exponent 1/2 and no shift."""

    @model_validator(mode="after")
    def _root_serves_one_form(self) -> Self:
        plain = self.eps_form == "code" and self.exponent == 0.5 and not (self.shift or self.diagonal)
        if self.root == "newton_schulz" and (not plain or self.eps_inside or self.eps < FLOOR):
            raise ValueError(
                "root: newton_schulz serves only eps_form code with exponent 0.5, eps >= 1e-4 and neither "
                "shift, diagonal nor eps_inside; use eigh"
            )
        if self.eps_form == "paper" and self.eps_inside:
            raise ValueError("eps_inside belongs to eps_form: code")
        return self


def build(config: Config, blueprint: Blueprint) -> DirectPredictor:
    """DirectPred on the networks of `blueprint`."""
    return DirectPredictor(config, blueprint, lambda correlation, _: directpred_matrix(correlation, config))


def directpred_matrix(correlation: torch.Tensor, config: Config) -> torch.Tensor:
    """W_p [d, d] that `config` makes of F [d, d]; NaN where F is not finite."""
    if config.diagonal:
        return predictor_eigenvalues(correlation.diagonal().clamp(min=0), config).diag()
    if config.root == "newton_schulz":
        largest = largest_eigenvalue(correlation)
        root = sqrt_newton_schulz(correlation / largest.clamp(min=torch.finfo(largest.dtype).tiny))
        return root + config.eps * torch.eye(len(root), dtype=root.dtype, device=root.device)
    return spectral_function(correlation, lambda s: predictor_eigenvalues(s, config))


def predictor_eigenvalues(s: torch.Tensor, config: Config) -> torch.Tensor:
    """p [d] from the eigenvalues s >= 0 of F [d]."""
    if config.eps_form == "paper":
        return (s - config.shift).clamp(min=0) ** config.exponent + config.eps * s.max()
    # Where F is zero, as in a half that no embedding fell into, no direction is better than another.
    normalised = s / s.max().clamp(min=torch.finfo(s.dtype).tiny) - config.shift
    if config.eps_inside:
        return (normalised + config.eps).clamp(min=FLOOR) ** config.exponent
    return (normalised.clamp(min=0) ** config.exponent + config.eps).clamp(min=FLOOR)
