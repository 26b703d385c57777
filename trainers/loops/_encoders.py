"""Encoders that trials leave behind, and those that they were given: files in their folders."""

from __future__ import annotations

import io
from typing import Any

from trainers.attempt.checkpoint import ENCODER, GIVEN
from trainers.attempt.folders import Folder, StorageError, files
from trainers.encoders.base import EncoderConfig
from trainers.measures import frozen
from trainers.methods.base import AbstractMethod
from trainers.networks import kept
from trainers.networks.heads import ProjectorConfig, build_projector
from trainers.networks.kept import About, EncoderFileError, Kept
from trainers.views.device_images import DeviceImages

DETAIL = "encoder"
"""Key of what an outcome's details say of an encoder that was left behind."""


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
        network=network,
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
    try:
        content = files(folder).read(GIVEN) if folder is not None else None
    except FileNotFoundError:
        content = None
    if content is None:
        raise EncoderFileError(f"encoder {sha256[:12]} was not given to this trial; `orch sweep` brings it")
    if (found := kept.sha256(content)) != sha256:
        raise EncoderFileError(
            f"encoder {sha256[:12]} is damaged: its digest is {found[:12]}; `orch sweep` brings it anew"
        )
    return kept.read(content)
