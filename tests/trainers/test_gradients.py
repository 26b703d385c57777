"""A batch's loss and gradients, and that nothing in them would make a GPU wait."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.trainers.builders import RUNTIME, config
from trainers.loops import ssl

WAITS = {
    "_local_scalar_dense": "a tensor is read as a number",
    "nonzero": "the size of the result depends on values",
    "masked_select": "the size of the result depends on values",
    "unique": "the size of the result depends on values",
    "_linalg_eigh": "is computed on the host",
    "lift_fresh": "a tensor is made from Python numbers and copied to the device",
    "_unique2": "the size of the result depends on values",
}
METHODS: list[Any] = [
    {"name": "byol", "predictor": {"symmetric": True}},
    "simsiam",
    "directcopy",
    {"name": "directpred", "root": "newton_schulz"},
    {"name": "moco", "queue": 64},
    "vicreg",
    "simclr",
    "barlow_twins",
    {"name": "wmse", "slice_size": 16, "shrinkage": 0.1},
    "supervised",
]


class _Waits(TorchDispatchMode):
    """Collects the calls for which a GPU's host would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        by_mask = name in ("index", "index_put_", "index_put") and any(
            index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1]
        )
        if name in WAITS or by_mask:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


def _trial(method: Any) -> tuple[ssl.Trial, ssl.Images]:
    views = {"solarise": 0.2, "blur": {"p": 0.5}}
    made = config(method=method, batch_size=16, projector={"hidden": [16], "output": 8}, views=views)
    images = ssl.load_images(made.data, RUNTIME)
    return ssl.Trial(made, images, RUNTIME), images


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_no_step_makes_a_gpu_wait(method: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    trial, images = _trial(method)
    train, labels = images.for_training()
    train, labels = train[:64], labels[:64]
    mean, std = torch.zeros(3), torch.ones(3)
    # An epoch's draws are made on the host, once, before its steps.
    order, draws = ssl.epoch_draws(trial.config.views, 64, size=(16, 16), seed=0, epoch=0)
    monkeypatch.setattr(ssl, "epoch_draws", lambda *_, **__: (order, draws))
    ssl.train_epoch(trial, train, labels, 0, mean=mean, std=std)
    with _Waits() as watched:
        ssl.train_epoch(trial, train, labels, 1, mean=mean, std=std)
    assert watched.found == []


def test_the_watch_for_waiting_sees_what_waits() -> None:
    numbers = torch.arange(4.0)
    with _Waits() as watched:
        float(numbers.sum())
        numbers[numbers > 1]
        torch.linalg.eigh(torch.eye(2))
        torch.tensor([1.0])
    assert {"_local_scalar_dense", "index", "_linalg_eigh", "lift_fresh"} <= set(watched.found)


def test_on_a_cpu_nothing_is_recorded() -> None:
    trial, images = _trial("simsiam")
    train, labels = images.for_training()
    ssl.train_epoch(trial, train, labels, 0, mean=torch.zeros(3), std=torch.ones(3))
    assert trial.gradients is not None and not trial.gradients.replay and not trial.gradients.recorded
