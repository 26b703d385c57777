"""The per-mode system of linear BYOL over a grid of two parameters: a phase diagram, checked by theory."""

from __future__ import annotations

import time
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from trainers.attempt.folders import Folder
from trainers.attempt.report import EpochReport, Outcome, Report
from trainers.config.base import FieldError, LoopConfig, Runtime
from trainers.dynamics import per_mode, phase
from trainers.dynamics.per_mode import Rates, States
from trainers.dynamics.phase import GridAxis, Parameter
from trainers.dynamics.solver import Floats, first_passages

DRAWS = False
"""Nothing is drawn at random: one seed is as good as many."""
ALIVE = 1e-3
"""A mode is alive where α_p s is above this share of what it is in a living mode without decay."""
USES_GPU = False  # but the CPU alone, whatever there is
FIGURES = ("curves", "phase", "field")
"""Kinds of figures that its trials can fill."""
METRICS = (
    *("dynamics/time", "modes/alive_share", "modes/collapsed_share", "modes/p", "modes/s"),
    "invariant/error",
)
"""What its trials may report at a time."""
FINAL_METRICS = (
    *("modes/diverged_share", "modes/time_to_90", "boundary/disagreements", "boundary/agreement"),
    *("fixed_point/error", "tau/error"),
)
"""What they may report at their end alone."""
CHECKED = 16  # trajectories whose τ is compared with the closed form
FIELD = 21  # arrows of the vector field along each axis


class Config(LoopConfig):
    """The flow of p, s and τ (Tian et al. 2021, eq. 6), and the grid over which it is integrated."""

    trainer: Literal["modes"] = "modes"
    alpha_p: float = Field(1.0, gt=0, le=1e4)
    """Learning rate α_p of the predictor over the encoder's."""
    eta: float = Field(0.04, ge=0, le=1e4)
    """Weight decay η."""
    sigma: float = Field(0.03, ge=0, le=1e4)
    """Standard deviation σ of the augmentations; the data have covariance 1."""
    beta: float | None = Field(None, gt=0, le=1e4)
    """Rate β of the target's EMA; None: no EMA, τ is fixed."""
    tau: float = Field(1.0, gt=0, le=1e4)
    """τ = w_a / w without EMA; 1: the target is the online network. With EMA it stays 1."""
    tau0: float = Field(0.0, ge=0, le=1e4)
    """τ at the start, with EMA."""
    p0: float = Field(0.5, ge=-1e4, le=1e4)
    """Eigenvalue of W_p at the start."""
    s0: float | None = Field(None, ge=0, le=1e4)
    """Eigenvalue of F at the start; None: on the parabola, p0²/α_p."""
    x: GridAxis = GridAxis(of="p0", low=-1.0, high=2.0)
    """What varies from left to right."""
    y: GridAxis = GridAxis(of="s0", low=0.02, high=2.0)
    """What varies from bottom to top."""
    time: float = Field(200.0, gt=0, le=1e7)
    """Time t at the end."""
    records: int = Field(50, ge=1, le=1_000)
    """Times at which the grid is summarised."""

    @model_validator(mode="after")
    def _axes_can_be_crossed(self) -> Config:
        if self.x.of == self.y.of:
            raise FieldError("y", f"x and y both vary {self.x.of}; let one of them vary something else")
        for name, axis in (("x", self.x), ("y", self.y)):
            may_be_zero = axis.of in ("s0", "eta", "sigma")
            if axis.of != "p0" and (axis.low < 0 or (axis.low == 0 and not may_be_zero)):
                least = "0 or more" if may_be_zero else "above 0"
                raise FieldError(f"{name}.low", f"{axis.of} must be {least}, got {axis.low:g}")
            if axis.log and axis.low <= 0:
                message = f"a logarithmic axis of {axis.of} must start above 0, got {axis.low:g}"
                raise FieldError(f"{name}.low", message)
            if axis.of in self.model_fields_set:
                message = f"{axis.of} varies along {name}, so this value counts for nothing; remove one"
                raise FieldError(axis.of, message)
        varied = (self.x.of, self.y.of)
        if (self.beta is not None or "beta" in varied) and (self.tau != 1 or "tau" in varied):
            got = "an axis of tau" if "tau" in varied else f"{self.tau:g}"
            message = (
                f"got {got}, expected 1: tau counts for nothing where there is a beta; remove tau or beta"
            )
            raise FieldError("tau", message)
        return self

    @property
    def shape(self) -> tuple[int, int]:
        """Rows of y and columns of x."""
        return self.y.points, self.x.points

    def fixed(self) -> dict[Parameter, float | None]:
        """Values of the parameters off the grid."""
        return {
            "p0": self.p0, "s0": self.s0, "alpha_p": self.alpha_p, "eta": self.eta, "beta": self.beta,
            "tau": self.tau, "sigma": self.sigma,
        }  # fmt: skip


class _Summary:
    """What a grid comes to at each recorded time, taken in chunk by chunk."""

    def __init__(self, times: Floats) -> None:
        self.times = times
        self.alive, self.finite = np.zeros(len(times)), np.zeros(len(times))
        self.p, self.s = np.zeros(len(times)), np.zeros(len(times))
        self.drift = np.zeros(len(times))
        self.last: list[States] = []
        self.to_90: list[Floats] = []

    def add(self, states: list[States], rates: Rates) -> None:
        """Take in a chunk's states at every time."""
        start = per_mode.invariant(states[0], rates, 0.0)
        for index, (moment, state) in enumerate(zip(self.times, states, strict=True)):
            self.finite[index] += np.isfinite(state.s).sum()
            self.alive[index] += _alive(state, rates).sum()
            self.p[index] += np.nansum(state.p)
            self.s[index] += np.nansum(state.s)
            # Compared as s itself is: e^{2ηt} would blow its rounding up.
            now = state.s - np.square(state.p) / rates.alpha_p
            off = np.abs(now - start * np.exp(-2 * np.asarray(rates.eta) * moment))
            self.drift[index] = max(self.drift[index], np.nanmax(off, initial=0.0))
        self.last.append(states[-1])
        self.to_90.append(_first_passage(self.times, states))


def _alive(state: States, rates: Rates) -> np.ndarray:
    """Which modes live; one that left the finite range does not."""
    return np.asarray(rates.alpha_p * state.s > ALIVE * per_mode.living(rates))


def fit(config: Config, *, runtime: Runtime, folder: Folder | None, report: Report) -> Outcome:
    """Integrate every point of the grid and compare it with theory. Needs no checkpoint: seconds.

    Arrays of the last report: "phase/x <name>" [n], "phase/y <name>" [m]; final states "phase/p", "phase/s",
    "phase/scaled" (α_p s) and "phase/theory" (1 lives, 0 collapses) [m, n]; "phase/edge" [K, 2],
    "phase/critical" [1], and the "field/…" of the flow at fixed τ.
    """
    started = time.perf_counter()
    points = phase.starts(config.fixed(), config.x, config.y)
    times = np.linspace(0.0, config.time, config.records + 1)
    summary = _Summary(times)
    chunks = per_mode.trajectories(points.p, points.s, config.tau0, points.rates, times)
    for number, states in enumerate(chunks):
        rows = slice(number * per_mode.CHUNK, (number + 1) * per_mode.CHUNK)
        summary.add(states, points.rates.rows(rows))
    final = States(*(np.concatenate(parts) for parts in zip(*summary.last, strict=True)))
    theory = phase.by_theory(points, config.shape)
    total = len(points.p)

    for index, moment in enumerate(times):
        metrics = {
            "dynamics/time": float(moment),
            "modes/alive_share": summary.alive[index] / total,
            "modes/collapsed_share": (summary.finite[index] - summary.alive[index]) / total,
        }
        if summary.finite[index]:
            metrics["invariant/error"] = float(summary.drift[index])
            metrics["modes/p"] = summary.p[index] / summary.finite[index]
            metrics["modes/s"] = summary.s[index] / summary.finite[index]
        arrays = _arrays(config, points, final, theory) if index == config.records else {}
        report(EpochReport(epoch=index, epochs=config.records, metrics=metrics, arrays=arrays))

    details: dict[str, Any] = {"trajectories": total, "wall_s": time.perf_counter() - started}
    if not summary.finite[-1]:
        return Outcome(status="diverged", reason="no trajectory stayed finite", details=details)
    metrics |= {"modes/diverged_share": float(1 - summary.finite[-1] / total)}
    metrics |= _compared(config, points, final, theory) | _passage(np.concatenate(summary.to_90))
    if points.rates.beta is not None:
        metrics |= _tau_error(config, points)
    if metrics["modes/alive_share"] == 0:
        dead = int(summary.finite[-1])
        reason = f"all {total} modes collapsed by t = {config.time:g}"
        if dead < total:
            reason = f"no mode lives at t = {config.time:g}: {dead} collapsed, {total - dead} diverged"
        return Outcome(status="collapsed", reason=reason, metrics=metrics, details=details)
    return Outcome(status="completed", metrics=metrics, details=details)


def _compared(
    config: Config, points: phase.Starts, final: States, theory: np.ndarray | None
) -> dict[str, float]:
    """Simulation against theory: the basin, where there is no EMA, and the fixed point."""
    alive, finite = _alive(final, points.rates), np.isfinite(final.s)
    shape = config.shape
    found: dict[str, float] = {}
    if points.rates.beta is None and theory is not None:
        clear = phase.away_from_edge(theory) & finite.reshape(shape)
        wrong = (alive.reshape(shape) != theory) & finite.reshape(shape)
        found["boundary/disagreements"] = float(wrong.sum())
        if clear.any():
            found["boundary/agreement"] = 1 - float(wrong[clear].mean())
    eta = np.asarray(points.rates.eta)
    _, stable = per_mode.fixed_points(eta, points.rates.tau, points.rates.sigma)
    # A mode that starts on the edge lingers at the saddle: its end is not known yet.
    settled = phase.away_from_edge(alive.reshape(shape)).ravel()
    off = np.abs(final.p - stable)[alive & settled & (eta > 0)]
    if off.size and np.isfinite(off).any():
        found["fixed_point/error"] = float(np.nanmax(off))
    return found


def _first_passage(times: Floats, states: list[States]) -> Floats:
    """When p first reaches 90 % of its last value; NaN if it falls or dies."""
    p = np.stack([state.p for state in states])
    moment = first_passages(times, p)
    moment[(p[0] >= 0.9 * p[-1]) | ~(p[-1] > ALIVE)] = np.nan
    return moment


def _passage(moments: Floats) -> dict[str, float]:
    known = moments[np.isfinite(moments)]
    return {"modes/time_to_90": float(np.median(known))} if known.size else {}


def _tau_error(config: Config, points: phase.Starts) -> dict[str, float]:
    """Largest distance between the τ that was integrated and its closed form, over a few trajectories."""
    chosen = np.linspace(0, len(points.p) - 1, min(CHECKED, len(points.p))).astype(int)
    rates = points.rates.rows(chosen)
    betas = np.broadcast_to(np.asarray(rates.beta, float), len(chosen))
    # s must not yet have vanished: τ divides by it; and e^{βt} must be a number.
    horizon = min(config.time, 20.0, 700 / betas.max())
    times = np.linspace(0, horizon, 4001)
    (states,) = per_mode.trajectories(points.p[chosen], points.s[chosen], config.tau0, rates, times)
    s = np.stack([state.s for state in states])
    target = np.stack([state.target for state in states])
    off = [
        np.abs(
            per_mode.closed_form_tau(times, s[:, i], tau=config.tau0, beta=betas[i]) - target[:, i] / s[:, i]
        )
        for i in np.flatnonzero((s > 1e-3).all(axis=0))
    ]
    worst = float(np.max(off)) if off else np.nan
    return {"tau/error": worst} if np.isfinite(worst) else {}


def _arrays(
    config: Config, points: phase.Starts, final: States, theory: np.ndarray | None
) -> dict[str, np.ndarray]:
    fixed, shape = config.fixed(), config.shape
    return {
        f"phase/x {config.x.of}": config.x.values(),
        f"phase/y {config.y.of}": config.y.values(),
        "phase/p": final.p.reshape(shape),
        "phase/s": final.s.reshape(shape),
        "phase/scaled": (np.asarray(points.rates.alpha_p) * final.s).reshape(shape),
        "phase/theory": np.full(shape, np.nan) if theory is None else theory.astype(float),
        "phase/edge": phase.edge(fixed, config.x, config.y, theory),
        "phase/critical": np.array([phase.critical(fixed, config.x, config.y)]),
        "phase/ema": np.array([float(config.beta is not None or "beta" in (config.x.of, config.y.of))]),
        **_field(config),
    }


def _field(config: Config) -> dict[str, np.ndarray]:
    """The flow of (p, s) at fixed τ over a plane that holds its fixed points."""
    tau = config.tau if config.beta is None else 1.0
    total = 1 + config.sigma**2
    axes = {axis.of: axis.values() for axis in (config.x, config.y)}
    ps, ss = axes.get("p0"), axes.get("s0")
    left, right = (-0.5, 1.5 * tau / total) if ps is None else (float(ps[0]), float(ps[-1]))
    p = np.linspace(left, right, FIELD)
    top = 1.5 * (tau / total) ** 2 / config.alpha_p if ss is None else float(ss[-1])
    s = np.linspace(0, top, FIELD)
    here_p, here_s = np.meshgrid(p, s)
    pull = tau - total * here_p
    low, high = per_mode.fixed_points(config.eta, tau, config.sigma)
    return {
        "field/p": p,
        "field/s": s,
        "field/dp": config.alpha_p * here_s * pull - config.eta * here_p,
        "field/ds": 2 * here_p * here_s * pull - 2 * config.eta * here_s,
        "field/fixed": np.array([low, high], float),
        "field/alpha_p": np.array([config.alpha_p]),
    }
