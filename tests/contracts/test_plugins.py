"""The promises of plug-ins, over each that ships; `orch check-plugin` checks those of others alike."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from orchestrator.rehearsal.contracts.laws import Subject, laws
from orchestrator.rehearsal.contracts.loops import tiny_trial
from trainers.attempt.isolation import clean_process
from trainers.config import plugins
from trainers.config.base import Frozen
from trainers.config.families import SINGULAR

DOWNLOADED = ("cifar10", "cifar100", "stl10", "huggingface")
SCRIPT = """
import json, os
with open(os.environ["ORCH_REPORT"], "a") as report:
    for epoch in (1, 2, 3):
        print(json.dumps(dict(epoch=epoch, loss=1 / epoch)), file=report, flush=True)
"""
SETTINGS: dict[str, dict[str, Any]] = {
    "wmse": {"slice_size": 16},
    "moco": {"queue": 40},
    "resnet18": {"width": 16},
    "resnet50": {"width": 16},
    "convnet": {"channels": [4, 8]},
    "shapes": {"train": 40, "test": 20},
    "image_folder": {"label": "tiny", "root": "tiny", "size": 8},
    "torchvision": {
        "dataset": "FakeData",
        "hold_out": {"share": 0.25},
        "options": {"size": 80, "image_size": (3, 9, 9)},
    },
    "command": {"run": ["python", "-c", SCRIPT, "{seed}"], "metrics": {"loss": "curve"}, "epochs": 3},
    "evaluation": {
        "encoder": {"network": {"name": "mlp", "widths": [16]}, "projector": {"hidden": [12], "output": 6}},
        "protocol": {"name": "fine_tune", "epochs": 3, "labels": 0.5, "blocks": 1},
        "data": {"name": "shapes", "size": 8, "train": 64, "test": 40},
    },
    "ssl": tiny_trial().model_dump(),
    "modes": {
        "eta": 0.1,
        "time": 50,
        "x": {"of": "p0", "low": -1, "high": 2, "points": 5},
        "y": {"of": "s0", "low": 0.02, "high": 2, "points": 5},
    },
    "linear_dynamics": {"size": 4, "time": 50, "records": 5},
    "hltm": {"depth": 3, "epochs": 3, "samples": 128, "measured": 500},
}
"""What the built-in ones need beyond their defaults to be small, and to train on a batch of 16."""
FEW = ("byol", "directpred", "convnet")
"""Methods and encoders whose promises are no slow tests."""
CASES = [
    pytest.param(
        *(kind, name, says),
        marks=pytest.mark.slow if kind in ("methods", "encoders") and name not in FEW else (),
    )
    for kind in SINGULAR
    for name in plugins.names(kind)
    for says in laws(kind)
    if name not in DOWNLOADED
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a folder of images, "tiny"."""
    root = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(0)
    for place in (f"{split}/{label}" for split in ("train", "test") for label in ("ant", "bee")):
        (folder := root / "tiny" / place).mkdir(parents=True)
        for index in range(3):
            Image.fromarray(generator.integers(0, 256, (12, 10, 3), dtype=np.uint8)).save(
                folder / f"{index}.png"
            )
    return root


@functools.cache
def made(kind: str, name: str) -> Frozen:
    return plugins.config_type(kind, name).model_validate(SETTINGS.get(name, {}))


@pytest.mark.parametrize(("kind", "name", "says"), CASES)
def test_a_plug_in_keeps_what_its_family_promises(
    kind: str, name: str, says: str, root: Path, tmp_path: Path
) -> None:
    with clean_process(threads=1):
        laws(kind)[says](Subject(kind, made(kind, name), tmp_path / "folder", root))
