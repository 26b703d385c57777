"""How good frozen features are: a linear probe by the report's protocol, and weighted k-NN."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from pydantic import Field

from trainers.config.base import Frozen
from trainers.config.lazy import F, nn, torch
from trainers.optimizers.base import uncompiled

METRICS = tuple(f"probe/{name}" for name in ("top1", "top5", "train_top1", "train_loss", "best_top1"))
"""The names of everything that `linear_probe` may give."""


class ProbeConfig(Frozen):
    """A linear classifier on frozen features, trained without augmentation; the last epoch counts.

    Defaults: the report, §4 (Adam, learning rate 5e-2 to 5e-4 by polynomial decay of power 2, batches
    of 128, 100 epochs).
    """

    epochs: int = Field(100, ge=1)
    """Passes over the training features."""
    batch_size: int = Field(128, ge=1)
    """Features per step; the last, smaller batch counts."""
    lr: float = Field(5e-2, gt=0)
    """Adam's learning rate at the start."""
    final_lr: float = Field(5e-4, gt=0)
    """Adam's learning rate at the end."""
    power: float = Field(2.0, gt=0)
    """Power of the polynomial by which the rate falls from `lr` to `final_lr`."""
    standardise: bool = False
    """Whether features are standardised by the training set's mean and deviation (luckmatters); those that
    are constant on it are only shifted."""
    weight_decay: float | None = Field(None, ge=0)
    """L2 of weight and bias (luckmatters 1e-3); None: none."""
    best: Literal[True] | None = None
    """true: also report "probe/best_top1", the best test accuracy after any epoch. It is selected on the
    test set and so too good; luckmatters and DirectPred's tables report it."""
    library: Literal["torch"] | None = None
    """Whose classifier and Adam it is. None: Keras's (report): glorot uniform weights, bias 0, eps 1e-7.
    "torch": torch's (luckmatters): weights and bias uniform in ±1/√D, eps 1e-8."""
    drop_last: Literal[True] | None = None
    """true: drop the last, smaller batch of an epoch, as the report's code does."""


class KnnConfig(Frozen):
    """Weighted k-nearest neighbours on the unit sphere (Wu et al. 2018, arXiv:1805.01978)."""

    k: int = Field(200, ge=1)
    """Neighbours that vote."""
    temperature: float = Field(0.1, gt=0)
    """T of a vote's weight e^(cos/T)."""


class Linear(NamedTuple):
    """A linear classifier on features."""

    weight: torch.Tensor
    """[K, D]"""
    bias: torch.Tensor
    """[K]"""

    def top1(self, features: torch.Tensor, labels: torch.Tensor) -> float:
        """Accuracy in [0, 1] on features [N, D] with labels [N]."""
        with torch.no_grad():
            return _accuracy(F.linear(features, self.weight, self.bias), labels)


def linear_probe(
    train: torch.Tensor,
    train_labels: torch.Tensor,
    test: torch.Tensor,
    test_labels: torch.Tensor,
    *,
    classes: int,
    config: ProbeConfig,
    generator: torch.Generator,
) -> dict[str, float]:
    """Accuracies in [0, 1] of a linear classifier on frozen features, and its training loss.

    Args:
        train, test: features, float32 [N, D] and [M, D].
        train_labels, test_labels: class indices, int64 [N] and [M].
        classes: number of classes K.
        config: protocol.
        generator: CPU stream of the probe: first weights and order of the samples.
    """
    if config.standardise:
        train, test = standardised(train, test)
    fitted_to = train, train_labels, test, test_labels
    (weight, bias), best = fitted(*fitted_to, classes=classes, config=config, generator=generator)
    with torch.no_grad():
        scores = F.linear(test, weight, bias)
        top5 = scores.topk(min(5, classes), dim=1).indices == test_labels[:, None]
        ours = F.linear(train, weight, bias)
        return ({"probe/best_top1": max(best)} if best else {}) | {
            "probe/top1": _accuracy(scores, test_labels),
            "probe/top5": float(top5.any(dim=1).float().mean()),
            "probe/train_top1": _accuracy(ours, train_labels),
            "probe/train_loss": float(F.cross_entropy(ours, train_labels)),
        }


def fitted(
    train: torch.Tensor,
    train_labels: torch.Tensor,
    test: torch.Tensor,
    test_labels: torch.Tensor,
    *,
    classes: int,
    config: ProbeConfig,
    generator: torch.Generator,
) -> tuple[Linear, list[float]]:
    """A linear classifier, trained on features as they are; its test accuracies by epoch for `config.best`.

    Args: as `linear_probe`.
    """
    device, (number, width) = train.device, train.shape
    weight, bias = (start.to(device).requires_grad_() for start in _start(classes, width, config, generator))
    decay, eps = config.weight_decay or 0.0, 1e-8 if config.library == "torch" else 1e-7
    optimizer = uncompiled(torch.optim.Adam)([weight, bias], lr=config.lr, eps=eps, weight_decay=decay)
    best: list[float] = []
    batch = min(config.batch_size, number)
    used = number // batch * batch if config.drop_last else number
    steps = config.epochs * -(-used // batch)
    step, loss = 0, torch.zeros((), device=device)
    for _ in range(config.epochs):
        order = torch.randperm(number, generator=generator).to(device)
        for chosen in order[:used].split(batch):
            remaining = (1 - step / steps) ** config.power
            optimizer.param_groups[0]["lr"] = config.final_lr + (config.lr - config.final_lr) * remaining
            loss = F.cross_entropy(F.linear(train[chosen], weight, bias), train_labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
        if config.best:
            with torch.no_grad():
                best.append(_accuracy(F.linear(test, weight, bias), test_labels))
    return Linear(weight.detach(), bias.detach()), best


def standardised(train: torch.Tensor, test: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Features [N, D] and [M, D] with mean 0 and deviation 1 on the first, constant ones with deviation 0.

    A feature that is constant on the training set is divided by 1, as scikit-learn's StandardScaler does;
    by its deviation it would drown all others wherever the test set moves it. What differs by no more than
    float32's rounding is constant.
    """
    mean, std = train.mean(dim=0), train.std(dim=0, correction=0)
    rounding = 8 * torch.finfo(train.dtype).eps * train.abs().amax(dim=0)
    constant = (train.amax(dim=0) - train.amin(dim=0) <= rounding) | (std == 0)
    std = torch.where(constant, torch.ones_like(std), std)
    return (train - mean) / std, (test - mean) / std


def _start(
    classes: int, width: int, config: ProbeConfig, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """The classifier's first weight [K, D] and bias [K], on the CPU."""
    weight, bias = torch.empty(classes, width), torch.zeros(classes)
    if config.library == "torch":
        for values in (weight, bias):
            nn.init.uniform_(values, -1 / math.sqrt(width), 1 / math.sqrt(width), generator=generator)
    else:
        nn.init.xavier_uniform_(weight, generator=generator)
    return weight, bias


def knn_top1(
    train: torch.Tensor,
    train_labels: torch.Tensor,
    test: torch.Tensor,
    test_labels: torch.Tensor,
    *,
    classes: int,
    config: KnnConfig,
) -> float:
    """Top-1 accuracy in [0, 1] of a vote of the k most similar training features, weight exp(cos/T).

    Args: as `linear_probe`.
    """
    k = min(config.k, len(train))
    bank = F.normalize(train, dim=1)
    correct = 0.0
    for queries, labels in zip(test.split(1024), test_labels.split(1024), strict=True):
        similarity, nearest = (F.normalize(queries, dim=1) @ bank.T).topk(k, dim=1)
        # Subtracting the largest changes no vote and keeps exp finite at small temperatures.
        votes = ((similarity - similarity[:, :1]) / config.temperature).exp()
        tally = torch.zeros(len(queries), classes, device=train.device)
        tally.scatter_add_(1, train_labels[nearest], votes)
        correct += float((tally.argmax(dim=1) == labels).sum())
    return correct / len(test)


def _accuracy(scores: torch.Tensor, labels: torch.Tensor) -> float:
    return float((scores.argmax(dim=1) == labels).float().mean())
