"""A figure that a sweep draws."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from orchestrator.language.table_spec import LONGEST_NAME, NAME, LevelName
from trainers.config.base import Frozen
from trainers.config.plugins import Member


class FigureSpec(Frozen):
    """A figure the sweep draws."""

    kind: Annotated[str, Member("figures")]
    """What it draws."""
    name: str | None = Field(None, pattern=NAME, max_length=LONGEST_NAME)
    """File name; the kind if not given."""
    columns: tuple[str, ...] = ()
    """eigenspace: of F, Wp, alignment, asymmetry (all if empty). curves: metrics. spectra: of embedding,
    feature (both if empty), F, Wp. dots, interaction, response, parallel: final metrics (that of the first
    table if empty)."""
    axes: tuple[str, ...] = ()
    """interaction: the axis along the figure, that of its lines, and perhaps that of its panels (the first
    with two levels if empty). response: axes of numbers, a panel each; parallel: axes (all if empty)."""
    over: str | None = None
    """curves, eigenspace: a metric that replaces the epochs on the horizontal axis, such as dynamics/time."""
    where: dict[str, LevelName] = {}
    """Fixed levels: only these cells are drawn."""
    width: float | None = Field(None, ge=1, le=40)
    """Width in inches, such as that of a paper's column; letters stay as large as they are."""

    @property
    def file_name(self) -> str:
        """Its file's name, without ending."""
        return self.name or self.kind
