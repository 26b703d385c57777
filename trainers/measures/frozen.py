"""What frozen networks are worth: their outputs in eval mode, and classifiers trained on them."""

from __future__ import annotations

from collections.abc import Callable

from trainers.config.lazy import nn, torch
from trainers.datasets.base import Images
from trainers.measures import collapse
from trainers.measures.probe import METRICS as PROBE
from trainers.measures.probe import KnnConfig, ProbeConfig, knn_top1, linear_probe
from trainers.randomness import stream

METRICS = (*PROBE, "knn/top1")
"""The names of everything that `accuracies` may give."""
CHUNK = 512  # images that go through a network together


def in_eval_mode(network: nn.Module, values: torch.Tensor) -> torch.Tensor:
    """The network's output with running statistics and no gradient; its mode is put back."""
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            output: torch.Tensor = network(values)
            return output
    finally:
        network.train(training)


def diagnosis(encoder: nn.Module, projector: nn.Module, images: torch.Tensor) -> collapse.Diagnosis:
    """Whether the representations of normalised images [N, C, H, W] have collapsed.

    Raises:
        FloatingPointError: one of them is not finite; the trial has diverged.
    """
    representations = in_eval_mode(encoder, images)
    return collapse.diagnose(in_eval_mode(projector, representations), representations)


def features(
    network: nn.Module, images: torch.Tensor, prepared: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """What `network` makes of images without augmentation, float32 [N, d].

    Args:
        network: from prepared images to features.
        images: uint8 [N, C, H, W].
        prepared: some of them as the network takes them: normalised, on its device.
    """
    return torch.cat([in_eval_mode(network, prepared(chunk)) for chunk in images.split(CHUNK)])


def accuracies(
    network: nn.Module,
    images: Images,
    prepared: Callable[[torch.Tensor], torch.Tensor],
    *,
    probe: ProbeConfig,
    knn: KnnConfig,
    seed: int,
) -> dict[str, float]:
    """Test accuracies in [0, 1] of a linear probe and of nearest neighbours on frozen features, by metric.

    Args:
        network: from prepared images to features.
        images: the data set, with labels.
        prepared: images as the network takes them: normalised, on its device.
        probe: how the linear probe is trained.
        knn: how neighbours vote.
        seed: of the trial; decides the probe's start and order.
    """
    train, test = (features(network, split, prepared) for split in (images.train, images.test))
    data = train, images.train_labels.to(train.device), test, images.test_labels.to(test.device)
    classes = len(images.classes)
    metrics = linear_probe(*data, classes=classes, config=probe, generator=stream(seed, "probe"))
    metrics["knn/top1"] = knn_top1(*data, classes=classes, config=knn)
    return metrics
