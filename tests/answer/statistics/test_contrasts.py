"""Effects of axes, against the textbook."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from orchestrator.answer.statistics.contrasts import factorial, leave_one_out

# Box, Hunter & Hunter 2005, Statistics for Experimenters, ch. 5: the pilot plant, two runs of each setting.
PLANT = {
    ("160", "20", "A"): (59, 61), ("180", "20", "A"): (74, 70), ("160", "40", "A"): (50, 58),
    ("180", "40", "A"): (69, 67), ("160", "20", "B"): (50, 54), ("180", "20", "B"): (81, 85),
    ("160", "40", "B"): (46, 44), ("180", "40", "B"): (79, 81),
}  # fmt: skip
AXES = {"temperature": ("160", "180"), "concentration": ("20", "40"), "catalyst": ("A", "B")}
VALUES = {place: dict(enumerate(map(float, runs))) for place, runs in PLANT.items()}


def test_effects_of_the_pilot_plant_are_those_of_the_book() -> None:
    found = {
        tuple(axis for axis, _, _ in one.levels): np.mean(one.differences) for one in factorial(AXES, VALUES)
    }
    assert found == {
        ("temperature",): 23,
        ("concentration",): -5,
        ("catalyst",): 1.5,
        ("temperature", "concentration"): 2 * 1.5,  # the book halves the difference of two differences
        ("temperature", "catalyst"): 2 * 10,
        ("concentration", "catalyst"): 0,
    }


def test_what_cells_of_a_seed_share_cancels_and_seeds_that_one_cell_lacks_do_not_count() -> None:
    axes = {"a": ("x", "y", "z"), "b": ("u", "v")}
    effect = {"x": 0.0, "y": 1.0, "z": 5.0}
    values = {
        (a, b): {seed: 100.0 * seed + effect[a] for seed in range(4)}
        for a, b in itertools.product(*axes.values())
    }
    del values["z", "v"][3]
    found = {one.levels: one.differences for one in factorial(axes, values)}
    assert found[("a", "y", "x"),] == (1, 1, 1)
    assert found[("a", "z", "x"),] == (5, 5, 5)
    assert found[("b", "v", "u"),] == (0, 0, 0)
    assert found[("a", "z", "x"), ("b", "v", "u")] == (0, 0, 0)
    assert len(found) == 2 + 1 + 2


def test_a_grid_with_a_hole_has_effects_without_numbers() -> None:
    values = {place: runs for place, runs in VALUES.items() if place != ("160", "20", "A")}
    assert {one.differences for one in factorial(AXES, values)} == {()}


def test_a_part_is_worth_what_is_lost_without_it() -> None:
    (found,) = leave_one_out({0: 0.9, 1: 0.8, 2: 0.7}, {("ema", "on"): {0: 0.5, 1: 0.7}})
    assert found.levels == (("ema", "on", "without"),)
    assert found.differences == pytest.approx((0.4, 0.1))
