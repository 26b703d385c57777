"""Linear probe by luckmatters' protocol, as DirectPred's tables have it."""

from __future__ import annotations

from typing import Literal

from trainers.measures.evaluations import linear
from trainers.measures.evaluations.base import EvaluationConfig, Subject
from trainers.measures.probe import ProbeConfig

METRICS = linear.METRICS
"""What it may report."""
LUCKMATTERS = ProbeConfig(
    epochs=50, lr=3e-4, final_lr=3e-4, weight_decay=1e-3, standardise=True, library="torch"
)


class Config(EvaluationConfig):
    """A linear classifier on standardised frozen features, trained by torch's Adam at a constant rate."""

    name: Literal["linear_luckmatters"] = "linear_luckmatters"
    probe: ProbeConfig = LUCKMATTERS
    """How it is trained."""


def evaluate(config: Config, subject: Subject) -> dict[str, float]:
    """Accuracies in [0, 1], and the training loss."""
    return linear.probed(config.probe, subject)
