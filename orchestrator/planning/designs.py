"""Designs: which combinations of levels are cells."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

from orchestrator.language.cells.axes import Level
from orchestrator.language.sweep_spec import SweepSpec

Choice = tuple[tuple[str, str | None], ...]
"""One label per axis, in the order of the axes; None where the axis does not apply or is left at the base."""


def choices(spec: SweepSpec) -> Iterable[Choice]:
    """The cells of the design, as labels."""
    axes = spec.axes
    if spec.design == "grid":
        return _grid(spec)
    if spec.design == "one_at_a_time":
        base: Choice = tuple((axis, None) for axis in axes)
        singles = (
            tuple((axis, level.label if axis == moved else None) for axis in axes)
            for moved, factor in axes.items()
            for level in factor.levels
        )
        return itertools.chain([base], singles)
    full = {axis: factor.levels[0].label for axis, factor in axes.items()}
    without = (tuple((a, None if a == left_out else full[a]) for a in axes) for left_out in axes)
    return itertools.chain([tuple(full.items())], without)


def _grid(spec: SweepSpec) -> Iterator[Choice]:
    names_, factors = list(spec.axes), list(spec.axes.values())
    if not any(factor.when for factor in factors):
        for combination in itertools.product(*(factor.labels for factor in factors)):
            yield tuple(zip(names_, combination, strict=True))
        return

    def walk(index: int, chosen: dict[str, str | None]) -> Iterator[Choice]:
        if index == len(names_):
            yield tuple(chosen.items())
            return
        factor = factors[index]
        applies = all(chosen[axis] in wanted for axis, wanted in factor.when.items())
        levels: Sequence[Level | None] = factor.levels if applies else (None,)
        for level in levels:
            yield from walk(index + 1, {**chosen, names_[index]: level.label if level else None})

    yield from walk(0, {})
