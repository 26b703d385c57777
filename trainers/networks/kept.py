"""A trained encoder as one file: its weights, what network they are of, and what it takes and gives."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import SerializeAsAny, ValidationError

from trainers.config.base import Frozen
from trainers.config.foreign import PluginError
from trainers.config.lazy import nn, torch
from trainers.config.plugins import Plugin, behind
from trainers.encoders.base import EncoderConfig
from trainers.networks.heads import ProjectorConfig, build_projector, hidden_blocks
from trainers.networks.tensors import TensorFileError, from_bytes, metadata_of, to_bytes
from trainers.randomness import seeded

ABOUT = "orch.encoder"
"""Key of what is said of an encoder in its file."""
OWN, HEAD = "encoder.", "projector."
"""What names of weights begin with: the encoder's, and those of the projector that stood on it."""


class EncoderFileError(ValueError):
    """An encoder's file cannot be used; why, in a few words."""


class About(Frozen):
    """What a kept encoder is."""

    network: Annotated[SerializeAsAny[EncoderConfig], Plugin("encoders")]
    """Which network it is."""
    shape: tuple[int, int, int]
    """Shape of an image that it was trained on, [C, H, W]."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """Normalisation of its images in [0, 1], by channel: (x - mean) / std."""
    dimension: int
    """Feature dimension D."""
    projector: ProjectorConfig | None = None
    """The projector that stood on it; None: another head, which is not kept."""


class Kept(NamedTuple):
    """An encoder as it was read."""

    about: About
    encoder: nn.Module
    """From normalised images [N, C, H, W] to features [N, D]; in eval mode."""
    projector: nn.Sequential | None
    """What stood on it, in eval mode."""

    def after(self, blocks: int) -> nn.Module:
        """The encoder and the first `blocks` hidden blocks of its projector.

        Raises:
            EncoderFileError: the projector has fewer, or is not there.
        """
        if not blocks:
            return self.encoder
        there = len(self.about.projector.hidden) if self.about.projector else 0
        if self.projector is None or blocks > there:
            raise EncoderFileError(f"blocks is {blocks}, and its projector has {there} hidden blocks")
        return nn.Sequential(self.encoder, hidden_blocks(self.projector, blocks))


def sha256(content: bytes) -> str:
    """The digest by which an encoder's file is known."""
    return hashlib.sha256(content).hexdigest()


def written(about: About, encoder: nn.Module, projector: nn.Module | None) -> bytes:
    """The file of an encoder; the same bytes for the same weights."""
    weights = {f"{OWN}{name}": value for name, value in encoder.state_dict().items()}
    if projector is not None:
        weights |= {f"{HEAD}{name}": value for name, value in projector.state_dict().items()}
    return to_bytes(weights, {ABOUT: about.model_dump_json(exclude_unset=True), "format": "pt"})


def about_of(content: bytes) -> About:
    """What an encoder's file says that it is; needs no torch.

    Raises:
        EncoderFileError: it is damaged, or no encoder's.
    """
    try:
        return About.model_validate_json(metadata_of(content).get(ABOUT, ""))
    except TensorFileError as error:
        raise EncoderFileError(str(error)) from None
    except (ValidationError, PluginError) as error:
        found = " ".join(str(error).split())[:200]
        raise EncoderFileError(f"it says of no encoder what it is ({found})") from None


def weights_of(content: bytes) -> dict[str, torch.Tensor]:
    """The encoder's weights in a file, by the names that its module has for them.

    Raises:
        EncoderFileError: the file is damaged.
    """
    return _below(OWN, _tensors(content))


def read(content: bytes) -> Kept:
    """The encoder in a file, on the CPU.

    Raises:
        EncoderFileError: the file is damaged, or its weights are of another network than it says.
    """
    about, tensors = about_of(content), _tensors(content)
    with seeded(0, "weights", "of a file"):  # which are replaced at once
        encoder, dimension = behind(type(about.network)).build(about.network, about.shape)
        projector = build_projector(about.projector, dimension) if about.projector else None
    fill(encoder, _below(OWN, tensors))
    if projector is not None:
        fill(projector, _below(HEAD, tensors))
        projector.eval()
    return Kept(about, encoder.eval(), projector)


def module_of(content: bytes) -> nn.Module:
    """The encoder in a file, in eval mode; raises as `read` does."""
    return read(content).encoder


def load_encoder(path: str | Path) -> nn.Module:
    """The encoder in a file that `orch encoder` wrote, in eval mode.

    Returns:
        A module from normalised images [N, C, H, W] to features [N, D].

    Raises:
        EncoderFileError: it cannot be read, is damaged, or was written for another library.
    """
    try:
        return read(Path(path).read_bytes()).encoder
    except OSError as error:
        raise EncoderFileError(f"{path}: {error.strerror}") from None
    except EncoderFileError as error:
        raise EncoderFileError(f"{path}: {error}") from None


def _tensors(content: bytes) -> dict[str, torch.Tensor]:
    try:
        return from_bytes(content)[0]
    except TensorFileError as error:
        raise EncoderFileError(str(error)) from None


def _below(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Shape of each weight, by name."""
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def fill(module: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Give a network these weights.

    Raises:
        EncoderFileError: they are another network's.
    """
    wanted, there = shapes(module), {name: tuple(value.shape) for name, value in weights.items()}
    for name in sorted(wanted.keys() | there.keys()):
        if there.get(name) != wanted.get(name):
            got, expected = (list(each[name]) if name in each else "none" for each in (there, wanted))
            raise EncoderFileError(f"weight '{name}' has shape {got}, and its network {expected}")
    module.load_state_dict(dict(weights))
