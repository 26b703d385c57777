"""Linear probe by the report's protocol, with settings of one's own."""

from __future__ import annotations

from typing import Literal

from trainers.measures.evaluations.base import EvaluationConfig, Subject
from trainers.measures.probe import ProbeConfig, linear_probe
from trainers.randomness import stream

METRICS = tuple(f"evaluation/{name}" for name in ("top1", "top5", "train_top1", "train_loss", "best_top1"))
"""What it may report."""


class Config(EvaluationConfig):
    """A linear classifier on frozen features, without augmentation."""

    name: Literal["linear"] = "linear"
    probe: ProbeConfig = ProbeConfig()
    """How it is trained; defaults: the report's."""


def evaluate(config: Config, subject: Subject) -> dict[str, float]:
    """Accuracies in [0, 1], and the training loss."""
    return probed(config.probe, subject)


def probed(probe: ProbeConfig, subject: Subject) -> dict[str, float]:
    """What a linear probe finds, drawn as a trial's own probe is."""
    found = linear_probe(
        *subject.splits(), classes=subject.classes, config=probe, generator=stream(subject.seed, "probe")
    )
    return {name.replace("probe/", "evaluation/"): value for name, value in found.items()}
