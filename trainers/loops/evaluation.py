"""An evaluation of a kept encoder: a trial of its own, by the encoder's digest and the protocol."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny, model_validator

from trainers.attempt.folders import Folder
from trainers.attempt.report import EpochReport, Outcome, Report
from trainers.config.base import FieldError, Frozen, LoopConfig, Runtime, canonical, identity_dump
from trainers.config.lazy import nn, torch
from trainers.config.plugins import Plugin, behind, load, names
from trainers.datasets.base import DatasetConfig, Images
from trainers.encoders.base import EncoderConfig
from trainers.loops import _encoders
from trainers.measures.evaluations.base import EvaluationConfig, Subject, labelled
from trainers.networks.blueprint import Blueprint
from trainers.networks.heads import ProjectorConfig, hidden_blocks
from trainers.networks.kept import EncoderFileError
from trainers.views.augmentation import normalise
from trainers.views.device_images import device_name, load_images

FIGURES = ("curves",)
"""Kinds of figures that its trials can fill."""
METRICS: tuple[str, ...] = tuple(
    dict.fromkeys(name for one in names("evaluations") for name in load("evaluations", one).METRICS)
)
"""What its trials may report."""
NOT_REHEARSED = "an evaluation needs the encoder of a trial"
"""Why its trials are not rehearsed."""


class GivenEncoder(Frozen):
    """Which encoder is evaluated."""

    network: Annotated[SerializeAsAny[EncoderConfig], Plugin("encoders")]
    """Which network it is."""
    projector: ProjectorConfig = ProjectorConfig()
    """What stood on it."""
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    """Digest of its file, which the trial is given; None: an untrained one, drawn from the seed."""


class Config(LoopConfig):
    """Everything that decides the numbers of an evaluation."""

    trainer: Literal["evaluation"] = "evaluation"
    encoder: GivenEncoder
    protocol: Annotated[SerializeAsAny[EvaluationConfig], Plugin("evaluations")]
    """How it is evaluated: a file in trainers/measures/evaluations."""
    data: Annotated[SerializeAsAny[DatasetConfig], Plugin("datasets")]
    """Images to evaluate on."""

    @model_validator(mode="after")
    def _has_the_blocks(self) -> Config:
        blocks, there = self.protocol.blocks or 0, len(self.encoder.projector.hidden)
        if blocks > there:
            raise FieldError("protocol.blocks", f"is {blocks}, but the projector has {there} hidden layers")
        return self


def fit(config: Config, *, runtime: Runtime, folder: Folder | None, report: Report) -> Outcome:
    """Evaluate the encoder that was given, going on from the newest checkpoint in `folder`, if there is one.

    Args:
        config: the trial.
        runtime: device, threads and data folder.
        folder: the trial's own folder, which has the encoder.
        report: called at the start and the end, or after each epoch.

    Raises:
        MissingDataError: the data set is not there.
        ValueError: the encoder is not there, is damaged or of another shape, or labels are missing.
    """
    started = time.perf_counter()
    raw = load_images(config.data, runtime)
    images = labelled(raw, config.protocol.labels, seed=config.seed, name=config.data.name)
    network, mean, std = _network(config, raw, runtime.device, folder)
    heard: list[EpochReport] = []

    def hear(message: EpochReport) -> None:
        heard.append(message)
        report(message)

    def prepared(batch: torch.Tensor) -> torch.Tensor:
        return normalise(batch.to(runtime.device), mean=mean, std=std)

    subject = Subject(
        network, _dimension(network, prepared(raw.test[:2]), config, raw), images, prepared, mean, std,
        config.seed, runtime.device, hear, folder, canonical(identity_dump(config)),
    )  # fmt: skip
    details: dict[str, Any] = {
        "data": config.data.name,
        "data_fingerprint": raw.fingerprint(),
        "data_listing": raw.listing,
        "device": device_name(runtime.device),
        "threads": runtime.threads,
    }
    if not hasattr(config.protocol, "epochs"):
        hear(EpochReport(epoch=0, epochs=1, metrics={}))
    try:
        found = behind(type(config.protocol)).evaluate(config.protocol, subject)
    except FloatingPointError as error:
        return Outcome(status="diverged", reason=str(error), details=details)
    if not hasattr(config.protocol, "epochs"):
        hear(EpochReport(epoch=1, epochs=1, metrics=found))
    details["wall_s"] = time.perf_counter() - started
    return Outcome(status="completed", metrics=found, details=details)


def _network(
    config: Config, images: Images, device: str, folder: Folder | None
) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """What gives features, and the normalisation that it was trained with, on the device."""
    own, blocks = config.encoder, config.protocol.blocks or 0
    if own.sha256 is None:
        plan = Blueprint(own.network, own.projector, images.shape, config.seed)
        encoder, features = plan.encoder()
        head = hidden_blocks(plan.projector(features), blocks)
        network: nn.Module = nn.Sequential(encoder, head)
        mean, std = images.mean, images.std
    else:
        kept = _encoders.given(folder, own.sha256)
        network, mean, std = kept.after(blocks), kept.about.mean, kept.about.std
    channels = images.shape[0]
    if channels != len(mean):
        told = f"data set '{config.data.name}' has images of {channels} channels"
        raise EncoderFileError(f"{told}, and the encoder takes {len(mean)}; choose another `data`")
    as_tensors = [torch.tensor(values, device=device) for values in (mean, std)]
    return network.to(device).eval(), as_tensors[0], as_tensors[1]


def _dimension(network: nn.Module, two: torch.Tensor, config: Config, images: Images) -> int:
    """Dimension of the features, of two images.

    Raises:
        EncoderFileError: the encoder does not take images of that shape.
    """
    try:
        with torch.no_grad():
            return int(network(two).shape[1])
    except (RuntimeError, ValueError) as error:
        shape = "x".join(map(str, images.shape))
        told = f"data set '{config.data.name}' has images of {shape}, which the encoder does not take"
        raise EncoderFileError(f"{told}: {' '.join(str(error).split())[:120]}") from None
