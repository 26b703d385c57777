"""What every encoder's config has. An encoder maps images [N, C, H, W] to features h [N, D]."""

from __future__ import annotations

from typing import Annotated, Self

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
    from_trial: str | None = Field(None, pattern="^[0-9a-f]{12}$")
    """Trial whose trained encoder it starts from, which `from` of a sweep names; None: the seed draws it."""

    def starting_from(self, trial: str | None) -> Self:
        """The same network, starting from that trial's encoder; None: from what the seed draws."""
        if trial == self.from_trial:
            return self
        own = {name: getattr(self, name) for name in self.model_fields_set - {"from_trial"}}
        return type(self)(**own, **({"from_trial": trial} if trial is not None else {}))
