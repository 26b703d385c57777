"""Whether representations have collapsed, with the evidence. On a fixed held-out set, in eval mode."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np

from trainers.lazy import torch
from trainers.spectra import exp_entropy

SAMPLES = 2048  # held-out images the diagnostics look at; at least 5·d for the papers' d of 128 and 512
STD_SHARE = 0.1  # of the healthy 1/√d below which the spread on the sphere counts as gone
TOP_SHARE = 0.9  # of the variance in one direction
RANK_SHARE = 0.1  # of the dimensions

Verdict = Literal["none", "dimensional", "total"]


class Diagnosis(NamedTuple):
    """A verdict, its evidence in one line, and the numbers behind it."""

    verdict: Verdict
    evidence: str
    metrics: dict[str, float]


def diagnose(embeddings: torch.Tensor, features: torch.Tensor) -> Diagnosis:
    """Whether the embeddings have collapsed.

    "total": their spread on the unit sphere is below a tenth of the healthy 1/√d, or one direction holds
    over 0.9 of their variance. "dimensional": their effective rank is below a tenth of d. Features are
    described by the same numbers but do not decide.

    Args:
        embeddings: z [N, d] of held-out images.
        features: h [N, D] of the same images.

    Raises:
        FloatingPointError: one of them is not finite; the trial has diverged.

    Source: Chen and He 2020, §4.1 (spread); Jing et al. 2021, arXiv:2110.09348 (dimensional collapse);
    thresholds from the recorded runs of the report, where the collapsed one has a top share of 0.99.
    """
    metrics = _describe("embedding", embeddings) | _describe("feature", features)
    width = embeddings.shape[1]
    std, share = metrics["embedding/std"], metrics["embedding/top1_share"]
    rank, healthy = metrics["embedding/effective_rank"], 1 / math.sqrt(width)
    if std < STD_SHARE * healthy:
        verdict: Verdict = "total"
        evidence = f"embedding std {std:.2g} is below {STD_SHARE:g} of the healthy {healthy:.2g}"
    elif share > TOP_SHARE:
        verdict, evidence = "total", f"one direction holds {share:.0%} of the embedding variance"
    elif rank < RANK_SHARE * width:
        verdict = "dimensional"
        evidence = f"embedding effective rank {rank:.1f} is below {RANK_SHARE:g} of d = {width}"
    else:
        verdict, evidence = "none", f"embedding effective rank {rank:.1f} of {width}, std {std:.2g}"
    return Diagnosis(verdict, evidence, metrics)


def _describe(what: str, values: torch.Tensor) -> dict[str, float]:
    """std on the sphere, share of the first principal direction, effective rank, RankMe."""
    x = values.detach().cpu().double().numpy()
    if not np.isfinite(x).all():
        raise FloatingPointError(f"{what} is not finite")
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    sphere = np.divide(x, norms, out=np.zeros_like(x), where=norms > 0)
    variances = np.linalg.svd(x - x.mean(axis=0), compute_uv=False) ** 2
    total = variances.sum()
    singular = np.linalg.svd(x, compute_uv=False)
    return {
        f"{what}/std": float(sphere.std(axis=0).mean()),
        # No variance at all is one direction with everything.
        f"{what}/top1_share": float(variances[0] / total) if total > 0 else 1.0,
        f"{what}/effective_rank": exp_entropy(variances) if total > 0 else 1.0,
        f"{what}/rankme": exp_entropy(singular) if singular.sum() > 0 else 1.0,
    }
