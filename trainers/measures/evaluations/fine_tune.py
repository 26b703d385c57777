"""Fine-tuning: the encoder and a linear classifier on it are trained together on the labels."""

from __future__ import annotations

import copy
import math
from typing import Any, Literal

from pydantic import Field

from trainers.attempt import checkpoint
from trainers.attempt.report import EpochReport
from trainers.config.lazy import F, nn, torch
from trainers.measures import frozen
from trainers.measures.evaluations.base import TOP1, EvaluationConfig, Subject
from trainers.optimizers.base import uncompiled
from trainers.randomness import seeded, stream
from trainers.views.augmentation import shifted

METRICS = (TOP1, "evaluation/train_loss")
"""What it reports after each epoch."""


class Config(EvaluationConfig):
    """SGD with Nesterov momentum and a cosine to 0; images are flipped and shifted; the last epoch counts."""

    name: Literal["fine_tune"] = "fine_tune"
    epochs: int = Field(20, ge=1)
    """Passes over the labelled training images."""
    batch_size: int = Field(128, ge=2)
    """Images per step; a last one alone is left out."""
    lr: float = Field(0.01, gt=0)
    """Learning rate of the encoder at the start."""
    head_lr: float = Field(0.1, gt=0)
    """Learning rate of the classifier at the start."""
    weight_decay: float = Field(0.0, ge=0)
    """L2 of all weights."""
    momentum: float = Field(0.9, gt=0, lt=1)
    """Of SGD."""
    flip: float = Field(0.5, ge=0, le=1)
    """Probability of a left-right flip."""
    shift: int = Field(2, ge=0)
    """Pixels by which an image may move each way, zeros moving in."""


def evaluate(config: Config, subject: Subject) -> dict[str, float]:
    """The test accuracy in [0, 1], and the training loss.

    Raises:
        FloatingPointError: a loss is not finite; when.
    """
    network = copy.deepcopy(subject.network)
    with seeded(subject.seed, "weights", "classifier"):
        head = nn.Linear(subject.dimension, subject.classes).to(subject.device)
    groups: list[dict[str, Any]] = [
        {"params": list(network.parameters()), "lr": config.lr},
        {"params": list(head.parameters()), "lr": config.head_lr},
    ]
    optimizer = uncompiled(torch.optim.SGD)(
        groups, momentum=config.momentum, nesterov=True, weight_decay=config.weight_decay
    )
    both = nn.ModuleDict({"encoder": network, "head": head})
    history: list[EpochReport] = []

    def restore(state: dict[str, Any]) -> list[EpochReport]:
        past = checkpoint.past(state, config=subject.key)
        both.load_state_dict(state["networks"])
        optimizer.load_state_dict(state["optimizer"])
        return past

    found, _ = checkpoint.load(subject.folder, restore)
    if found is None:
        history.append(EpochReport(epoch=0, epochs=config.epochs, metrics={}))
        subject.report(history[0])
    else:
        history = found
        checkpoint.replay(history, subject.report)
    for epoch in range(len(history) - 1, config.epochs):
        with seeded(subject.seed, "global", epoch):  # for layers that draw, such as dropout
            loss = _train(config, subject, network, head, optimizer, epoch)
        outputs = frozen.features(nn.Sequential(network, head), subject.images.test, subject.prepared)
        right = outputs.argmax(dim=1).cpu() == subject.images.test_labels
        metrics = {TOP1: float(right.float().mean()), "evaluation/train_loss": loss}
        history.append(EpochReport(epoch=epoch + 1, epochs=config.epochs, metrics=metrics))
        if subject.folder:
            state: dict[str, Any] = {
                "config": subject.key,
                "networks": both.state_dict(),
                "optimizer": optimizer.state_dict(),
            }
            state["history"] = [checkpoint.to_plain(one) for one in history]
            checkpoint.save(subject.folder, state, epoch=epoch + 1)
        subject.report(history[-1])
    return dict(history[-1].metrics)


def _train(
    config: Config,
    subject: Subject,
    network: nn.Module,
    head: nn.Module,
    optimizer: torch.optim.Optimizer,
    epoch: int,
) -> float:
    """Train one epoch after `epoch` others; the mean loss."""
    images, labels = subject.images.train, subject.images.train_labels
    draws = stream(subject.seed, "fine-tune", epoch)
    order = torch.randperm(len(images), generator=draws)
    flips = torch.rand(len(images), generator=draws) < config.flip
    moves = torch.randint(-config.shift, config.shift + 1, (len(images), 2), generator=draws)
    batches = [one for one in order.split(config.batch_size) if len(one) > 1]  # BatchNorm needs two
    losses = []
    network.train()
    for index, chosen in enumerate(batches):
        share = (epoch * len(batches) + index) / (config.epochs * len(batches))
        factor = (1 + math.cos(math.pi * share)) / 2
        for group, lr in zip(optimizer.param_groups, (config.lr, config.head_lr), strict=True):
            group["lr"] = factor * lr
        batch = _augmented(images[chosen], flips[chosen], moves[chosen], config.shift)
        scores = head(network(subject.prepared(batch)))
        loss = F.cross_entropy(scores, labels[chosen].to(scores.device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            raise FloatingPointError(f"loss {losses[-1]} at step {epoch * len(batches) + index}")
    return sum(losses) / len(losses)


def _augmented(images: torch.Tensor, flips: torch.Tensor, moves: torch.Tensor, most: int) -> torch.Tensor:
    """Images, uint8 [N, C, H, W], each flipped or not, and moved by its own rows and columns [N, 2]."""
    return shifted(torch.where(flips[:, None, None, None], images.flip(-1), images), moves, most)
