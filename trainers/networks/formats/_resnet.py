"""What the formats of other libraries share: our residual encoders under the names that they use."""

from __future__ import annotations

from trainers.config.lazy import torch
from trainers.encoders._resnet import ResnetConfig
from trainers.networks.kept import About, EncoderFileError, about_of, weights_of
from trainers.networks.tensors import to_bytes

STAGES = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}
STEM = 4  # modules before the first block: convolution, BatchNorm, ReLU, pooling
EPS = 1e-5  # of BatchNorm, in both libraries


def renamed(content: bytes, library: str) -> bytes:
    """A file of a resnet's weights by the names that both libraries have.

    Raises:
        EncoderFileError: the encoder is another network than theirs.
    """
    return to_bytes(_by_their_names(about_of(content), weights_of(content), library), {"format": "pt"})


def _by_their_names(about: About, weights: dict[str, torch.Tensor], library: str) -> dict[str, torch.Tensor]:
    network = about.network
    if network.name not in STAGES or not isinstance(network, ResnetConfig):
        known = " and ".join(STAGES)
        raise EncoderFileError(f"{library} has no encoder '{network.name}', only {known}; {_INSTEAD}")
    theirs = f"{library}'s {network.name}"
    if network.stem != "imagenet":
        raise EncoderFileError(
            f"its stem is a 3x3 convolution without pooling, for small images, and {theirs} has 7x7 and "
            f"pooling; {_INSTEAD}"
        )
    if network.width != 64:
        raise EncoderFileError(f"its width is {network.width}, and {theirs} has 64; {_INSTEAD}")
    if network.bn_eps != EPS:
        raise EncoderFileError(f"its bn_eps is {network.bn_eps:g}, and {theirs} has {EPS:g}; {_INSTEAD}")
    places = {"0": "conv1", "1": "bn1"}
    number = STEM
    for stage, blocks in enumerate(STAGES[network.name], start=1):
        for block in range(blocks):
            places[str(number)] = f"layer{stage}.{block}"
            number += 1
    split = {name: name.split(".", 1) for name in weights}
    return {f"{places[head]}.{rest}": weights[name] for name, (head, rest) in split.items()}


_INSTEAD = "use --format plain"
