"""Encoders that trials leave behind, and those that they were given: files in their folders."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from trainers.attempt.checkpoint import ENCODER, GIVEN
from trainers.attempt.folders import Folder, StorageError, files
from trainers.config.base import identity_dump
from trainers.config.lazy import torch
from trainers.encoders.base import EncoderConfig
from trainers.measures import frozen
from trainers.methods.base import AbstractMethod
from trainers.networks import kept
from trainers.networks.heads import ProjectorConfig, build_projector
from trainers.networks.kept import About, EncoderFileError, Kept
from trainers.views.device_images import DeviceImages

DETAIL = "encoder"
"""Key of what an outcome's details say of an encoder that was left behind."""
STARTED = "started_from"
"""Key of what they say of the one that it started from."""
Weights = Mapping[str, "torch.Tensor"] | None


def leave(
    network: EncoderConfig,
    projector: ProjectorConfig,
    method: AbstractMethod,
    data: DeviceImages,
    folder: Folder,
) -> dict[str, Any]:
    """Leave a trained encoder in its trial's folder, with its projector; details of it for the outcome.

    Raises:
        StorageError: the folder does not take it.
    """
    dimension = frozen.in_eval_mode(method.encoder, data.held_out[:1]).shape[1]
    own = kept.shapes(method.projector) == kept.shapes(build_projector(projector, dimension))
    mean, std = (tuple(values.tolist()) for values in (data.mean, data.std))
    about = About(
        network=network.starting_from(None),
        shape=data.images.shape,
        mean=mean,
        std=std,
        dimension=dimension,
        projector=projector if own else None,
    )
    content = kept.written(about, method.encoder, method.projector if own else None)
    try:
        files(folder).write(ENCODER, io.BytesIO(content))
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"{folder}: the encoder cannot be kept there: {error.strerror or error}") from None
    return {DETAIL: {"sha256": kept.sha256(content), "bytes": len(content)}}


def given(folder: Folder | None, sha256: str) -> Kept:
    """The encoder that a trial was given.

    Raises:
        EncoderFileError: it was given none, or another.
    """
    content = _content(folder, sha256[:12])
    if (found := kept.sha256(content)) != sha256:
        raise EncoderFileError(
            f"encoder {sha256[:12]} is damaged: its digest is {found[:12]}; `orch sweep` brings it anew"
        )
    return kept.read(content)


def started_from(folder: Folder | None, network: EncoderConfig) -> tuple[Weights, dict[str, Any]]:
    """Weights that a trial's encoder starts from, and details of them for the outcome.

    None, and nothing, where the seed draws them.

    Raises:
        EncoderFileError: it was given none, or one of another network.
    """
    if network.from_trial is None:
        return None, {}
    content = _content(folder, f"of trial {network.from_trial}")
    found, wanted = kept.read(content), identity_dump(network.starting_from(None))
    if (there := identity_dump(found.about.network)) != wanted:
        raise EncoderFileError(
            f"encoder of trial {network.from_trial} is another network, {there}, expected {wanted}"
        )
    origin = {"trial": network.from_trial, "sha256": kept.sha256(content)}
    return found.encoder.state_dict(), {STARTED: origin}


def _content(folder: Folder | None, which: str) -> bytes:
    try:
        content = files(folder).read(GIVEN) if folder is not None else None
    except FileNotFoundError:
        content = None
    if content is None:
        raise EncoderFileError(f"encoder {which} was not given to this trial; `orch sweep` brings it")
    return content
