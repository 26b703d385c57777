"""The solver of all flows: Dormand and Prince's method of order 8 with error control; not for stiff ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST_EVALUATIONS = 300_000
"""Evaluations of a flow after which an explicit solver is given up; a phase diagram needs some thousands."""


class TooStiffError(ValueError):
    """The flow moves too fast for an explicit solver over the time that was asked for."""

    def __init__(self, time: float) -> None:
        super().__init__(
            f"too stiff: t = {time:g} is not reached within {MOST_EVALUATIONS} evaluations; lower the rates "
            "(beta, eta, alpha_p, sigma), the start or the time"
        )


def solved(
    flow: Callable[[Floats], Floats], begin: Floats, times: Floats, *, rtol: float, atol: float
) -> Floats:
    """The states at `times`, [K, n]; fewer than `times` where the solver leaves the finite range.

    Args:
        flow: of a state [n], its velocity [n]; does not depend on time.
        begin: the state at the first of `times`.
        times: ascending.

    Raises:
        TooStiffError: the last time is not reached within `MOST_EVALUATIONS`.
    """
    from scipy.integrate import solve_ivp

    evaluations = 0

    def counted(_: float, y: Floats) -> Floats:
        nonlocal evaluations
        evaluations += 1
        if evaluations > MOST_EVALUATIONS:
            raise TooStiffError(times[-1])
        return flow(y)

    with np.errstate(over="ignore", invalid="ignore"):
        found = solve_ivp(counted, (times[0], times[-1]), begin, "DOP853", t_eval=times, rtol=rtol, atol=atol)
    # SciPy gives a plain list where not even one step was made.
    return np.asarray(np.reshape(found.y, (len(begin), -1)).T)


def first_passages(times: Floats, curves: Floats) -> Floats:
    """When each of `curves` [K, N] first comes to 90 % of its last value, [N]; interpolated between `times`.

    The first of `times` for one that starts there.
    """
    goal = 0.9 * curves[-1]
    first = (curves >= goal).argmax(axis=0)
    columns, before = np.arange(curves.shape[1]), np.maximum(first - 1, 0)
    low, high = curves[before, columns], curves[first, columns]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(first > 0, (goal - low) / (high - low), 0.0)
    return np.asarray(times[before] + share * (times[first] - times[before]))
