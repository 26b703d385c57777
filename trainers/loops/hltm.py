"""SimCLR on the hierarchical latent tree model: do hidden units find the latent variables?"""

from __future__ import annotations

import math
import time
from typing import Any, Literal

from pydantic import Field, model_validator

from trainers.attempt import checkpoint
from trainers.attempt.folders import Folder
from trainers.attempt.report import EpochReport, Outcome, Report
from trainers.attempt.source import files_of, imported
from trainers.config.base import FieldError, LoopConfig, Runtime, canonical, identity_dump
from trainers.config.lazy import torch
from trainers.dynamics import tree as trees
from trainers.dynamics.tree import Tree, TreeNetwork
from trainers.randomness import stream

USES_GPU = False  # but the CPU alone, whatever there is
FIGURES = ("curves",)
"""Kinds of figures that its trials can fill."""
MOST_DEPTH = 8
_PLACES = ("root", *(f"depth_{level}" for level in range(1, MOST_DEPTH)))
METRICS = (
    *(f"{what}/{place}" for what in ("correlation", "covariance", "weights") for place in _PLACES),
    "train/loss",
)
"""What its trials may report after an epoch."""
FINAL_METRICS = ("correlation/root_start", "correlation/root_gain")
"""What they may report at their end alone."""
DEAD = 1e-3
"""Below this correlation the root's units say nothing of the root."""


class Config(LoopConfig):
    """Everything that decides one tree and its network.

    Source: Tian et al. 2020, arXiv:2010.00578, §6, and its code (luckmatters). Defaults are the code's, but
    for delta_lower and temperature, 0.8 and 0.1 as in its README's command, which trains 50 epochs; the
    code has 0.7 and 0.01.
    """

    trainer: Literal["hltm"] = "hltm"
    depth: int = Field(5, ge=1, le=MOST_DEPTH)
    """Layers below the root; 5: 32 leaves."""
    hidden: int = Field(10, ge=1, le=64)
    """Hidden units per inner node; 2 is what the tree needs, more is over-parameterised."""
    delta_lower: float = Field(0.8, ge=0, le=1)
    """Least |δ|: how closely a child follows its parent."""
    delta_upper: float = Field(1.0, ge=0, le=1)
    """Largest |δ|."""
    temperature: float = Field(0.1, gt=0)
    """T"""
    loss: Literal["batch_softmax", "per_sample_log", "subtract"] = "batch_softmax"
    """With P and N the mean squared distances to the positive and the negative view: the code's
    -e^(-P/T) / (e^(-P/T) + e^(-N/T)) of batch means; the mean of its logarithm per sample; or P - N."""
    lr: float = Field(0.1, gt=0)
    """SGD's learning rate."""
    epochs: int = Field(20, ge=1)
    """Passes of training, each over fresh samples."""
    samples: int = Field(64_000, ge=2, le=1_000_000)
    """Fresh samples per epoch."""
    batch_size: int = Field(128, ge=2)
    """Samples per step of SGD."""
    measured: int = Field(16_000, ge=500, le=100_000)
    """Fresh samples on which each epoch's correlations are measured; covariance operators on a tenth
    of them at most."""

    @model_validator(mode="after")
    def _bounds_are_ordered(self) -> Config:
        if self.delta_lower > self.delta_upper:
            raise FieldError(
                "delta_lower", f"delta_lower {self.delta_lower:g} is above delta_upper {self.delta_upper:g}"
            )
        if self.batch_size > self.samples:
            raise FieldError(
                "batch_size", f"batch_size {self.batch_size} exceeds the {self.samples} samples of an epoch"
            )
        return self


def unreported(config: Config) -> frozenset[str]:
    """Metrics of its trials that this one does not report."""
    return frozenset(name for name in METRICS if name.partition("/")[2] in _PLACES[config.depth :])


def fit(config: Config, *, runtime: Runtime, folder: Folder | None, report: Report) -> Outcome:
    """Train one network on one tree, going on from the newest checkpoint in `folder`.

    Reported after each epoch, and before the first: "correlation/root", "correlation/depth_k" (mean over the
    nodes of depth k of the best unit's |correlation| with the latent variable), "covariance/…" (norm of the
    covariance operator) and "weights/…" alike; arrays "correlation/depth_k" [2^k] node by node.
    """
    started = time.perf_counter()
    device = runtime.device
    tree = trees.draw_tree(config.depth, low=config.delta_lower, high=config.delta_upper, seed=config.seed)
    identity = canonical(identity_dump(config))
    source = imported(files_of(config))
    details: dict[str, Any] = {"device": device, "threads": runtime.threads}

    def restored(state: dict[str, Any]) -> tuple[TreeNetwork, list[EpochReport]]:
        nonlocal source
        past = checkpoint.past(state, config=identity)
        source = state.get("source", source)
        network = trees.build_network(config.depth, config.hidden, seed=config.seed)
        network.restore(state["network"])
        return network, past

    found, warnings = checkpoint.load(folder, restored)
    if found:
        network, history = found
        details["resumed_at_epoch"] = len(history) - 1
        checkpoint.replay(history, report)
    else:
        network = trees.build_network(config.depth, config.hidden, seed=config.seed)
        history = [_measured(config, tree, network, 0, None)]
        report(history[0])
    details |= {"source": source} | ({"warnings": warnings} if warnings else {})

    for epoch in range(len(history) - 1, config.epochs):
        losses = train_epoch(config, tree, network, epoch)
        bad = (~torch.isfinite(losses)).nonzero()
        if len(bad):
            step = epoch * len(losses) + int(bad[0])
            reason = f"loss {float(losses[bad[0]])} at step {step} (epoch {epoch + 1})"
            return Outcome(status="diverged", reason=reason, details=details)
        try:
            history.append(_measured(config, tree, network, epoch + 1, losses))
        except FloatingPointError as error:  # weights overflowed in the last step, after the last loss
            return Outcome(status="diverged", reason=f"{error} after epoch {epoch + 1}", details=details)
        if folder and ((epoch + 1) % runtime.checkpoint_every == 0 or epoch + 1 == config.epochs):
            past = [checkpoint.to_plain(message) for message in history]
            state = {"config": identity, "network": network.state(), "history": past, "source": source}
            checkpoint.save(folder, state, epoch=epoch + 1)
        report(history[-1])

    final = dict(history[-1].metrics)
    final["correlation/root_start"] = history[0].metrics["correlation/root"]
    final["correlation/root_gain"] = final["correlation/root"] - final["correlation/root_start"]
    details["wall_s"] = time.perf_counter() - started
    if final["correlation/root"] < DEAD:
        reason = "the root's units are dead: they say nothing of the root"
        details["collapse"] = {"verdict": "total", "evidence": reason}
        return Outcome(status="collapsed", reason=reason, metrics=final, details=details)
    return Outcome(status="completed", metrics=final, details=details)


def train_epoch(config: Config, tree: Tree, network: TreeNetwork, epoch: int) -> torch.Tensor:
    """Train one epoch of SGD on fresh samples; the loss of every step, [steps].

    A positive view has the same root and everything below drawn again; a negative one has a root of its own,
    so that half of them share its value.
    """
    generator = stream(config.seed, "tree", "train", epoch)
    roots = trees.coins(config.samples, generator)
    other = trees.coins(config.samples, generator)
    # [samples, 3, leaves]: sample, positive, negative; one pass of the network per step serves the three.
    views = torch.stack([trees.sample(tree, root, generator)[-1] for root in (roots, roots, other)], dim=1)
    steps = config.samples // config.batch_size
    losses = torch.empty(steps)
    parameters = network.parameters
    for step in range(steps):
        batch = views[step * config.batch_size : (step + 1) * config.batch_size]
        with torch.no_grad():
            inputs, outputs = network.forward(batch.transpose(0, 1).flatten(0, 1))
        root = outputs[-1].requires_grad_()
        loss = contrast(*trees.at_length_one(root[0]).unflatten(0, (3, -1)), config=config)
        (of_root,) = torch.autograd.grad(loss, root)
        with torch.no_grad():
            gradients = network.gradients(inputs, outputs, of_root)
            torch._foreach_add_(parameters, gradients, alpha=-config.lr)
        losses[step] = loss.detach()
    return losses


def contrast(
    f: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor, *, config: Config
) -> torch.Tensor:
    """The loss of `Config` for embeddings of samples, positive and negative views, [N, hidden] each."""
    near, far = (f - positive).square().mean(dim=1), (f - negative).square().mean(dim=1)
    if config.loss == "subtract":
        return near.mean() - far.mean()
    if config.loss == "batch_softmax":
        return -torch.sigmoid((far.mean() - near.mean()) / config.temperature)
    return -torch.nn.functional.logsigmoid((far - near) / config.temperature).mean()


def _measured(
    config: Config, tree: Tree, network: TreeNetwork, epoch: int, losses: torch.Tensor | None
) -> EpochReport:
    generator = stream(config.seed, "tree", "measure", epoch)
    root = trees.coins(config.measured, generator)
    levels = trees.sample(tree, root, generator)
    with torch.no_grad():
        inputs, outputs = network.forward(levels[-1])
    if not all(bool(torch.isfinite(values).all()) for values in outputs):
        raise FloatingPointError("outputs are not finite")
    best = trees.best_correlations(levels[:-1], outputs)
    # The derivatives of all nodes are in memory at once: [nodes, samples, hidden, hidden].
    room = 50_000_000 // (2 ** (config.depth - 1) * config.hidden**2)
    few = slice(max(50, min(config.measured // 10, room)))
    norms = trees.covariance_norms(
        network, [i[:, few] for i in inputs], [o[:, few] for o in outputs], root[few]
    )
    metrics: dict[str, float] = {}
    for level, (correlations, operator, weight) in enumerate(
        zip(best, norms, reversed(network.weights), strict=True)
    ):
        name = "root" if level == 0 else f"depth_{level}"
        metrics[f"correlation/{name}"] = float(correlations.mean())
        metrics[f"covariance/{name}"] = float(operator.mean())
        metrics[f"weights/{name}"] = float(weight.detach().norm(dim=(1, 2)).mean())
    if losses is not None:
        metrics["train/loss"] = float(losses.mean())
    arrays = {f"correlation/depth_{level}": values.numpy() for level, values in enumerate(best)}
    finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
    return EpochReport(epoch=epoch, epochs=config.epochs, metrics=finite, arrays=arrays)
