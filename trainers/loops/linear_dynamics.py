"""Linear BYOL as its differential equations, in continuous time or as SGD steps along them."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from trainers.attempt.folders import Folder
from trainers.attempt.report import EpochReport, Outcome, Report
from trainers.config.base import FieldError, Frozen, LoopConfig, Runtime
from trainers.config.lazy import torch
from trainers.dynamics import linear
from trainers.dynamics.linear import Flow, System
from trainers.dynamics.solver import Floats, first_passages
from trainers.measures.spectra import METRICS as EIGENSPACE
from trainers.measures.spectra import eigenspace, eigenspace_metrics
from trainers.randomness import derive

USES_GPU = False  # but the CPU alone, whatever there is
FIGURES = ("curves", "eigenspace", "spectra", "slope")
"""Kinds of figures that its trials can fill."""
METRICS = (
    *("train/loss", "dynamics/time", *EIGENSPACE),
    *("modes/alive", "modes/alive_share", "modes/largest", "modes/s"),
    *("target/tau", "target/correlation", "K/min", "balance/residual", "balance/law_error"),
)
"""What its trials may report at a time."""
FINAL_METRICS = ("modes/time_to_90", "K/min_over_time")
"""What they may report at their end alone."""
FINE = 1000  # further times, dense at the start, at which K and the largest eigenvalue of W_p are watched
WIDEST = 64  # beyond this n they are watched at the records alone: every state is kept in memory
ALIVE = 0.05
"""A mode is alive where its eigenvalue of W Wᵀ is above this share of what it is in a living one."""
MOST_STEPS = 2_000_000


class InitConfig(Frozen):
    """Where the matrices start: independent Gaussian entries."""

    std: float = Field(0.1, gt=0, le=100)
    """Standard deviation of the entries of W."""
    predictor_std: float | None = Field(None, ge=0, le=100)
    """The same of W_p; None: as W's."""
    target: Literal["copy", "zero", "independent"] = "copy"
    """W_a at the start: W itself, 0 as in the paper, or a draw of its own. Only with EMA."""


class Continuous(Frozen):
    """Continuous time, with error control."""

    kind: Literal["continuous"] = "continuous"
    """Continuous time."""
    rtol: float = Field(1e-8, gt=0)
    """Largest relative error of a step."""
    atol: float = Field(1e-10, gt=0)
    """Largest absolute error of a step."""


class Euler(Frozen):
    """SGD's own steps: forward Euler, with projection and EMA after each step."""

    kind: Literal["euler"] = "euler"
    """Steps of SGD."""
    step: float = Field(0.01, ge=1e-6)
    """The learning rate."""


class Config(LoopConfig):
    """Everything that decides one system (Tian et al. 2021, arXiv:2102.06810, §3)."""

    trainer: Literal["linear_dynamics"] = "linear_dynamics"
    size: int = Field(16, ge=1, le=128)
    """n: W, W_p and W_a are n × n."""
    data: tuple[Annotated[float, Field(ge=0, le=1e4)], ...] | None = Field(None, min_length=1)
    """Eigenvalues of X, n of them; None: all 1."""
    sigma: float = Field(0.03, ge=0, le=100)
    """Standard deviation σ of the augmentations: X' = σ² I."""
    noise: tuple[Annotated[float, Field(ge=0, le=1e4)], ...] | None = Field(None, min_length=1)
    """Eigenvalues of X', n of them; None: σ²."""
    alpha_p: float = Field(1.0, gt=0, le=1e4)
    """Learning rate α_p of the predictor over the encoder's."""
    eta: float = Field(0.04, ge=0, le=1e4)
    """Weight decay η of W."""
    eta_p: float | None = Field(None, ge=0, le=1e4)
    """Weight decay of W_p; None: η. Not multiplied by α_p: SGD's weight_decay would be η_p / α_p."""
    beta: float | None = Field(0.4, gt=0, le=1e4)
    """Rate β of the target's EMA; None: no EMA, W_a = τ W."""
    tau: float = Field(1.0, ge=0, le=1e4)
    """W_a = τ W where there is no EMA; with one it stays 1."""
    symmetric: bool = False
    """Whether W_p is kept symmetric."""
    predictor: bool = True
    """False: W_p is the identity and is not trained."""
    stop_gradient: bool = True
    """False: the gradient flows through both views, whose network is one."""
    init: InitConfig = InitConfig()
    """Where the matrices start."""
    solver: Annotated[Continuous | Euler, Field(discriminator="kind")] = Continuous()
    """How the equations are solved."""
    time: float = Field(200.0, gt=0, le=1e7)
    """Time t at the end."""
    records: int = Field(50, ge=1, le=1_000)
    """Times at which the state is measured."""

    @model_validator(mode="after")
    def _fits_together(self) -> Config:
        for name in ("data", "noise"):
            values = getattr(self, name)
            if values is not None and len(values) != self.size:
                message = f"expected {self.size} eigenvalues, one per dimension; got {len(values)}"
                raise FieldError(name, message)
        if isinstance(self.solver, Euler) and self.time / self.solver.step > MOST_STEPS:
            number = self.time / self.solver.step
            raise ValueError(
                f"solver: {number:.3g} steps; at most {MOST_STEPS}: take longer ones, or less time"
            )
        if not self.stop_gradient and (self.beta is not None or self.tau != 1):
            message = "without stop-gradient both views share one network: set beta to null and tau to 1"
            raise FieldError("stop_gradient", message)
        if self.beta is not None and self.tau != 1:
            message = f"got {self.tau:g}, expected 1: tau counts for nothing where there is a beta; "
            raise FieldError("tau", message + "remove tau or set beta to null")
        return self

    def flow(self) -> Flow:
        """Its rates."""
        ones = np.ones(self.size)
        return Flow(
            data=ones if self.data is None else np.array(self.data),
            noise=ones * self.sigma**2 if self.noise is None else np.array(self.noise),
            alpha_p=self.alpha_p,
            eta=self.eta,
            eta_p=self.eta if self.eta_p is None else self.eta_p,
            beta=self.beta,
            tau=self.tau,
            symmetric=self.symmetric,
            predictor=self.predictor,
            stop_gradient=self.stop_gradient,
        )


def start(config: Config) -> System:
    """The matrices at t = 0, [1, n, n] each; seeds that are equal draw equal W whatever else differs."""
    n, init = config.size, config.init

    def draw(purpose: str, std: float) -> Floats:
        rng = np.random.default_rng(derive(config.seed, "dynamics", purpose))
        return rng.normal(0.0, std, (1, n, n)) if std else np.zeros((1, n, n))

    w = draw("W", init.std)
    w_p = draw("W_p", init.std if init.predictor_std is None else init.predictor_std)
    if not config.predictor:
        w_p = np.eye(n)[None]
    elif config.symmetric:
        w_p = linear.symmetrised(w_p)
    if config.beta is None:
        w_a = config.tau * w
    else:
        w_a = {"copy": w, "zero": np.zeros_like(w), "independent": draw("W_a", init.std)}[init.target]
    return System(w, w_p, w_a)


def fit(config: Config, *, runtime: Runtime, folder: Folder | None, report: Report) -> Outcome:
    """Integrate the system and measure it as a trained trial is measured. Needs no checkpoint: seconds."""
    started = time.perf_counter()
    flow, begin = config.flow(), start(config)
    times = np.linspace(0.0, config.time, config.records + 1)
    every = times
    if config.size <= WIDEST:
        every = np.union1d(times, np.geomspace(1e-4 * config.time, config.time, FINE))
    if isinstance(config.solver, Euler):
        states = linear.stepped(begin, flow, every, step=config.solver.step)
    else:
        states = linear.flowed(begin, flow, every, rtol=config.solver.rtol, atol=config.solver.atol)
    first = linear.balance(begin, flow)
    final: dict[str, float] = {}
    for index, place in enumerate(np.searchsorted(every, times)):
        if place >= len(states):
            break
        final, arrays = _measured(config, flow, states[place], times[index], first)
        report(EpochReport(epoch=index, epochs=config.records, metrics=final, arrays=arrays))
    details: dict[str, Any] = {"wall_s": time.perf_counter() - started}
    if len(states) < len(every):
        reason = f"left the finite range after t = {every[max(len(states) - 1, 0)]:g}"
        return Outcome(status="diverged", reason=reason, details=details)
    if config.predictor:
        final = final | _watched(config, flow, every, states)
    if final["modes/alive"] == 0:
        strongest = final["modes/largest"]
        share = f"{ALIVE:g} of a living mode's {living(config):.2g}"
        reason = f"all {config.size} eigenvalues of W Wᵀ are below {share}; the largest is {strongest:.2g}"
        details["collapse"] = {"verdict": "total", "evidence": reason}
        return Outcome(status="collapsed", reason=reason, metrics=final, details=details)
    details["collapse"] = {"verdict": "none", "evidence": f"{final['modes/alive']:g} modes are alive"}
    return Outcome(status="completed", metrics=final, details=details)


def living(config: Config) -> float:
    """Eigenvalue of W Wᵀ in the strongest living mode without decay.

    (τ λ/(λ + λ'))² / α_p, by eigenvalues λ of X and λ' of X'; 1 without predictor, where nothing says how
    large a mode is.
    """
    if not config.predictor:
        return 1.0
    flow, tau = config.flow(), config.tau if config.beta is None else 1.0
    views = flow.data + flow.noise
    share = np.divide(flow.data, views, out=np.zeros_like(views), where=views > 0)
    return float(np.square(tau * share.max()) / config.alpha_p)


def _has_k(config: Config) -> bool:
    """Whether the theorem on K is about this system."""
    isotropic = config.data is None and config.noise is None
    return isotropic and config.predictor and config.stop_gradient


def _measured(
    config: Config, flow: Flow, state: System, moment: float, first: Floats
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """The metrics and spectra that a trained trial has, and what only theory knows."""
    f = torch.from_numpy(linear.correlation(state, flow)[0])
    w_p = torch.from_numpy(np.ascontiguousarray(state.w_p[0]))
    arrays = eigenspace(f, w_p)
    metrics = {"dynamics/time": float(moment), "train/loss": float(linear.loss(state, flow)[0])}
    metrics |= eigenspace_metrics(f, w_p, arrays)
    modes = np.linalg.eigvalsh(state.w[0] @ state.w[0].T)
    alive = modes > ALIVE * living(config)
    metrics |= {
        "modes/alive": float(alive.sum()),
        "modes/alive_share": float(alive.mean()),
        "modes/largest": float(modes[-1]),
        "target/tau": float(linear.proportion(state)[0]),
        "target/correlation": float(linear.target_correlation(state)[0]),
    }
    if alive.any():
        metrics["modes/s"] = float(modes[alive].mean())
    if _has_k(config):
        metrics["K/min"] = float(linear.alignment_rate(state, flow)[0])
    if config.predictor:
        kept, size = linear.balance(state, flow)[0], np.linalg.norm(first[0])
        whole = np.linalg.norm(state.w[0] @ state.w[0].T)
        if whole > 0:
            metrics["balance/residual"] = float(np.linalg.norm(kept) / whole)
        if config.eta_p in (None, config.eta) and not config.symmetric and config.stop_gradient and size > 0:
            # The law of eq. 3; a projected or doubly differentiated flow does not have it.
            expected = np.exp(-2 * config.eta * moment) * first[0]
            metrics["balance/law_error"] = float(np.linalg.norm(kept - expected) / size)
    return {name: value for name, value in metrics.items() if np.isfinite(value)}, arrays


def _watched(config: Config, flow: Flow, times: Floats, states: list[System]) -> dict[str, float]:
    """The least eigenvalue of K over time, and when W_p had almost grown."""
    together = System(*(np.concatenate(parts) for parts in zip(*states, strict=True)))
    largest = np.linalg.eigvals(together.w_p).real.max(axis=-1)
    found = {}
    if largest[-1] > 0:
        found["modes/time_to_90"] = float(first_passages(times, largest[:, None])[0])
    if _has_k(config):
        found["K/min_over_time"] = float(linear.alignment_rate(together, flow).min())
    return found
