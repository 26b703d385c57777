"""One mode of linear BYOL: p, an eigenvalue of W_p, and s, that of F = W Wᵀ, coupled to the target's τ.

    dw_p/dt = α_p (w_a - (1 + σ²) w_p w) w - η w_p
    dw/dt   = w_p (w_a - (1 + σ²) w_p w) - η w
    dw_a/dt = β (w - w_a)                              or w_a = τ w with a fixed τ

with p = w_p, s = w², τ = w_a / w: Tian et al. 2021, arXiv:2102.06810, eq. 6, for data of identity covariance
and augmentations of covariance σ² I. Integrated in (w_p, w, w_a), because τ grows without bound where s
vanishes. All arrays are float64; parameters are numbers or arrays [N] that go with the N trajectories.

With S = α_p s the flow at fixed τ does not contain α_p: it only decides where a start (p, s) lies.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainers.dynamics.solver import Floats, solved

Number = float | Floats

CHUNK = 4096  # trajectories integrated side by side: their state fits a core's second-level cache
RTOL, ATOL = 1e-11, 1e-12
SAME = 1e-12


class Rates(NamedTuple):
    """What decides the flow."""

    alpha_p: Number = 1.0
    """Learning rate of the predictor over the encoder's."""
    eta: Number = 0.04
    """Weight decay η of both."""
    sigma: Number = 0.03
    """Standard deviation σ of the augmentations."""
    tau: Number = 1.0
    """w_a / w where the target has no EMA; not used where it has one."""
    beta: Number | None = None
    """Rate β of the target's EMA; None: no EMA, w_a = τ w."""

    @property
    def total(self) -> Number:
        """1 + σ², the variance of a view."""
        return 1.0 + np.square(self.sigma)

    def rows(self, chosen: Any) -> Rates:
        """The rates of some of the trajectories."""
        beta = self.beta[chosen] if isinstance(self.beta, np.ndarray) else self.beta
        alpha_p, eta, sigma, tau = (v[chosen] if isinstance(v, np.ndarray) else v for v in self[:4])
        return Rates(alpha_p, eta, sigma, tau, beta)


class States(NamedTuple):
    """States at one time; each [N]."""

    p: Floats
    s: Floats
    target: Floats
    """w_a · w, which is τ s."""


def trajectories(p: Floats, s: Floats, tau: Number, rates: Rates, times: Floats) -> Iterator[list[States]]:
    """The states at `times`, chunk by chunk of at most CHUNK trajectories.

    Args:
        p, s: where they start, [N]; s ≥ 0.
        tau: τ at the start, with EMA.
        rates: of the flow.
        times: ascending, from 0.

    Each state is exact to about 1e-9 (Dormand and Prince's method of order 8, with error control over the
    whole chunk). States that leave the finite range are NaN from there on.
    """
    tau = np.broadcast_to(np.asarray(tau, float), p.shape)
    for start in range(0, len(p), CHUNK):
        rows = slice(start, start + CHUNK)
        yield _integrated(p[rows], s[rows], tau[rows], rates.rows(rows), times)


def _integrated(p: Floats, s: Floats, tau: Floats, rates: Rates, times: Floats) -> list[States]:
    number, has_ema, total = len(p), rates.beta is not None, rates.total
    beta = 0.0 if rates.beta is None else rates.beta
    w = np.sqrt(s)

    def flow(y: Floats) -> Floats:
        out = np.empty_like(y)
        w_p, w = y[:number], y[number : 2 * number]
        w_a = y[2 * number :] if has_ema else rates.tau * w
        error = w_a - total * (w_p * w)
        out[:number] = rates.alpha_p * error * w - rates.eta * w_p
        out[number : 2 * number] = w_p * error - rates.eta * w
        if has_ema:
            out[2 * number :] = beta * (w - w_a)
        return out

    begin = np.concatenate((p, w, tau * w) if has_ema else (p, w))
    ys = solved(flow, begin, times, rtol=RTOL, atol=ATOL)
    if len(ys) < len(times) and number > 1:  # one that leaves the finite range must not take the others along
        halves = [
            _integrated(p[half], s[half], tau[half], rates.rows(half), times)
            for half in (slice(None, number // 2), slice(number // 2, None))
        ]
        return [
            States(*(np.concatenate(parts) for parts in zip(*pair, strict=True)))
            for pair in zip(*halves, strict=True)
        ]
    states = [_state(y, number, rates, has_ema) for y in ys]
    nothing = np.full(number, np.nan)
    return states + [States(nothing, nothing, nothing)] * (len(times) - len(states))


def _state(y: Floats, number: int, rates: Rates, has_ema: bool) -> States:
    w_p, w = y[:number], y[number : 2 * number]
    w_a = y[2 * number :] if has_ema else rates.tau * w
    return States(w_p, w * w, w_a * w)


def living(rates: Rates) -> Number:
    """S = α_p s of a mode that lives without decay, (τ / (1 + σ²))²; with an EMA τ ends at 1."""
    tau = rates.tau if rates.beta is None else 1.0
    return np.square(tau / rates.total)


# What the theory says


def critical_decay(tau: Number = 1.0, sigma: Number = 0.03) -> Any:
    """η_c = τ² / (4 (1 + σ²)): with more weight decay every mode collapses."""
    return np.square(tau) / (4 * (1 + np.square(sigma)))


def fixed_points(eta: Number, tau: Number = 1.0, sigma: Number = 0.03) -> tuple[Any, Any]:
    """p₋, unstable, and p₊, stable, on the parabola s = p²/α_p; NaN above the critical decay.

    p± = (τ ± √(τ² - 4 η (1 + σ²))) / (2 (1 + σ²)). β and α_p change neither.
    """
    total = 1 + np.square(sigma)
    root = np.square(tau) - 4 * np.asarray(eta, float) * total
    root = np.sqrt(np.where(root < 0, np.nan, root))
    return (tau - root) / (2 * total), (tau + root) / (2 * total)


def invariant(state: States, rates: Rates, time: float) -> Floats:
    """c = (s - p²/α_p) e^{2ηt}, which does not change in time (eq. 7)."""
    c: Floats = (state.s - np.square(state.p) / rates.alpha_p) * np.exp(2 * np.asarray(rates.eta) * time)
    return c


def closed_form_tau(times: Floats, s: Floats, *, tau: float, beta: float) -> Floats:
    """τ at `times` [K] from s at these times [K] alone.

        τ(t) = e^{-βt} s^{-1/2} (τ(0) s(0)^{1/2} + β ∫₀ᵗ s^{1/2} e^{βt'} dt')

    This is eq. 8 without its two conditions, τ(0) = 0 and c = 0. The integral is Simpson's over `times`.
    """
    from scipy.integrate import cumulative_simpson

    root = np.sqrt(s)
    integral = cumulative_simpson(root * np.exp(beta * times), x=times, initial=0)
    value: Floats = np.exp(-beta * times) / root * (tau * root[0] + beta * integral)
    return value


def separatrix(p: Floats, *, eta: float, tau: float = 1.0, sigma: float = 0.03) -> Floats:
    """S = α_p s on the edge of the collapse basin at each p: above it a mode lives, below it collapses.

    Without weight decay it is known in closed form; with it, it is the stable manifold of the saddle
    (p₋, p₋²), integrated backwards in time. Infinite where everything collapses. τ is fixed: no EMA.
    """
    p = np.asarray(p, float)
    total = 1 + sigma**2
    if eta == 0:
        least = np.where(p <= 0, np.square(p), np.maximum(np.square(p) - (tau / total) ** 2, 0.0))
        return np.asarray(least)
    if eta >= critical_decay(tau, sigma):
        return np.full(p.shape, np.inf)
    saddle = float(fixed_points(eta, tau, sigma)[0])
    out = np.empty(p.shape)
    for side in (-1, 1):
        beyond = (p <= saddle) if side < 0 else (p > saddle)
        if beyond.any():
            edge = p[beyond].min() if side < 0 else p[beyond].max()
            out[beyond] = _manifold(p[beyond], side, edge, saddle, eta=eta, tau=tau, total=total)
    return out


def _manifold(
    p: Floats, side: int, edge: float, saddle: float, *, eta: float, tau: float, total: float
) -> Floats:
    """S at `p` on the branch of the saddle's stable manifold towards lower (-1) or higher (1) p."""
    from scipy.integrate import solve_ivp

    def backwards(_: float, y: Floats) -> list[float]:
        here, log_s = y
        pull = tau - total * here
        return [-(np.exp(log_s) * pull - eta * here), -(2 * here * pull - 2 * eta)]

    def passed(_: float, y: Floats) -> float:
        return float(y[0] - edge)

    passed.terminal = True  # type: ignore[attr-defined]
    # The stable direction at the saddle: c = S - p² decays at 2η while p follows it,
    # dp = (c pull + unstable rate · (p - p₋)) with the rate below.
    pull = tau - total * saddle
    unstable = 2 * saddle * pull - total * saddle**2 - eta
    c = -side * 1e-7 * saddle**2
    step = -c * pull / (2 * eta + unstable)
    begin = [saddle + step, np.log((saddle + step) ** 2 + c)]
    if (begin[0] - edge) * side >= 0:
        return np.full(p.shape, saddle**2)
    # Its last, too long trial step may overflow before the solver shortens it.
    with np.errstate(over="ignore", invalid="ignore"):
        found = solve_ivp(
            backwards,
            (0, 100 / eta),
            begin,
            "DOP853",
            rtol=1e-11,
            atol=1e-12,
            events=passed,
            dense_output=True,
        )
    # When the branch passes each p, by bisection between the solver's steps: along it p is monotone.
    away = side * (found.y[0] - begin[0])
    wanted = np.clip(side * (p - begin[0]), 0, away[-1])
    after = np.clip(np.searchsorted(away, wanted), 1, len(away) - 1)
    low, high = found.t[after - 1], found.t[after]
    for _ in range(60):
        middle = (low + high) / 2
        beyond = side * (found.sol(middle)[0] - begin[0]) > wanted
        low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
    return np.asarray(np.exp(found.sol((low + high) / 2)[1]))


def kinds_of_flow(rates: Rates, number: int) -> tuple[Floats, NDArray[np.intp]]:
    """The different (η, τ, σ), [3, K], of `number` trajectories without EMA, and which each has, [N]."""
    rows = [np.broadcast_to(np.asarray(v, float), (number,)) for v in (rates.eta, rates.tau, rates.sigma)]
    kinds, kind = np.unique(np.stack(rows), axis=1, return_inverse=True)
    return kinds, kind.reshape(-1)


def separatrices(p: Floats, rates: Rates) -> Floats:
    """`separatrix` at each p [N] under rates of its own."""
    kinds, kind = kinds_of_flow(rates, len(p))
    out = np.empty(len(p))
    for index, (eta, tau, sigma) in enumerate(kinds.T):
        of = kind == index
        out[of] = separatrix(p[of], eta=eta, tau=tau, sigma=sigma)
    return out


def survives(p: Floats, s: Floats, rates: Rates) -> NDArray[np.bool_]:
    """Whether a mode that starts at (p, s), [N] each, does not collapse, by theory alone.

    Raises:
        ValueError: the target has an EMA: then the edge is not known in closed form.
    """
    if rates.beta is not None:
        raise ValueError("with EMA the edge of the basin is not known in closed form")
    p, s = np.asarray(p, float), np.asarray(s, float)
    alpha_p, eta, tau, sigma = (
        np.broadcast_to(np.asarray(v, float), p.shape)
        for v in (rates.alpha_p, rates.eta, rates.tau, rates.sigma)
    )
    scaled = alpha_p * s
    alive = scaled > separatrices(p, rates)
    # On the parabola the saddle itself is the edge: no interpolation, no rounding.
    unstable, _ = fixed_points(eta, tau, sigma)
    on_it = (np.abs(scaled - p * np.clip(p, None, 1e9)) <= SAME) & (eta > 0) & (p > 0)
    alive[on_it] = (p > unstable)[on_it]
    return alive & (scaled > 0)
