"""Phase diagrams of the per-mode system: where a mode lives and where it collapses, over two parameters.

Simulated, on a grid, and by theory: the edge of the collapse basin. Each checks the other.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from trainers.config.base import Frozen
from trainers.dynamics.per_mode import Rates, critical_decay, kinds_of_flow, separatrices, survives
from trainers.dynamics.solver import Floats

MOST_FLOWS = 1000
Parameter = Literal["p0", "s0", "alpha_p", "eta", "beta", "tau", "sigma"]


class GridAxis(Frozen):
    """One axis of a phase diagram."""

    of: Parameter
    """What varies along it."""
    low: float = Field(ge=-1e4, le=1e4)
    """Its first value."""
    high: float = Field(ge=-1e4, le=1e4)
    """Its last value."""
    points: int = Field(100, ge=1, le=2_000)
    """How many values there are."""
    log: bool = False
    """Whether the points are evenly spaced in the logarithm."""

    @field_validator("high")
    @classmethod
    def _ends_above(cls, high: float, info: object) -> float:
        low = getattr(info, "data", {}).get("low")
        if low is not None and not high >= low:
            raise ValueError(f"expected high at or above low, {low:g}; got {high:g}")
        return high

    def values(self) -> Floats:
        """The points, [points]."""
        if self.log:
            return np.geomspace(self.low, self.high, self.points)
        return np.linspace(self.low, self.high, self.points)


class Starts(NamedTuple):
    """Every point of a grid: where it starts and under which rates; all [N], y by y."""

    p: Floats
    s: Floats
    rates: Rates


def starts(fixed: dict[Parameter, float | None], x: GridAxis, y: GridAxis) -> Starts:
    """The grid's points.

    Args:
        fixed: values off the grid, of every `Parameter`; s0 None starts on the parabola, s0 = p0²/α_p;
            beta None is no EMA; with one τ is 1, where it ends.
        x, y: what varies.
    """
    across, down = np.meshgrid(x.values(), y.values())
    number = across.size
    values: dict[str, Floats | None] = {
        name: None if value is None else np.full(number, float(value)) for name, value in fixed.items()
    }
    values |= {x.of: across.ravel(), y.of: down.ravel()}
    p, s = values["p0"], values["s0"]
    alpha_p, eta, sigma, tau = (values[name] for name in ("alpha_p", "eta", "sigma", "tau"))
    assert p is not None and alpha_p is not None
    assert eta is not None and sigma is not None and tau is not None
    rates = Rates(alpha_p, eta, sigma, tau if values["beta"] is None else np.ones(number), values["beta"])
    return Starts(p, p * p / alpha_p if s is None else s, rates)


def by_theory(points: Starts, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    """Which points live, [rows of y, columns of x], where there is no EMA; with it, as if there were none.

    With EMA this is the limit of a fast target, β → ∞. None where every point has a flow of its own, as over
    η and σ: each flow's edge takes 20 ms.
    """
    rates = points.rates._replace(beta=None)
    if kinds_of_flow(rates, len(points.p))[0].shape[1] > MOST_FLOWS:
        return None
    return survives(points.p, points.s, rates).reshape(shape)


def edge(
    fixed: dict[Parameter, float | None], x: GridAxis, y: GridAxis, alive: NDArray[np.bool_] | None
) -> Floats:
    """The edge of the collapse basin as points (x, y), [K, 2]; y is NaN where it is outside the diagram.

    Where y is s0 or α_p it is solved for exactly, since only S = α_p s0 counts; else it is taken from
    `alive`, the diagram by theory, to the grid's resolution.
    """
    across, down = x.values(), y.values()
    if alive is None:
        return np.empty((0, 2))
    if y.of in ("s0", "alpha_p") and not (y.of == "alpha_p" and fixed["s0"] is None) and x.of != "beta":
        points = starts(fixed, x, GridAxis(of=y.of, low=1.0, high=1.0, points=1))
        rates = points.rates
        other = points.s if y.of == "alpha_p" else np.asarray(rates.alpha_p)
        with np.errstate(divide="ignore", invalid="ignore"):
            solved = separatrices(points.p, rates) / other
        inside = np.isfinite(solved) & (solved >= down[0]) & (solved <= down[-1])
        return np.column_stack((across, np.where(inside, solved, np.nan)))
    flips_down = np.argwhere(alive[:-1] != alive[1:])
    flips_across = np.argwhere(alive[:, :-1] != alive[:, 1:])
    if len(flips_down) >= len(flips_across):
        ordered = flips_down[np.argsort(flips_down[:, 1], kind="stable")]
        return np.column_stack((across[ordered[:, 1]], (down[ordered[:, 0]] + down[ordered[:, 0] + 1]) / 2))
    return np.column_stack(
        ((across[flips_across[:, 1]] + across[flips_across[:, 1] + 1]) / 2, down[flips_across[:, 0]])
    )


def critical(fixed: dict[Parameter, float | None], x: GridAxis, y: GridAxis) -> float:
    """η_c, if η varies and nothing that moves it does; NaN otherwise."""
    varied = {x.of, y.of}
    if "eta" not in varied or varied & {"tau", "sigma"}:
        return float("nan")
    tau = 1.0 if fixed["beta"] is not None or "beta" in varied else fixed["tau"]
    assert tau is not None and fixed["sigma"] is not None
    return float(critical_decay(tau, fixed["sigma"]))


def away_from_edge(alive: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Points all of whose neighbours, also diagonal ones, are alike: where a grid leaves no doubt."""
    padded = np.pad(alive, 1, mode="edge")
    rows, columns = alive.shape
    same = np.ones(alive.shape, bool)
    for i in range(3):
        for j in range(3):
            same &= padded[i : i + rows, j : j + columns] == alive
    return same
