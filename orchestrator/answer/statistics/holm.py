"""Several comparisons at once: p-values that keep the chance of any false alarm."""

from __future__ import annotations

from collections.abc import Sequence


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order of `ps`.

        p̃_(k) = max_{j ≤ k} min(1, (m - j + 1) p_(j)),   p_(1) ≤ … ≤ p_(m)

    Calling those of at most 0.05 real keeps the chance that any of these calls is wrong at 5 %, however
    the comparisons depend on each other; those with one baseline do.

    Source: Holm 1979, Scand. J. Stat. 6, 65.
    """
    adjusted, largest = [1.0] * len(ps), 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = largest
    return adjusted
