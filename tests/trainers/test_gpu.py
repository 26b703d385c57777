"""What a GPU changes: speed, and nothing else that a reader could notice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from trainers.attempt.isolation import run_trial
from trainers.attempt.report import EpochReport, Outcome
from trainers.config.base import Runtime
from trainers.loops import ssl
from trainers.methods._siamese import Siamese
from trainers.methods.base import Forward
from trainers.views.device_images import on_device

pytestmark = pytest.mark.gpu
DATA = {"name": "shapes", "size": 16, "train": 512, "test": 256}


def config(**changes: object) -> ssl.Config:
    base = {
        "method": {"name": "byol", "predictor": {"hidden": 32, "symmetric": True}},
        "data": DATA,
        "encoder": {"name": "convnet", "channels": [8, 16]},
        "projector": {"hidden": [32], "output": 16},
        "epochs": 2,
        "probe": {"epochs": 5},
    }
    return ssl.Config.model_validate(base | changes)


def run(device: str, folder: Path | None = None, **changes: object) -> tuple[Outcome, list[EpochReport]]:
    reports: list[EpochReport] = []
    made = config(**changes)
    outcome = run_trial(made, runtime=Runtime(device=device), folder=folder, report=reports.append)
    assert outcome.status in ("completed", "collapsed"), outcome
    return outcome, reports


def test_a_gpu_trial_draws_the_same_streams_and_starts_from_the_same_weights() -> None:
    cpu, gpu = run("cpu")[0].details, run("cuda")[0].details
    for name in ("streams_fingerprint", "encoder_start", "data_fingerprint"):
        assert cpu[name] == gpu[name]


def test_a_gpu_trial_follows_the_cpu_trial() -> None:
    first_cpu, first_gpu = (run(device)[1][1].metrics["train/loss"] for device in ("cpu", "cuda"))
    assert first_gpu == pytest.approx(first_cpu, abs=0.02)  # four float32 steps, other summation orders


METHODS: list[Any] = [
    {"name": "byol", "momentum_end": 1.0, "predictor": {"hidden": 32, "symmetric": True}},
    {"name": "byol", "momentum": 0.0, "predictor": {"hidden": 32}},
    {"name": "directpred", "root": "newton_schulz"},
    {"name": "directpred"},  # its eigendecomposition makes the device wait, behind the graph
    {"name": "moco", "queue": 512},
    "vicreg",
    "simclr",
    "barlow_twins",
    {"name": "wmse", "slice_size": 64, "shrinkage": 0.1},
    "supervised",
]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "method", METHODS, ids=lambda m: m if isinstance(m, str) else "-".join(map(str, m.values()))
)
def test_a_recorded_graph_trains_the_numbers_of_step_after_step(
    method: Any, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)  # else sums have no fixed order
    schedule = {"name": "cosine", "warmup_epochs": 1}
    made = config(method=method, precision=precision, schedule=schedule, data=DATA | {"train": 1024})
    data = on_device(made.data, Runtime(device="cuda"), normalise=True, held_out=64)
    losses, recorded = [], []
    for graphs in (True, False):
        trial = ssl.Trial(made, data.images, Runtime(device="cuda", graphs=graphs))
        epochs = [
            ssl.train_epoch(trial, data.train, data.labels, epoch, mean=data.mean, std=data.std)
            for epoch in range(2)
        ]
        losses.append(torch.cat(epochs))
        assert trial.gradients is not None and not trial.gradients.why_not
        recorded.append(trial.gradients.recorded)
    assert recorded == [True, False]
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-4, atol=1e-4)


def test_what_cannot_be_recorded_is_computed_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = Siamese.forward

    def waits(self: Siamese, *views: torch.Tensor) -> Forward:
        float(views[0].sum())  # the device cannot be asked while it is recorded
        return forward(self, *views)

    monkeypatch.setattr(Siamese, "forward", waits)
    outcome, reports = run("cuda")
    assert len(reports) == 3
    assert any("no CUDA graph" in warning for warning in outcome.details["warnings"])


def test_bf16_trains_on_the_gpu() -> None:
    _, reports = run("cuda", precision="bf16")
    assert reports[-1].metrics["train/loss"] < reports[1].metrics["train/loss"]


def test_a_gpu_trial_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    class StopHere(BaseException):
        pass

    def stop(report: EpochReport) -> None:
        if report.epoch == 1:
            raise StopHere

    with pytest.raises(StopHere):
        ssl.fit(config(), runtime=Runtime(device="cuda"), folder=tmp_path, report=stop)
    outcome, reports = run("cuda", tmp_path)
    assert outcome.details["resumed_at_epoch"] == 1
    assert [report.replayed for report in reports] == [True, True, False]


def test_a_finished_trial_leaves_no_gpu_memory_behind() -> None:
    run("cuda")
    before = torch.cuda.memory_reserved()
    run("cuda")
    assert torch.cuda.memory_reserved() <= before


def test_a_rehearsal_sees_the_gpus_memory_and_room() -> None:
    from trainers.attempt.rehearsal import CONTEXT_GIB, pace, rehearse

    cost = rehearse(config(), runtime=Runtime(device="cuda"))
    assert cost.gpu_gib is not None
    assert cost.room_gib is not None
    assert CONTEXT_GIB < cost.gpu_gib < cost.room_gib
    many = config(data={"name": "shapes", "size": 8, "train": 4096, "test": 40}, epochs=50)
    assert pace(many, runtime=Runtime(device="cuda"), ready=lambda: None, window_s=0.5)


def test_trials_that_share_a_gpu_run_at_once_and_have_the_numbers_of_those_that_do_not(
    tmp_path: Path,
) -> None:
    pytest.importorskip("ray")
    from orchestrator.events import Event, Finished, Started
    from orchestrator.execution.ray.executor import RayExecutor
    from orchestrator.language.resources import SweepResources
    from tests.builders import expansion

    def trained(name: str, resources: SweepResources) -> tuple[dict[str, dict[str, float]], int, list[str]]:
        said: list[str] = []
        events: list[Event] = []
        executor = RayExecutor(
            runtime=Runtime(), folder=tmp_path / name, resources=resources, say=said.append
        )
        executor.run(expansion().trials, events.append)
        running, most = 0, 0
        for event in events:
            running += isinstance(event, Started) - isinstance(event, Finished)
            most = max(most, running)
        ended = {e.trial_id: e.outcome for e in events if isinstance(e, Finished)}
        assert {outcome.status for outcome in ended.values()} <= {"completed", "collapsed"}
        numbers = {
            identity: {k: v for k, v in outcome.metrics.items() if not k.startswith("time/")}
            for identity, outcome in ended.items()
        }
        return numbers, most, said

    alone, at_once, _ = trained("alone", SweepResources(gpus=1))
    assert at_once == torch.cuda.device_count()
    shared, at_once, _ = trained("shared", SweepResources(gpus=0.25))
    assert at_once > torch.cuda.device_count()
    assert shared == alone
    settled, _, said = trained("settled", SweepResources(gpus="auto"))
    assert settled == alone
    assert any("GiB free on it" in line for line in said)
