"""torchvision's resnet18 and resnet50."""

from __future__ import annotations

from trainers.networks.formats._resnet import renamed
from trainers.networks.kept import About, EncoderFileError, about_of


def converted(content: bytes) -> bytes:
    """A file of the weights by torchvision's names.

    Raises:
        EncoderFileError: the encoder is another network than torchvision's.
    """
    if (channels := about_of(content).shape[0]) != 3:
        raise EncoderFileError(f"its images have {channels} channels, and torchvision's 3; use --format timm")
    return renamed(content, "torchvision")


def lines(about: About, file: str) -> tuple[str, str, str]:
    """Three lines of Python that load it."""
    return (
        "import safetensors.torch, torch, torchvision",
        f"encoder = torchvision.models.{about.network.name}(); encoder.fc = torch.nn.Identity()",
        f"encoder.load_state_dict(safetensors.torch.load_file({file!r})); encoder.eval()",
    )
