"""Small valid values to start a test of the trainers from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from trainers.attempt import checkpoint
from trainers.attempt.folders import Folder
from trainers.attempt.isolation import clean_process
from trainers.attempt.report import EpochReport, Outcome
from trainers.config import plugins
from trainers.config.base import Runtime
from trainers.encoders.base import EncoderConfig
from trainers.loops import ssl
from trainers.methods.base import AbstractMethod
from trainers.networks.blueprint import Blueprint
from trainers.networks.heads import ProjectorConfig
from trainers.networks.rates import build_optimizer
from trainers.optimizers import sgd

RUNTIME = Runtime()
TINY: dict[str, Any] = {
    "method": "byol",
    "data": {"name": "shapes", "size": 8, "train": 64, "test": 40},
    "encoder": {"name": "mlp", "widths": [16]},
    "projector": {"hidden": [12], "output": 6},
    "epochs": 3,
    "batch_size": 16,
    "probe": {"epochs": 2},
    "knn": {"k": 5},
}
SETTINGS: dict[str, dict[str, Any]] = {"wmse": {"slice_size": 16}, "moco": {"queue": 40}}
"""What methods need beyond their defaults to train on batches of 16 with 6 dimensions."""
LABELS = torch.arange(16) % 10
CONVNET = {"name": "convnet", "channels": [4, 8]}


def config(**changes: Any) -> ssl.Config:
    """A trial of three epochs and twelve steps, changed by `changes`."""
    return ssl.Config.model_validate(TINY | changes)


class Interrupted(Exception):
    """Stands for a worker that is killed while it reports."""


def method_config(name: str) -> dict[str, Any]:
    """A method's config for `config`."""
    return {"name": name, **SETTINGS.get(name, {})}


def fit(config: ssl.Config, folder: Folder | None = None, *, until: int | None = None) -> Outcome:
    """The outcome of a trial; with `until` it is interrupted while it reports that epoch."""

    def report(message: EpochReport) -> None:
        if message.epoch == until and not message.replayed:
            raise Interrupted

    with clean_process(threads=RUNTIME.threads):  # sums over other threads may round differently
        return ssl.fit(config, runtime=RUNTIME, folder=folder, report=report)


def reports(config: ssl.Config, folder: Path | None = None) -> list[EpochReport]:
    """Everything a trial reports."""
    heard: list[EpochReport] = []
    with clean_process(threads=RUNTIME.threads):
        ssl.fit(config, runtime=RUNTIME, folder=folder, report=heard.append)
    return heard


def trained_digest(folder: Path) -> str:
    """Hash of the networks in the newest checkpoint."""
    state, _ = checkpoint.load(folder, dict)
    assert state is not None
    return checkpoint.digest(state["networks"])


def timeless(metrics: dict[str, float]) -> dict[str, float]:
    """The metrics that must not depend on how fast the machine is."""
    return {name: value for name, value in metrics.items() if not name.startswith("time/")}


def blueprint(encoder: str | dict[str, Any] = "mlp", *, seed: int = 0, output: int = 6) -> Blueprint:
    """Plans for networks on 3x8x8 images with 12 hidden and `output` embedding dimensions."""
    raw = {"name": encoder} if isinstance(encoder, str) else encoder
    chosen: EncoderConfig = plugins.config_type("encoders", raw["name"]).model_validate(raw)  # type: ignore
    return Blueprint(chosen, ProjectorConfig(hidden=(12,), output=output), (3, 8, 8), seed)


def method(name: str = "byol", plan: Blueprint | None = None, **settings: Any) -> AbstractMethod:
    """A method under training on small networks."""
    chosen = plugins.config_type("methods", name).model_validate(SETTINGS.get(name, {}) | settings)
    plan = plan or blueprint(TINY["encoder"])
    built: AbstractMethod = plugins.load("methods", name).build(chosen, plan)
    built.networks.train()
    return built


def pair(number: int = 16, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, ...]:
    """Two views of `number` images, [N, 3, 8, 8], of independent normal values."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn((2, number, 3, 8, 8), generator=generator, dtype=dtype))


def train(method: AbstractMethod, steps: int, **rates: Any) -> None:
    """Train with SGD for `steps` batches of `pair`."""
    optimizer = build_optimizer(method.trained, sgd.Config(**{"lr": 0.1, **rates}))
    for step in range(steps):
        forward = method.forward(*pair(seed=step), LABELS)
        optimizer.zero_grad()
        forward.loss.backward()
        optimizer.step()
        method.after_step(forward, step=step, steps=steps)


def save(folder: Folder, *epochs: int) -> None:
    """Checkpoints of these epochs, as small as can be."""
    for epoch in epochs:
        checkpoint.save(folder, {"epoch": epoch, "w": torch.full((4,), float(epoch))}, epoch=epoch)


def newest(folder: Folder) -> int | None:
    """The epoch of the checkpoint that would be gone on from."""
    state, _ = checkpoint.load(folder, dict)
    return state["epoch"] if state else None


def interrupt(folder: Folder, *, epoch: int, **changes: object) -> None:
    """Leave the checkpoints of a trial that was interrupted while it reported `epoch`."""
    with pytest.raises(Interrupted):
        fit(config(**changes), folder, until=epoch)
