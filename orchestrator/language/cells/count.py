"""How many cells a sweep has, without making them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.language.sweep_spec import SweepSpec

Chosen = tuple[tuple[str, str | None], ...]


def count_cells(spec: SweepSpec, *, most: int) -> int:
    """The number of cells, without making them; beyond `most`, some number that is larger."""
    if spec.design != "grid":
        return 1 + sum(len(factor.levels) for factor in spec.axes.values())
    asked = {axis for factor in spec.axes.values() for axis in factor.when}
    # By the levels of those axes that conditions ask for: so many cells have these.
    numbers: Counter[Chosen] = Counter({(): 1})
    for name, factor in spec.axes.items():
        grown: Counter[Chosen] = Counter()
        for chosen, number in numbers.items():
            there = dict(chosen)
            applies = all(there.get(axis) in wanted for axis, wanted in factor.when.items())
            labels: Sequence[str | None] = factor.labels if applies else (None,)
            if name not in asked:
                grown[chosen] += number * len(labels)
                continue
            for label in labels:
                grown[(*chosen, (name, label))] += number
        numbers = grown
        if numbers.total() > most:
            break
    return numbers.total()
