"""Linear BYOL: the flow of W, W_p and W_a, and the steps that SGD takes along it. NumPy, float64, batched.

With x₁, x₂ two views of one sample, X = E[x̄ x̄ᵀ] the covariance of the data and X' = E Cov[x'|x] that of the
augmentations, gradient descent on ½ E |W_p W x₁ - StopGrad(W_a x₂)|² is

    dW_p/dt = α_p G Wᵀ - η_p W_p          G = W_a X - W_p W (X + X')
    dW/dt   = W_pᵀ G - η W
    dW_a/dt = β (W - W_a)                 or W_a = τ W

(Tian et al. 2021, arXiv:2102.06810, §3; the theory notes print W W_p where it must be W_p W.) Without
stop-gradient W_a is W and the second view gives a gradient, too; without predictor W_p is the identity.
Matrices are [B, n, n] for B systems side by side; a rate is a number or [B, 1, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from trainers.dynamics.solver import Floats, solved

Rate = float | Floats
LIMIT = 1e60


class Flow(NamedTuple):
    """What decides the flow."""

    data: Floats
    """Eigenvalues of X, [n]: the data are laid along its axes."""
    noise: Floats
    """Eigenvalues of X', [n]."""
    alpha_p: Rate = 1.0
    eta: Rate = 0.04
    eta_p: Rate = 0.04
    beta: Rate | None = 0.4
    """None: no EMA, W_a = τ W."""
    tau: Rate = 1.0
    symmetric: bool = False
    """Whether the flow of W_p is projected onto symmetric matrices."""
    predictor: bool = True
    stop_gradient: bool = True


class System(NamedTuple):
    """A state; each [B, n, n]."""

    w: Floats
    w_p: Floats
    w_a: Floats

    @property
    def finite(self) -> bool:
        """Whether every number is, with room for products of a few of them."""
        return all(bool((np.abs(part) < LIMIT).all()) for part in self)


def transposed(a: Floats) -> Floats:
    """Every matrix of the batch transposed."""
    return np.swapaxes(a, -1, -2)


def symmetrised(a: Floats) -> Floats:
    """(A + Aᵀ) / 2."""
    return (a + transposed(a)) / 2


def velocity(state: System, flow: Flow) -> System:
    """dW, dW_p and dW_a by dt; dW_a is zero where the target has no EMA."""
    w, w_p, w_a = state
    if flow.beta is None:
        w_a = flow.tau * w
    views = flow.data + flow.noise
    # X and X' are diagonal: to multiply by one is to scale columns.
    predicted = w_p @ w
    error = w_a * flow.data - predicted * views
    dw = transposed(w_p) @ error - flow.eta * w
    if not flow.stop_gradient:
        dw = dw + (predicted * flow.data - w * views)
    if not flow.predictor:
        dw_p = np.zeros_like(w_p)
    else:
        dw_p = flow.alpha_p * (error @ transposed(w)) - flow.eta_p * w_p
        if flow.symmetric:
            dw_p = symmetrised(dw_p)
    dw_a = np.zeros_like(w) if flow.beta is None else flow.beta * (w - w_a)
    return System(dw, dw_p, dw_a)


def flowed(start: System, flow: Flow, times: Floats, *, rtol: float, atol: float) -> list[System]:
    """The states at `times` in continuous time; fewer than `times` where they leave the finite range."""
    shape = start.w.shape

    def derivative(y: Floats) -> Floats:
        return _flat(velocity(_system(y, shape, flow), flow), flow)

    ys = solved(derivative, _flat(start, flow), times, rtol=rtol, atol=atol)
    return _while_finite([_system(y, shape, flow) for y in ys])


def stepped(start: System, flow: Flow, times: Floats, *, step: float) -> list[System]:
    """The states at `times` as SGD takes them: steps of `step`, the target's EMA after each, of the new W.

    W_p is made symmetric after each step, before the EMA, as a trial does it. Times are met to the nearest
    step. Fewer states than `times` where they leave the finite range.
    """
    state, taken = start, 0
    states = []
    with np.errstate(over="ignore", invalid="ignore"):
        for moment in times:
            for _ in range(round(moment / step) - taken):
                state = _step(state, flow, step)
                taken += 1
            if not state.finite:
                break
            states.append(state)
    return states


def _step(state: System, flow: Flow, step: float) -> System:
    dw, dw_p, _ = velocity(state, flow._replace(symmetric=False))
    w, w_p = state.w + step * dw, state.w_p + step * dw_p
    if flow.symmetric and flow.predictor:
        w_p = symmetrised(w_p)
    w_a = flow.tau * w if flow.beta is None else state.w_a + step * flow.beta * (w - state.w_a)
    return System(w, w_p, np.broadcast_to(w_a, w.shape))


def loss(state: System, flow: Flow) -> Floats:
    """½ E |W_p W x₁ - W_a x₂|², [B]."""
    views = flow.data + flow.noise
    predicted = state.w_p @ state.w
    energy = ((np.square(predicted) + np.square(state.w_a)) * views).sum(axis=(-2, -1)) / 2
    return np.asarray(energy - (predicted * flow.data * state.w_a).sum(axis=(-2, -1)))


def correlation(state: System, flow: Flow) -> Floats:
    """F = E f fᵀ = W (X + X') Wᵀ of one view's embeddings f = W x₁, [B, n, n]: what a trial measures."""
    return np.asarray((state.w * (flow.data + flow.noise)) @ transposed(state.w))


def balance(state: System, flow: Flow) -> Floats:
    """W Wᵀ - W_pᵀ W_p / α_p, [B, n, n]; along the flow it is e^{-2ηt} times its start (eq. 3).

    Whatever X, X' and W_a are, if η_p = η and W_p is not projected.
    """
    return np.asarray(state.w @ transposed(state.w) - transposed(state.w_p) @ state.w_p / flow.alpha_p)


def alignment_rate(state: System, flow: Flow) -> Floats:
    """Least eigenvalue of K, [B]: while it is positive, the commutator of W_p and F = W Wᵀ shrinks.

        K = (1 + σ²) (α_p/2 F + W_p² - τ/(1 + σ²) W_p) + (η + η_p/2) I

    with dL/dt = -L K - K L for L = [F, W_p] (Tian et al., Theorem 3), for data of covariance I and W_a = τ W;
    τ is tr(W_aᵀ W) / |W|², and W_p is taken by its symmetric part. The paper's 3/2 η is for η_p = η.
    """
    f, w_p = state.w @ transposed(state.w), symmetrised(state.w_p)
    total = 1 + flow.noise[0]
    tau = proportion(state)[:, None, None]
    identity = np.eye(f.shape[-1])
    k = total * (flow.alpha_p / 2 * f + w_p @ w_p) - tau * w_p + (flow.eta + flow.eta_p / 2) * identity
    return np.asarray(np.linalg.eigvalsh(k)[..., 0])


def proportion(state: System) -> Floats:
    """τ of W_a ≈ τ W by least squares, tr(W_aᵀ W) / |W|², [B]; 0 where W vanished."""
    size = np.square(state.w).sum(axis=(-2, -1))
    inner = (state.w * state.w_a).sum(axis=(-2, -1))
    return np.asarray(np.divide(inner, size, out=np.zeros_like(size), where=size > 0))


def target_correlation(state: System) -> Floats:
    """Cosine of W_a and W as vectors, [B]; 0 where one of them vanished."""
    sizes = np.linalg.norm(state.w, axis=(-2, -1)) * np.linalg.norm(state.w_a, axis=(-2, -1))
    inner = (state.w * state.w_a).sum(axis=(-2, -1))
    return np.asarray(np.divide(inner, sizes, out=np.zeros_like(sizes), where=sizes > 0))


def _flat(state: System, flow: Flow) -> Floats:
    parts: Sequence[Floats] = state if flow.beta is not None else state[:2]
    return np.concatenate([part.ravel() for part in parts])


def _system(y: Floats, shape: tuple[int, ...], flow: Flow) -> System:
    parts: list[Any] = [part.reshape(shape) for part in np.split(y, 3 if flow.beta is not None else 2)]
    if flow.beta is None:
        parts.append(flow.tau * parts[0])
    return System(*parts)


def _while_finite(states: list[System]) -> list[System]:
    finite = []
    for state in states:
        if not state.finite:
            break
        finite.append(state)
    return finite
