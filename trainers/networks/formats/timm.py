"""timm's resnet18 and resnet50."""

from __future__ import annotations

from trainers.networks.formats._resnet import renamed
from trainers.networks.kept import About


def converted(content: bytes) -> bytes:
    """A file of the weights by timm's names.

    Raises:
        EncoderFileError: the encoder is another network than timm's.
    """
    return renamed(content, "timm")


def lines(about: About, file: str) -> tuple[str, str, str]:
    """Three lines of Python that load it."""
    channels = f", in_chans={about.shape[0]}" if about.shape[0] != 3 else ""
    return (
        "import safetensors.torch, timm",
        f"encoder = timm.create_model({about.network.name!r}, num_classes=0{channels}).eval()",
        f"encoder.load_state_dict(safetensors.torch.load_file({file!r}))",
    )
