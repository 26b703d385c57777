"""The eigenspace of F and W_p: spectra, alignment, asymmetry. Pure functions but for F's running mean."""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field

from trainers.config.base import Frozen
from trainers.config.lazy import torch

METRICS = (
    *(f"F/{name}" for name in ("trace", "top1_share", "rankme", "effective_rank")),
    *(f"Wp/{name}" for name in ("max", "min", "alive", "slope", "slope_r", "balance")),
    *(f"Wp/{name}" for name in ("asymmetry_l1", "asymmetry_fro")),
    *(f"alignment/{name}" for name in ("mean", "top16", "chance", "commutator")),
)
"""The names of everything that `eigenspace_metrics` may give."""


class SpectraConfig(Frozen):
    """What is recorded of the eigenspace, and when."""

    every: int = Field(5, ge=1)
    """Epochs between two recordings. Also recorded: after the first and the last epoch. Before training there
    are numbers of embeddings, features and W_p, and no spectra: F has seen no batch."""
    rho: float = Field(0.3, ge=0, lt=1)
    """Keep rate ρ of F: its memory is about 1/(1 - ρ) batches. 0.3: DirectPred and the report."""

    def recorded(self, epoch: int, epochs: int) -> bool:
        """Whether embeddings are measured after `epoch` epochs, and spectra recorded, but for epoch 0."""
        return epoch in (0, 1, epochs) or epoch % self.every == 0


class CorrelationEMA:
    """F [d, d], the moving average of the uncentred outer products of both views' embeddings.

        F ← ρ F + (1 - ρ) · mean over 2N embeddings of z zᵀ;   the first batch initialises F

    Raw projector outputs of the online network in train mode, neither centred nor normalised, as in
    luckmatters and the report's code (the report's eq. 4 prints a cross-view product; no code does that).
    """

    def __init__(self, dimension: int, *, rho: float, device: str) -> None:
        """An F that has seen no batch."""
        self.rho = rho
        self.value = torch.zeros(dimension, dimension, device=device)
        self.batches = 0

    def update(self, z1: torch.Tensor, z2: torch.Tensor) -> None:
        """Take in one batch of embeddings of both views, [N, d] each."""
        z = torch.cat((z1, z2)).float()
        outer = z.T @ z / len(z)
        self.value = outer if self.batches == 0 else torch.lerp(outer, self.value, self.rho)
        self.batches += 1

    def restore(self, value: torch.Tensor, *, batches: int) -> None:
        """Take over an F that has seen so many batches.

        Raises:
            ValueError: it has another dimension.
        """
        if value.shape != self.value.shape:
            raise ValueError(f"F is {list(value.shape)}, expected {list(self.value.shape)}")
        self.value, self.batches = value.to(self.value.device), batches


def eigenspace(correlation: torch.Tensor, predictor: torch.Tensor | None) -> dict[str, np.ndarray]:
    """Spectra of F and W_p and how their eigenspaces align; arrays are sorted, largest first.

    Args:
        correlation: F [d, d], symmetric.
        predictor: W_p [d, d], or None.

    Returns:
        "F" [d]: eigenvalues of F, descending.
        "Wp" [d]: real parts of the eigenvalues of W_p, descending.
        "alignment" [d]: u_jᵀ W_p u_j / |W_p u_j| for each eigenvector u_j of F, in the order of "F".

    Raises:
        FloatingPointError: F or W_p is not finite; the trial has diverged.

    Source: Tian et al. 2021, Figure 2; the report, Figures 2 and 3. W_p is not symmetric in general, so
    its eigenvalues come from the general solver, on the CPU in float64.
    """
    f = correlation.detach().cpu().double().numpy()
    if not np.isfinite(f).all():
        raise FloatingPointError("F is not finite")
    values, vectors = np.linalg.eigh((f + f.T) / 2)
    values, vectors = values[::-1], vectors[:, ::-1]
    arrays = {"F": np.ascontiguousarray(values)}
    if predictor is not None:
        w = predictor.detach().cpu().double().numpy()
        if not np.isfinite(w).all():
            raise FloatingPointError("W_p is not finite")
        image = w @ vectors
        length = np.linalg.norm(image, axis=0)
        inner = (vectors * image).sum(axis=0)
        arrays["Wp"] = np.sort(np.linalg.eigvals(w).real)[::-1].copy()
        arrays["alignment"] = np.divide(inner, length, out=np.zeros_like(inner), where=length > 0)
    return arrays


def eigenspace_metrics(
    correlation: torch.Tensor, predictor: torch.Tensor | None, arrays: dict[str, np.ndarray]
) -> dict[str, float]:
    """The eigenspace in numbers.

    "F/trace", "F/top1_share", "F/rankme" (exp of the entropy of the normalised √eigenvalues, RankMe's
    singular values) and "F/effective_rank" (of the eigenvalues); "Wp/max", "Wp/min", "Wp/alive" (count
    above 5 % of the largest); "Wp/slope", "Wp/slope_r", of log eigenvalues of W_p over those of F;
    "Wp/balance", the cosine of F and W_pᵀW_p as vectors, 1 where they are proportional (Tian et al., eq. 3);
    "Wp/asymmetry_l1" = Σ|W - Wᵀ| / Σ|W| and "Wp/asymmetry_fro", in
    Frobenius norms; "alignment/mean", "alignment/top16", and "alignment/chance": what a direction that
    knows nothing of W_p would show, tr W / (√d ‖W‖); "alignment/commutator" = ‖FW - WF‖ / (‖F‖ ‖W‖).
    """
    values = arrays["F"].clip(min=0)
    total = values.sum()
    metrics = {"F/trace": float(total)}
    if total > 0:
        metrics["F/top1_share"] = float(values[0] / total)
        metrics["F/rankme"] = exp_entropy(np.sqrt(values))
        metrics["F/effective_rank"] = exp_entropy(values)
    if predictor is None:
        return metrics
    w = predictor.detach().cpu().double().numpy()
    f = correlation.detach().cpu().double().numpy()
    metrics |= predictor_metrics(predictor) | _slope(arrays["F"], arrays["Wp"])
    norm = float(np.linalg.norm(w))
    if norm > 0 and total > 0:
        square = w.T @ w
        metrics["Wp/balance"] = float((f * square).sum() / (np.linalg.norm(f) * np.linalg.norm(square)))
    if norm > 0:
        metrics["alignment/mean"] = float(arrays["alignment"].mean())
        metrics["alignment/top16"] = float(arrays["alignment"][:16].mean())
        metrics["alignment/chance"] = float(np.trace(w) / (math.sqrt(len(w)) * norm))
        if total > 0:
            commutator = np.linalg.norm(f @ w - w @ f)
            metrics["alignment/commutator"] = float(commutator / (np.linalg.norm(f) * norm))
    return metrics


def _slope(f: np.ndarray, w: np.ndarray) -> dict[str, float]:
    """The slope of log eig W_p over log eig F where W_p is alive, and their correlation.

    On the invariant parabola s = p²/α_p the slope is 1/2 (Tian et al. 2021, arXiv:2102.06810, eq. 7).
    """
    alive = (w > 0.05 * w[0]) & (w > 0) & (f > 0)
    x, y = np.log(f[alive]), np.log(w[alive])
    if len(x) < 3 or not x.var() > 0 or not y.var() > 0:
        return {}
    return {
        "Wp/slope": float(np.polyfit(x, y, 1)[0]),
        "Wp/slope_r": float(np.corrcoef(x, y)[0, 1]),
    }


def predictor_metrics(predictor: torch.Tensor) -> dict[str, float]:
    """W_p [d, d] in numbers, which need no F: those of `eigenspace_metrics` that begin with "Wp/".

    Raises:
        FloatingPointError: W_p is not finite; the trial has diverged.
    """
    w = predictor.detach().cpu().double().numpy()
    if not np.isfinite(w).all():
        raise FloatingPointError("W_p is not finite")
    eigenvalues = np.sort(np.linalg.eigvals(w).real)[::-1]
    metrics = {
        "Wp/max": float(eigenvalues[0]),
        "Wp/min": float(eigenvalues[-1]),
        "Wp/alive": float((eigenvalues > 0.05 * eigenvalues[0]).sum()),
    }
    if w.any():
        metrics["Wp/asymmetry_l1"] = float(np.abs(w - w.T).sum() / np.abs(w).sum())
        metrics["Wp/asymmetry_fro"] = float(np.linalg.norm(w - w.T) / np.linalg.norm(w))
    return metrics


def exp_entropy(values: np.ndarray) -> float:
    """exp of the entropy of `values` as a distribution: the number of directions they spread over."""
    p = values / values.sum()
    p = p[p > 0]
    return float(np.exp(-(p * np.log(p)).sum()))
