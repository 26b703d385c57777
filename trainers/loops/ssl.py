"""Self-supervised training of two views: config to report, top to bottom. No method's name appears here."""

from __future__ import annotations

import math
import time
from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny

from trainers.attempt import checkpoint
from trainers.attempt.folders import Folder
from trainers.attempt.report import EpochReport, Outcome, Report
from trainers.attempt.source import files_of, imported
from trainers.config.base import LoopConfig, Runtime, canonical, identity_dump
from trainers.config.lazy import nn, torch
from trainers.config.plugins import Plugin, behind
from trainers.datasets.base import DatasetConfig, Images
from trainers.encoders.base import EncoderConfig
from trainers.loops._encoders import Weights, leave, started_from
from trainers.loops._gradients import Gradients
from trainers.measures import collapse, frozen, spectra
from trainers.measures.probe import KnnConfig, ProbeConfig
from trainers.measures.spectra import CorrelationEMA, SpectraConfig, eigenspace, eigenspace_metrics
from trainers.methods.base import AbstractMethod, MethodConfig, OwnMetrics
from trainers.networks.blueprint import Blueprint
from trainers.networks.heads import ProjectorConfig, hidden_blocks
from trainers.networks.rates import ScheduleConfig, build_optimizer, flow_time, set_rates
from trainers.optimizers import sgd
from trainers.optimizers.base import OptimizerConfig
from trainers.randomness import seeded
from trainers.views import augmentation as views
from trainers.views.config import ViewsConfig
from trainers.views.device_images import DeviceImages, device_name, load_images, on_device
from trainers.views.pairing import epoch_draws, streams_fingerprint

FIGURES = ("curves", "eigenspace", "spectra", "slope")
"""Kinds of figures that its trials can fill."""
_OWN = ("train/loss", "train/lr", "dynamics/time", "time/epoch_s", "time/images_per_s")
METRICS, FINAL_METRICS = (*_OWN, *spectra.METRICS, *collapse.METRICS), frozen.METRICS
"""What its trials may report after an epoch, and at their end alone."""
KEEPS = STARTS_FROM = ("encoder",)  # what its trials can leave behind, and can start from


class Config(LoopConfig):
    """Everything that decides the numbers of one self-supervised trial."""

    trainer: Literal["ssl"] = "ssl"
    method: Annotated[SerializeAsAny[MethodConfig], Plugin("methods")]
    """The self-supervised method: a file in trainers/methods."""
    data: Annotated[SerializeAsAny[DatasetConfig], Plugin("datasets")]
    """The images: a file in trainers/datasets."""
    encoder: Annotated[SerializeAsAny[EncoderConfig], Plugin("encoders")]
    """Images to features h: a file in trainers/encoders."""
    projector: ProjectorConfig = ProjectorConfig()
    views: ViewsConfig = ViewsConfig()
    optimizer: Annotated[SerializeAsAny[OptimizerConfig], Plugin("optimizers", default="sgd")] = sgd.Config()
    """The optimizer: a file in trainers/optimizers."""
    schedule: ScheduleConfig = ScheduleConfig()
    epochs: int = Field(100, ge=1)
    """Passes over the training images."""
    batch_size: int = Field(128, ge=2)
    """Images per step; the last, smaller batch of an epoch is dropped."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16: autocast in the forward pass; losses, F and the probe stay in float32."""
    probe: ProbeConfig = ProbeConfig()
    knn: KnnConfig = KnnConfig()
    spectra: SpectraConfig = SpectraConfig()


class Trial:
    """A trial's networks, optimizer and running F, which a checkpoint holds and a resume restores."""

    def __init__(self, config: Config, images: Images, runtime: Runtime, start: Weights = None) -> None:
        """Build everything fresh from the config's seed, but for weights that the encoder starts from."""
        self.config, self.device, self.replay = config, runtime.device, runtime.graphs
        self.gradients: Gradients | None = None
        seed, classes = config.seed, len(images.classes)
        plan = Blueprint(config.encoder, config.projector, images.shape, seed, classes, start)
        self.method: AbstractMethod = behind(type(config.method)).build(config.method, plan)
        self.networks = self.method.networks.to(self.device, memory_format=torch.channels_last).train()
        self.optimizer = build_optimizer(self.method.trained, config.optimizer)
        self.correlation = CorrelationEMA(self.method.dimension, rho=config.spectra.rho, device=self.device)
        self.own = OwnMetrics(config.method, {*METRICS, *FINAL_METRICS})
        self.history: list[EpochReport] = []
        self.source = imported(files_of(config))  # of its first epoch

    def state(self) -> dict[str, Any]:
        """Everything an exact resume needs; random streams need no state, they are derived by epoch."""
        return {
            "config": canonical(identity_dump(self.config)),
            "source": self.source,
            "networks": self.networks.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "correlation": self.correlation.value,
            "correlation_batches": self.correlation.batches,
            "history": [checkpoint.to_plain(report) for report in self.history],
        }

    def restored(self, state: dict[str, Any]) -> Trial:
        """This trial with all that `state` made; after an error, for another trial's, it is of no use."""
        self.history = checkpoint.past(state, config=canonical(identity_dump(self.config)))
        self.source = state.get("source", self.source)
        self.networks.load_state_dict(state["networks"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.correlation.restore(state["correlation"], batches=state["correlation_batches"])
        return self


def unreported(config: Config) -> frozenset[str]:
    """Metrics of its trials that this one does not report."""
    return frozenset() if config.probe.best else frozenset({"probe/best_top1"})


def fit(config: Config, *, runtime: Runtime, folder: Folder | None, report: Report) -> Outcome:
    """Train one trial to its end and evaluate it, going on from the newest checkpoint in `folder`.

    Args:
        config: the trial.
        runtime: device, threads and data folder.
        folder: the trial's own folder for checkpoints; None keeps nothing.
        report: called after each epoch; epochs that a checkpoint already holds are repeated to it first.

    Raises:
        MissingDataError: the data set is not there.
        StorageError: a checkpoint could not be written, or the storage does not say whether there is one.
    """
    started = time.perf_counter()
    raw = config.views.normalise is False
    data = on_device(config.data, runtime, normalise=not raw, held_out=collapse.SAMPLES)
    details: dict[str, Any] = {
        "data": config.data.name,
        "data_fingerprint": data.images.fingerprint(),
        "data_listing": data.images.listing,
        "streams_fingerprint": streams_fingerprint(config.views, data.train, seed=config.seed),
        "device": device_name(runtime.device),
        "threads": runtime.threads,
    }
    trial, begun = _begin(config, data, runtime, folder, report)
    details |= begun
    for epoch in range(len(trial.history) - 1, config.epochs):
        try:
            message = _one_epoch(trial, data, epoch)
        except FloatingPointError as error:
            return Outcome(status="diverged", reason=str(error), details=details)
        # Saved before it is told, so that whatever was told once is told again after an interruption.
        if folder and ((epoch + 1) % runtime.checkpoint_every == 0 or epoch + 1 == config.epochs):
            checkpoint.save(folder, trial.state(), epoch=epoch + 1)
        report(message)

    final = trial.history[-1].metrics | evaluate(trial, data.images, mean=data.mean, std=data.std)
    diagnosis = frozen.diagnosis(trial.method.encoder, trial.method.projector, data.held_out)
    found = {"verdict": diagnosis.verdict, "evidence": diagnosis.evidence}
    if trial.gradients and (why := trial.gradients.why_not):
        details["warnings"] = [*details.get("warnings", []), f"no CUDA graph, steps are slower: {why}"]
    details |= {"wall_s": time.perf_counter() - started, "collapse": found}
    if folder and runtime.keep:
        details |= leave(config.encoder, config.projector, trial.method, data, folder)
    return Outcome(
        status="collapsed" if diagnosis.verdict == "total" else "completed",
        reason=None if diagnosis.verdict == "none" else diagnosis.evidence,
        metrics=final | diagnosis.metrics,
        details=details,
    )


def _begin(
    config: Config, data: DeviceImages, runtime: Runtime, folder: Folder | None, report: Report
) -> tuple[Trial, dict[str, Any]]:
    """The trial, fresh or with all epochs of its newest checkpoint, which are reported; details of that."""
    start, details = started_from(folder, config.encoder)
    fresh = Trial(*(given := (config, data.images, runtime, start)))
    details["encoder_start"] = checkpoint.digest(fresh.method.encoder.state_dict())
    found, warnings = checkpoint.load(folder, lambda old: Trial(*given).restored(old))
    if found is None:
        report(_measured(fresh, 0, {"dynamics/time": 0.0}, data.held_out))
    else:
        details["resumed_at_epoch"] = len(found.history) - 1
        checkpoint.replay(found.history, report)
    warnings = [*data.images.notes, *warnings]
    details |= {"source": (found or fresh).source} | ({"warnings": warnings} if warnings else {})
    return found or fresh, details


def _one_epoch(trial: Trial, data: DeviceImages, epoch: int) -> EpochReport:
    """Train one epoch after `epoch` others, and measure.

    Raises:
        FloatingPointError: a loss or a weight is not finite; when and which.
    """
    began, config = time.perf_counter(), trial.config
    with seeded(config.seed, "global", epoch):  # for layers that draw, such as dropout; built-in ones do not
        losses = train_epoch(trial, data.train, data.labels, epoch, mean=data.mean, std=data.std)
    bad = (~torch.isfinite(losses)).nonzero()
    if len(bad):
        step = epoch * len(losses) + int(bad[0])
        raise FloatingPointError(f"loss {float(losses[bad[0]])} at step {step} (epoch {epoch + 1})")
    seconds = time.perf_counter() - began
    before = trial.history[-1].metrics.get("dynamics/time", 0.0)
    flow = flow_time(config.optimizer, config.schedule, epoch, epochs=config.epochs, steps=len(losses))
    metrics = {
        "train/loss": float(losses.mean()),
        "dynamics/time": before + flow,
        "train/lr": trial.optimizer.param_groups[0]["lr"],
        "time/epoch_s": seconds,
        "time/images_per_s": len(losses) * config.batch_size / seconds,
        **trial.own.means(),
    }
    try:
        return _measured(trial, epoch + 1, metrics, data.held_out)
    except FloatingPointError as error:  # weights overflowed in the last step, after the last loss
        raise FloatingPointError(f"{error} after epoch {epoch + 1}") from None


def train_epoch(
    trial: Trial,
    images: torch.Tensor,
    labels: torch.Tensor,
    epoch: int,
    *,
    mean: torch.Tensor,
    std: torch.Tensor,
) -> torch.Tensor:
    """Train one epoch and return the loss of every step, float32 [steps], on the CPU.

    Args:
        trial: what is trained, in place.
        images: all training images, uint8 [N, C, H, W], on the trial's device.
        labels: their class indices, int64 [N], -1 where there is none.
        epoch: number of epochs trained before; with the seed it decides order and augmentations.
        mean, std: normalisation, [C].
    """
    config, method, optimizer = trial.config, trial.method, trial.optimizer
    number, size = len(images), (images.shape[2], images.shape[3])
    steps = number // config.batch_size
    if steps == 0:
        raise ValueError(f"batch_size {config.batch_size} exceeds the {number} training images; lower it")
    if trial.gradients is None or trial.gradients.images is not images:  # a CUDA graph knows where they lie
        trial.gradients = Gradients(trial, images, labels, mean=mean, std=std, replay=trial.replay)
    gradients = trial.gradients
    gradients.begin(*epoch_draws(config.views, number, size=size, seed=config.seed, epoch=epoch))
    # Losses stay on the device until the epoch is over: reading one would make the GPU wait.
    losses = torch.empty(steps, device=trial.device)
    trial.own.begin()
    method.before_epoch(epoch)
    for index in range(steps):
        step = epoch * steps + index
        forward = gradients.of(index * config.batch_size)
        trial.correlation.update(forward.z1, forward.z2)
        factor = config.schedule.factor(step, steps=config.epochs * steps, steps_per_epoch=steps)
        set_rates(optimizer, factor)
        optimizer.step()
        method.after_step(forward, step=step, steps=config.epochs * steps)
        losses[index] = forward.loss
        trial.own.add(forward.metrics)
    return losses.cpu()


def steps_per_epoch(config: Config, runtime: Runtime) -> int:
    """Optimizer steps of one epoch."""
    return len(load_images(config.data, runtime).for_training()[0]) // config.batch_size


def evaluate(trial: Trial, images: Images, *, mean: torch.Tensor, std: torch.Tensor) -> dict[str, float]:
    """Linear probe and k-NN on frozen features, in eval mode, without augmentation.

    With `projector.probed_blocks` features go through that many hidden blocks of the projector first.
    """
    config, method = trial.config, trial.method
    blocks = hidden_blocks(method.projector, config.projector.probed_blocks or 0)
    network = nn.Sequential(method.encoder, blocks)

    def prepared(batch: torch.Tensor) -> torch.Tensor:
        return views.normalise(batch.to(trial.device), mean=mean, std=std)

    return frozen.accuracies(network, images, prepared, probe=config.probe, knn=config.knn, seed=config.seed)


def _measured(trial: Trial, epoch: int, metrics: dict[str, float], held_out: torch.Tensor) -> EpochReport:
    """The report of what is measured after `epoch` epochs, entered in the trial's history.

    Raises:
        FloatingPointError: the weights are not finite any more.
    """
    found, arrays = dict[str, Any](), dict[str, Any]()
    config, measured = trial.config, dict(metrics)
    w_p = trial.method.predictor_matrix()
    if epoch == 0:  # there is no F before the first batch
        measured |= {} if w_p is None else spectra.predictor_metrics(w_p)
    else:
        found = eigenspace(trial.correlation.value, w_p)
        measured |= eigenspace_metrics(trial.correlation.value, w_p, found)
    if config.spectra.recorded(epoch, config.epochs):
        diagnosis = frozen.diagnosis(trial.method.encoder, trial.method.projector, held_out)
        measured |= diagnosis.metrics
        arrays = found | diagnosis.arrays if found else {}
    finite = {name: float(value) for name, value in measured.items() if math.isfinite(value)}
    message = EpochReport(epoch=epoch, epochs=config.epochs, metrics=finite, arrays=arrays)
    trial.history.append(message)
    return message
