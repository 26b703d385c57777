"""Whether representations have collapsed, with the evidence. On a fixed held-out set, in eval mode."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np

from trainers.config.lazy import torch
from trainers.measures.spectra import exp_entropy

SAMPLES = 2560  # held-out images the diagnostics look at: 5·d for d = 512; wider ones have fewer than 5·d
STD_SHARE = 0.1  # of the healthy 1/√d below which the spread on the sphere counts as gone
TOP_SHARE = 0.9  # of the variance in one direction
RANK_SHARE = 0.1  # of the dimensions, or of those that N images can span, N - 1

_NUMBERS = (
    *("std", "top1_share", "effective_rank", "rankme", "participation_ratio", "stable_rank"),
    *("dims_below_1e-3", "dims_below_1e-6", "entropy_kde", "entropy_gaussian", "variance_hinge"),
    *("covariance", "dead_dims", "correlation", "correlation_chance"),
)
METRICS = tuple(f"{what}/{name}" for what in ("embedding", "feature") for name in _NUMBERS)
"""The names of everything that `diagnose` may give."""
Verdict = Literal["none", "dimensional", "total"]


class Diagnosis(NamedTuple):
    """A verdict, its evidence in one line, and the numbers behind it."""

    verdict: Verdict
    evidence: str
    metrics: dict[str, float]
    arrays: dict[str, np.ndarray]
    """"embedding" [d] and "feature" [D]: eigenvalues of the centred covariance, largest first."""


def diagnose(embeddings: torch.Tensor, features: torch.Tensor) -> Diagnosis:
    """Whether the embeddings have collapsed.

    "total": their spread on the unit sphere is below a tenth of the healthy 1/√d, or one direction holds
    over 0.9 of their variance. "dimensional": their effective rank is below a tenth of d, or of N - 1
    where that is less: N centred embeddings span no more. Features are described by the same numbers but
    do not decide.

    Args:
        embeddings: z [N, d] of held-out images.
        features: h [N, D] of the same images.

    Raises:
        FloatingPointError: one of them is not finite; the trial has diverged.

    Source: Chen and He 2020, §4.1 (spread); Jing et al. 2021, arXiv:2110.09348 (dimensional collapse);
    thresholds from the recorded runs of the report, where the collapsed one has a top share of 0.99.
    """
    metrics: dict[str, float] = {}
    arrays: dict[str, np.ndarray] = {}
    for what, values in (("embedding", embeddings), ("feature", features)):
        numbers, arrays[what] = describe(what, values)
        metrics |= {f"{what}/{name}": value for name, value in numbers.items()}
    number, width = embeddings.shape
    most = min(width, number - 1)
    room = f"d = {width}" if most == width else f"{most} ({number} images; d = {width})"
    std, share = metrics["embedding/std"], metrics["embedding/top1_share"]
    rank, healthy = metrics["embedding/effective_rank"], 1 / math.sqrt(width)
    if std < STD_SHARE * healthy:
        verdict: Verdict = "total"
        evidence = f"embedding std {std:.2g} is below {STD_SHARE:g} of the healthy {healthy:.2g}"
    elif share > TOP_SHARE and number > 2:  # two images span one direction whatever they are
        verdict, evidence = "total", f"one direction holds {share:.0%} of the embedding variance"
    elif rank < RANK_SHARE * most:
        verdict = "dimensional"
        evidence = f"embedding effective rank {rank:.1f} is below {RANK_SHARE:g} of {room}"
    else:
        verdict, evidence = "none", f"embedding effective rank {rank:.1f} of {room}, std {std:.2g}"
    return Diagnosis(verdict, evidence, metrics, arrays)


def describe(what: str, values: torch.Tensor) -> tuple[dict[str, float], np.ndarray]:
    """How representations are spread, in numbers, and their spectrum.

    "std": mean deviation of a coordinate on the unit sphere; healthy 1/√d. "top1_share",
    "participation_ratio", "stable_rank": of the eigenvalues σ of the centred covariance. "effective_rank":
    exp entropy of their roots, the centred singular values; "rankme": of the raw matrix's.
    "dims_below_1e-3", "dims_below_1e-6": directions whose σ is below so much of the largest.
    "entropy_gaussian": in nats, of a Gaussian with these σ scaled to mean 1. "entropy_kde": of the points
    on the unit sphere, kernel e^(-2r²): the mean of the logs, where the uniformity is the log of the mean.
    "correlation": mean |correlation| of two coordinates, and "correlation_chance": what independent
    normal ones show, √(2/πN); "dead_dims": coordinates without variance, which it leaves out.
    "variance_hinge", "covariance": VICReg's terms with γ 1.

    Args:
        what: name for the error.
        values: [N, d].

    Returns: the numbers, and σ [d], largest first.

    Raises:
        FloatingPointError: a value is not finite; the trial has diverged.

    RankMe's paper adds 1e-7 to each share, which keeps its logarithm finite; here shares of 0 are left out,
    which lowers the number by less than 2e-6·d of itself.
    Source: Garrido et al. 2023, arXiv:2210.02885 (RankMe); Roy and Vetterli 2007 (effective rank); Wang
    and Isola 2020, arXiv:2005.10242 (uniformity); Bardes et al. 2022, arXiv:2105.04906 (VICReg's terms).
    """
    x = values.detach().cpu().double().numpy()
    if not np.isfinite(x).all():
        raise FloatingPointError(f"{what} is not finite")
    number, width = x.shape
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    sphere = np.divide(x, norms, out=np.zeros_like(x), where=norms > 0)
    covariance = np.cov(x, rowvar=False, bias=True).reshape(width, width)
    variances = np.linalg.eigvalsh(covariance)[::-1].clip(min=0)
    total, singular = variances.sum(), np.linalg.svd(x, compute_uv=False)
    numbers = {
        "std": float(sphere.std(axis=0).mean()),
        # No variance at all is one direction with everything.
        "top1_share": float(variances[0] / total) if total > 0 else 1.0,
        "effective_rank": exp_entropy(np.sqrt(variances)) if total > 0 else 1.0,
        "rankme": exp_entropy(singular) if singular.sum() > 0 else 1.0,
        "participation_ratio": float(total**2 / (variances**2).sum()) if total > 0 else 1.0,
        "stable_rank": float(total / variances[0]) if total > 0 else 1.0,
        "dims_below_1e-3": float((variances < 1e-3 * variances[0]).sum()) if total > 0 else float(width),
        "dims_below_1e-6": float((variances < 1e-6 * variances[0]).sum()) if total > 0 else float(width),
        "entropy_kde": _kde_entropy(sphere),
        "variance_hinge": float(
            (1 - np.sqrt(covariance.diagonal() * number / (number - 1) + 1e-4)).clip(min=0).mean()
        ),
        "covariance": float(
            ((covariance**2).sum() - (covariance.diagonal() ** 2).sum())
            * (number / (number - 1)) ** 2 / width
        ),
    }  # fmt: skip
    if total > 0:
        relative = variances / variances.mean()
        log_volume = np.log(relative + 1e-6).sum()
        numbers["entropy_gaussian"] = float(width / 2 * (1 + math.log(2 * math.pi)) + log_volume / 2)
    return numbers | _correlation(covariance, number), variances


def _correlation(covariance: np.ndarray, number: int) -> dict[str, float]:
    alive = covariance.diagonal() > 1e-12
    numbers = {"dead_dims": float((~alive).sum())}
    kept = covariance[np.ix_(alive, alive)]
    width = len(kept)
    if width > 1:
        deviation = np.sqrt(kept.diagonal())
        absolute = np.abs(kept / np.outer(deviation, deviation))
        mean = (absolute.sum() - absolute.diagonal().sum()) / (width * (width - 1))
        numbers["correlation"] = float(mean)
        numbers["correlation_chance"] = math.sqrt(2 / (math.pi * number))
    return numbers


def _kde_entropy(sphere: np.ndarray, *, sharpness: float = 2.0) -> float:
    """-mean_i log mean_{j≠i} exp(-t |z_i - z_j|²) of points on the unit sphere [N, d]; t is `sharpness`."""
    squares = (sphere**2).sum(axis=1)
    distances = (squares[:, None] + squares[None, :] - 2 * sphere @ sphere.T).clip(min=0)
    kernel = np.exp(-sharpness * distances)
    others = (kernel.sum(axis=1) - kernel.diagonal()) / (len(sphere) - 1)
    return float(-np.log(others).mean())
