"""Robustness: a linear probe trained on clean images, tested on corrupted ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field

from trainers.config.lazy import F, torch
from trainers.measures.evaluations.base import TOP1, EvaluationConfig, Subject
from trainers.measures.probe import ProbeConfig, fitted, standardised
from trainers.randomness import stream

NOISE, BLUR = (0.04, 0.06, 0.08, 0.09, 0.10), (0.4, 0.6, 0.7, 0.8, 1.0)
CONTRAST, BRIGHTNESS = (0.75, 0.5, 0.4, 0.3, 0.15), (0.05, 0.1, 0.15, 0.2, 0.3)
PIXELATE = (0.95, 0.9, 0.85, 0.75, 0.65)
Kind = Literal["noise", "blur", "contrast", "brightness", "pixelate"]
KINDS: tuple[Kind, ...] = ("noise", "blur", "contrast", "brightness", "pixelate")
METRICS = (TOP1, "evaluation/clean_top1", *(f"evaluation/{kind}_top1" for kind in KINDS))
"""What it may report: the mean over kinds and severities, without any, and the mean of each kind."""


class Config(EvaluationConfig):
    """Five corruptions of the test images, of five severities each, those of CIFAR-10-C for 32 px.

    Source: Hendrycks and Dietterich 2019, arXiv:1903.12261. Written anew for whole batches, so that
    numbers differ a little from those on its published images.
    """

    name: Literal["corruptions"] = "corruptions"
    kinds: tuple[Kind, ...] = Field(KINDS, min_length=1)
    """Which corruptions."""
    severities: tuple[Annotated[int, Field(ge=1, le=5)], ...] = Field((1, 2, 3, 4, 5), min_length=1)
    """Which severities, from 1 to 5."""
    probe: ProbeConfig = ProbeConfig()
    """How the probe is trained; defaults: the report's."""


def evaluate(config: Config, subject: Subject) -> dict[str, float]:
    """Accuracies in [0, 1]."""
    raw, labels, clean, test_labels = subject.splits()
    train, test = standardised(raw, clean) if config.probe.standardise else (raw, clean)
    draws = stream(subject.seed, "probe")
    data = train, labels, test, test_labels
    classifier, _ = fitted(*data, classes=subject.classes, config=config.probe, generator=draws)
    found = {"evaluation/clean_top1": classifier.top1(test, test_labels)}
    every = []
    for kind in config.kinds:
        own = []
        for severity in config.severities:
            changed = corrupted(subject.images.test, kind, severity, seed=subject.seed)
            features = subject.features(changed)
            if config.probe.standardise:
                features = standardised(raw, features)[1]
            own.append(classifier.top1(features, test_labels))
        found[f"evaluation/{kind}_top1"] = sum(own) / len(own)
        every += own
    return found | {TOP1: sum(every) / len(every)}


def corrupted(images: torch.Tensor, kind: Kind, severity: int, *, seed: int) -> torch.Tensor:
    """Images, uint8 [N, C, H, W], with a corruption of a severity from 1 to 5."""
    change = _CHANGES[kind]
    generator = stream(seed, "corruption", kind, severity)
    chunks = [change(chunk.float() / 255, severity - 1, generator) for chunk in images.split(512)]
    return (torch.cat(chunks).clamp(0, 1) * 255).round().to(torch.uint8)


def _noise(x: torch.Tensor, level: int, generator: torch.Generator) -> torch.Tensor:
    return x + NOISE[level] * torch.randn(x.shape, generator=generator)


def _blur(x: torch.Tensor, level: int, generator: torch.Generator) -> torch.Tensor:
    del generator
    offsets = torch.arange(-4, 5, dtype=x.dtype)
    kernel = (-(offsets**2) / (2 * BLUR[level] ** 2)).exp()
    kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, 1, -1)
    padded = F.pad(x, (4, 4, 4, 4), mode="replicate")
    rows = F.conv2d(padded, kernel, groups=x.shape[1])
    return F.conv2d(rows, kernel.transpose(2, 3), groups=x.shape[1])


def _contrast(x: torch.Tensor, level: int, generator: torch.Generator) -> torch.Tensor:
    del generator
    mean = x.mean(dim=(2, 3), keepdim=True)
    return mean + CONTRAST[level] * (x - mean)


def _brightness(x: torch.Tensor, level: int, generator: torch.Generator) -> torch.Tensor:
    del generator
    value = x.amax(dim=1, keepdim=True)  # HSV's, which alone is raised
    raised = (value + BRIGHTNESS[level]).clamp(max=1)
    return torch.where(value > 0, x * raised / value.clamp(min=1e-6), raised.expand_as(x))


def _pixelate(x: torch.Tensor, level: int, generator: torch.Generator) -> torch.Tensor:
    del generator
    size = [max(1, int(side * PIXELATE[level])) for side in x.shape[2:]]
    return F.interpolate(F.interpolate(x, size=size, mode="area"), size=x.shape[2:], mode="nearest")


_CHANGES: dict[Kind, Callable[[torch.Tensor, int, torch.Generator], torch.Tensor]] = {
    "noise": _noise,
    "blur": _blur,
    "contrast": _contrast,
    "brightness": _brightness,
    "pixelate": _pixelate,
}
