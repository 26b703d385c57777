"""What frozen networks are worth: their outputs in eval mode, and classifiers trained on them."""

from __future__ import annotations

from trainers.config.lazy import nn, torch
from trainers.datasets.base import Images
from trainers.measures import collapse
from trainers.measures.probe import METRICS as PROBE
from trainers.measures.probe import KnnConfig, ProbeConfig, knn_top1, linear_probe
from trainers.randomness import stream
from trainers.views.augmentation import normalise

METRICS = (*PROBE, "knn/top1")
"""The names of everything that `accuracies` may give."""
CHUNK = 512  # images that go through a network together


def in_eval_mode(network: nn.Module, values: torch.Tensor) -> torch.Tensor:
    """The network's output with running statistics and no gradient; its mode is put back."""
    network.eval()
    try:
        with torch.no_grad():
            output: torch.Tensor = network(values)
            return output
    finally:
        network.train()


def diagnosis(encoder: nn.Module, projector: nn.Module, images: torch.Tensor) -> collapse.Diagnosis:
    """Whether the representations of normalised images [N, C, H, W] have collapsed.

    Raises:
        FloatingPointError: one of them is not finite; the trial has diverged.
    """
    representations = in_eval_mode(encoder, images)
    return collapse.diagnose(in_eval_mode(projector, representations), representations)


def features(
    network: nn.Module, images: torch.Tensor, *, mean: torch.Tensor, std: torch.Tensor
) -> torch.Tensor:
    """What `network` makes of images without augmentation, float32 [N, d], on the device of `mean`.

    Args:
        network: from normalised images to features.
        images: uint8 [N, C, H, W].
        mean, std: normalisation, [C].
    """
    chunks = (normalise(chunk.to(mean.device), mean=mean, std=std) for chunk in images.split(CHUNK))
    return torch.cat([in_eval_mode(network, chunk) for chunk in chunks])


def accuracies(
    network: nn.Module,
    images: Images,
    *,
    mean: torch.Tensor,
    std: torch.Tensor,
    probe: ProbeConfig,
    knn: KnnConfig,
    seed: int,
) -> dict[str, float]:
    """Test accuracies in [0, 1] of a linear probe and of nearest neighbours on frozen features, by metric.

    Args:
        network: from normalised images to features.
        images: the data set, with labels.
        mean, std: normalisation, [C].
        probe: how the linear probe is trained.
        knn: how neighbours vote.
        seed: of the trial; decides the probe's start and order.
    """
    train, test = (features(network, split, mean=mean, std=std) for split in (images.train, images.test))
    data = train, images.train_labels.to(mean.device), test, images.test_labels.to(mean.device)
    classes = len(images.classes)
    metrics = linear_probe(*data, classes=classes, config=probe, generator=stream(seed, "probe"))
    metrics["knn/top1"] = knn_top1(*data, classes=classes, config=knn)
    return metrics
