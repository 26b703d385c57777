"""Plug-ins as a user writes them, in files of their own."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trainers.config import examined, files, foreign

METHOD = '''"""BYOL with a hat."""

from __future__ import annotations

from typing import Literal

from trainers.methods._siamese import Siamese, SiameseConfig
from trainers.networks.blueprint import Blueprint
from trainers.networks.heads import LinearPredictor


class Config(SiameseConfig):
    """Mine."""

    name: Literal["mine"] = "mine"
    hat: float = 1.0
    """Height of the hat."""


def build(config: Config, blueprint: Blueprint) -> Siamese:
    """Networks of `blueprint`."""
    return Siamese(config, blueprint, LinearPredictor())
'''
TRAINER = '''"""A trainer that costs nothing."""

from typing import Literal

from trainers.attempt.report import EpochReport, Outcome
from trainers.config.base import LoopConfig

FIGURES = ("curves",)


class Config(LoopConfig):
    """A number and its multiples."""

    trainer: Literal["counting"] = "counting"
    step: float = 1.0
    epochs: int = 2


def fit(config, *, runtime, folder, report):
    for epoch in range(config.epochs + 1):
        report(EpochReport(epoch=epoch, epochs=config.epochs, metrics={"count": epoch * config.step}))
    return Outcome(status="completed", metrics={"count": config.epochs * config.step})
'''
DATA = """
from typing import Literal
from trainers.config.lazy import torch
from trainers.datasets.base import DatasetConfig, Images

class Config(DatasetConfig):
    name: Literal["noise"] = "noise"

def load(config, *, root, download):
    images = torch.arange(64 * 192).remainder(251).to(torch.uint8).view(64, 3, 8, 8)
    labels = torch.arange(64) % 2
    return Images(images, labels, images, labels, ("a", "b"), (0.5,) * 3, (0.2,) * 3)
"""
ENCODER = """
from typing import Literal
from trainers.config.lazy import nn
from trainers.encoders.base import EncoderConfig

class Config(EncoderConfig):
    name: Literal["flat"] = "flat"

def build(config, shape):
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 8)), 8
"""
OPTIMIZER = """
from typing import Literal
from trainers.config.lazy import torch
from trainers.optimizers.base import OptimizerConfig

class Config(OptimizerConfig):
    name: Literal["plain"] = "plain"
    lr: float = 0.1

def build(config, groups):
    return torch.optim.SGD(groups, lr=config.lr)
"""
COUNTING: dict[str, Any] = {
    "version": 1,
    "name": "counting",
    "plugins": ["./counting.py"],
    "base": {"trainer": "counting"},
    "axes": {"step": {"path": "step", "values": [1, 2]}},
    "tables": [{"name": "t", "rows": "step", "metric": "count"}],
    "figures": [{"kind": "curves", "columns": ["count"]}],
}
"""A sweep of `TRAINER`, which is in the working folder."""


def written(folder: Path, **files: str) -> Path:
    """`folder` with files of these names, without their ending."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return folder


def joined(text: str = METHOD, name: str = "mine", folder: Path | None = None) -> foreign.Foreign:
    """The plug-in of this text, in a file of this name."""
    (one,) = foreign.join(f"{written(folder or Path.cwd(), **{name: text}) / name}.py")
    return one


def refused(*entries: str) -> list[str]:
    """What is said of plug-ins that cannot be used, in lines."""
    with pytest.raises(foreign.PluginError) as caught:
        foreign.join(*entries)
    return str(caught.value).splitlines()


@contextlib.contextmanager
def forgotten() -> Iterator[None]:
    """Within, this process has never seen a file's plug-in."""
    with pytest.MonkeyPatch.context() as patch:
        for known in (files.texts, examined._made, sys.modules):
            for name in [name for name in known if name.startswith(files.PREFIX)]:
                patch.delitem(known, name)  # type: ignore[arg-type]
        yield
