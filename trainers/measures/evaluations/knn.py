"""Weighted nearest neighbours on frozen features."""

from __future__ import annotations

from typing import Literal

from trainers.measures.evaluations.base import TOP1, EvaluationConfig, Subject
from trainers.measures.probe import KnnConfig, knn_top1

METRICS = (TOP1,)
"""What it may report."""


class Config(EvaluationConfig):
    """A vote of the most similar training features."""

    name: Literal["knn"] = "knn"
    knn: KnnConfig = KnnConfig()
    """How neighbours vote."""


def evaluate(config: Config, subject: Subject) -> dict[str, float]:
    """The accuracy in [0, 1]."""
    return {TOP1: knn_top1(*subject.splits(), classes=subject.classes, config=config.knn)}
