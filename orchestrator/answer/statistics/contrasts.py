"""What each axis of a balanced grid does, alone and together with another: contrasts seed by seed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from orchestrator.answer.statistics.summary import differences


class Contrast(NamedTuple):
    """A main effect or an interaction."""

    levels: tuple[tuple[str, str, str], ...]
    """(axis, level, reference level) for each axis in it: one in a main effect, more in an interaction."""
    differences: tuple[float, ...]
    """Its value in each seed."""


Axes = Mapping[str, Sequence[str]]
"""Levels by axis; the first one is the reference."""


def factorial(axes: Axes, values: Mapping[tuple[str, ...], Mapping[int, float]]) -> Iterator[Contrast]:
    """Main effects, then interactions of two axes, of a full grid.

    A main effect is value(level) - value(reference level), averaged over all levels of the other axes; an
    interaction is how much the effect of one axis differs between two levels of the other:

        [value(a, b) - value(a₀, b)] - [value(a, b₀) - value(a₀, b₀)],   averaged alike

    which is twice what textbooks on two-level designs call an interaction. Both are computed for each
    seed that every cell has, so that what cells of a seed share cancels; a seed is a block.

    Args:
        axes: the axes, each with two levels or more.
        values: numbers by seed for each combination of levels, in the order of `axes`.

    Returns:
        Contrasts; without differences where a combination is missing or no seed has all, and without those
        that no number can hold.

    Source: Box, Hunter & Hunter 2005, Statistics for Experimenters, ch. 5; seeds as blocks: Montgomery
    2017, Design and Analysis of Experiments, § 5.6.
    """
    combinations = list(itertools.product(*axes.values()))
    seeds = set.intersection(*(set(values.get(place, {})) for place in combinations))
    cube = np.array([[values[place][seed] for seed in sorted(seeds)] for place in combinations if seeds])
    shape = (*(len(levels) for levels in axes.values()), len(seeds))
    cube = cube.reshape(shape)
    for order in (1, 2):
        for chosen in itertools.combinations(axes, order):
            for levels in itertools.product(*(axes[axis][1:] for axis in chosen)):
                picked = dict(zip(chosen, levels, strict=True))
                named = tuple((axis, level, axes[axis][0]) for axis, level in picked.items())
                with np.errstate(over="ignore", invalid="ignore"):
                    found = _of(cube, axes, picked)
                yield Contrast(named, tuple(map(float, found[np.isfinite(found)])))


def _of(cube: np.ndarray, axes: Axes, picked: Mapping[str, str]) -> np.ndarray:
    """The contrast in each seed: a difference along the axes of `picked`, a mean along the others."""
    for axis, levels in axes.items():  # the first axis of the cube goes each time
        cube = cube[levels.index(picked[axis])] - cube[0] if axis in picked else cube.mean(axis=0)
    return cube


def leave_one_out(
    full: Mapping[int, float], without: Mapping[tuple[str, str], Mapping[int, float]]
) -> Iterator[Contrast]:
    """What each part is worth: with everything, minus without it, in each seed that both have.

    Parts that can stand in for each other each look worth little; that is what the design asks.

    Args:
        full: numbers by seed with every part.
        without: numbers by seed by the part that is left out, as (axis, level).
    """
    for (axis, level), values in without.items():
        yield Contrast(((axis, level, "without"),), tuple(differences(full, values)))
