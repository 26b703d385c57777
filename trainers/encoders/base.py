"""What every encoder's config has. An encoder maps images [N, C, H, W] to features h [N, D]."""

from __future__ import annotations

from trainers.config import Frozen


class EncoderConfig(Frozen):
    """What every encoder's config has."""

    name: str
