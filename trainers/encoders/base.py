"""What every encoder's config has. An encoder maps images [N, C, H, W] to features h [N, D]."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from trainers.config.base import Frozen


def _not_empty(widths: tuple[int, ...]) -> tuple[int, ...]:
    if not widths:
        raise ValueError("expected at least one width, got none")
    return widths


Widths = Annotated[tuple[Annotated[int, Field(ge=1)], ...], AfterValidator(_not_empty)]
"""Widths of an encoder's layers, one or more."""


class EncoderConfig(Frozen):
    """What every encoder's config has."""

    name: str
