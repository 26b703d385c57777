"""Laws of the matrix dynamics: the equations, what they conserve, and what collapses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from trainers.attempt.report import EpochReport, Outcome
from trainers.config.base import Runtime
from trainers.dynamics import linear, per_mode, solver
from trainers.dynamics.linear import Flow, System
from trainers.loops import linear_dynamics

SMALL: dict[str, Any] = {"size": 6, "records": 10, "init": {"std": 0.3}}


def fit(**settings: Any) -> tuple[Outcome, list[EpochReport]]:
    """A trial's outcome and everything it reported."""
    heard: list[EpochReport] = []
    config = linear_dynamics.Config.model_validate(SMALL | settings)
    return linear_dynamics.fit(config, runtime=Runtime(), folder=None, report=heard.append), heard


def start(number: int = 1, n: int = 5, *, seed: int = 0) -> System:
    """Random matrices."""
    rng = np.random.default_rng(seed)
    return System(*rng.normal(0, 0.4, (3, number, n, n)))


def flow(n: int = 5, **rates: Any) -> Flow:
    """A flow with unequal eigenvalues of X and X'."""
    rng = np.random.default_rng(7)
    return Flow(data=rng.uniform(0.5, 2, n), noise=rng.uniform(0.01, 0.5, n), **rates)


# The equations


def expected_loss(w: Any, w_p: Any, w_a: Any, f: Flow) -> Any:
    """½ E |W_p W x₁ - W_a x₂|², with E x₁ x₁ᵀ = X + X' and E x₁ x₂ᵀ = X, in torch."""
    data, noise = torch.tensor(f.data).diag(), torch.tensor(f.noise).diag()
    a, views = w_p @ w, data + noise
    return (
        torch.trace(a @ views @ a.T) / 2
        - torch.trace(a @ data @ w_a.T)
        + torch.trace(w_a @ views @ w_a.T) / 2
    )


@pytest.mark.parametrize("stop_gradient", [True, False])
def test_the_flow_is_gradient_descent_on_the_expected_loss(*, stop_gradient: bool) -> None:
    state, f = start(), flow(alpha_p=1.7, eta=0.03, eta_p=0.02, beta=None, stop_gradient=stop_gradient)
    w, w_p = (torch.tensor(part[0]).requires_grad_() for part in state[:2])
    expected_loss(w, w_p, w.detach() if stop_gradient else w, f).backward()
    found = linear.velocity(state, f)
    np.testing.assert_allclose(found.w[0], -w.grad.numpy() - 0.03 * state.w[0], atol=1e-12)  # type: ignore[union-attr]
    np.testing.assert_allclose(
        found.w_p[0],
        -1.7 * w_p.grad.numpy() - 0.02 * state.w_p[0],
        atol=1e-12,  # type: ignore[union-attr]
    )


def test_the_loss_is_what_sampled_views_cost_on_average() -> None:
    state, f = start(), flow(beta=0.4)
    rng = np.random.default_rng(3)
    x = rng.normal(size=(200_000, 5)) * np.sqrt(f.data)
    x1, x2 = (x + rng.normal(size=x.shape) * np.sqrt(f.noise) for _ in range(2))
    sampled = 0.5 * np.square(x1 @ (state.w_p[0] @ state.w[0]).T - x2 @ state.w_a[0].T).sum(axis=1)
    error = sampled.std() / np.sqrt(len(sampled))
    assert float(linear.loss(state, f)[0]) == pytest.approx(sampled.mean(), abs=5 * error)


def test_a_batch_of_systems_with_rates_of_their_own_is_each_system_alone() -> None:
    together = start(3)
    alpha_p = np.array([0.5, 1.0, 4.0])[:, None, None]
    (_, end) = linear.flowed(
        together, flow(alpha_p=alpha_p, beta=0.4), np.array([0.0, 5.0]), rtol=1e-10, atol=1e-12
    )
    for i in range(3):
        alone = System(*(part[i : i + 1] for part in together))
        (_, expected) = linear.flowed(
            alone,
            flow(alpha_p=float(alpha_p[i, 0, 0]), beta=0.4),
            np.array([0.0, 5.0]),
            rtol=1e-10,
            atol=1e-12,
        )
        for got, wanted in zip(end, expected, strict=True):
            np.testing.assert_allclose(got[i], wanted[0], atol=1e-8)


def test_matrices_that_share_an_eigenspace_follow_the_modes_one_by_one() -> None:
    rng = np.random.default_rng(1)
    u, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    p, s = np.array([0.2, 0.5, 0.9, -0.2]), np.array([0.3, 0.1, 0.8, 0.05])
    begin = System(((u * np.sqrt(s)) @ u.T)[None], ((u * p) @ u.T)[None], np.zeros((1, 4, 4)))
    f = Flow(np.ones(4), np.full(4, 0.0009), alpha_p=2.0, eta=0.04, eta_p=0.04, beta=0.4)
    end = linear.flowed(begin, f, np.array([0.0, 8.0]), rtol=1e-11, atol=1e-13)[-1]
    (states,) = per_mode.trajectories(
        p, s, 0.0, per_mode.Rates(2.0, 0.04, 0.03, 1.0, 0.4), np.array([0, 8.0])
    )
    found = u.T @ end.w_p[0] @ u
    np.testing.assert_allclose(found, np.diag(states[-1].p), atol=1e-8)
    np.testing.assert_allclose(u.T @ end.w[0] @ end.w[0].T @ u, np.diag(states[-1].s), atol=1e-8)


def test_steps_of_sgd_converge_to_the_flow_at_first_order() -> None:
    begin, f, times = start(), flow(beta=0.4, alpha_p=1.5), np.array([0.0, 4.0])
    exact = linear.flowed(begin, f, times, rtol=1e-11, atol=1e-13)[-1]
    errors = [
        max(
            float(np.abs(a - b).max())
            for a, b in zip(linear.stepped(begin, f, times, step=h)[-1], exact, strict=True)
        )
        for h in (0.02, 0.01, 0.005)
    ]
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.15)
    assert errors[1] / errors[2] == pytest.approx(2, abs=0.15)


def test_a_step_is_sgds_with_projection_and_then_the_ema_of_the_new_weights() -> None:
    begin, h = start(), 0.1
    f = flow(symmetric=True, beta=0.5, alpha_p=2.0, eta=0.1, eta_p=0.3)
    after = linear.stepped(begin, f, np.array([h]), step=h)[0]
    w, w_p = (torch.tensor(part[0]).requires_grad_() for part in begin[:2])
    expected_loss(w, w_p, torch.tensor(begin.w_a[0]), f).backward()
    optimizer = torch.optim.SGD(
        [
            {"params": [w], "lr": h, "weight_decay": 0.1},
            {"params": [w_p], "lr": 2 * h, "weight_decay": 0.3 / 2},
        ]
    )
    optimizer.step()
    np.testing.assert_allclose(after.w[0], w.detach().numpy(), atol=1e-12)
    new = w_p.detach().numpy()
    np.testing.assert_allclose(after.w_p[0], (new + new.T) / 2, atol=1e-12)
    np.testing.assert_allclose(after.w_a[0], 0.95 * begin.w_a[0] + 0.05 * after.w[0], atol=1e-12)


# What is conserved


@pytest.mark.parametrize("eta", [0.0, 0.04])
@pytest.mark.parametrize("beta", [None, 0.4])
def test_the_balance_decays_at_twice_the_decay_whatever_data_and_target_are(
    eta: float, beta: float | None
) -> None:
    begin = start()
    f = flow(alpha_p=3.0, eta=eta, eta_p=eta, beta=beta)
    for time, state in zip(
        (0.0, 3.0, 9.0), linear.flowed(begin, f, np.array([0, 3.0, 9.0]), rtol=1e-11, atol=1e-13), strict=True
    ):
        np.testing.assert_allclose(
            linear.balance(state, f), np.exp(-2 * eta * time) * linear.balance(begin, f), atol=1e-9
        )


def test_the_skew_part_of_the_predictor_vanishes_if_and_only_if_there_is_decay() -> None:
    kept, gone = (fit(eta=eta, beta=None, time=400)[0].metrics["Wp/asymmetry_fro"] for eta in (0.0, 0.04))
    assert kept > 0.05 and gone < 1e-4


def test_a_symmetric_predictor_stays_exactly_symmetric() -> None:
    for steps in ({"kind": "continuous"}, {"kind": "euler", "step": 0.05}):
        _, heard = fit(symmetric=True, solver=steps, time=20)
        assert {report.metrics["Wp/asymmetry_l1"] for report in heard} == {0.0}


@pytest.mark.parametrize("eta_p", [0.05, 0.3])
def test_the_commutator_follows_k_along_the_symmetric_flow(eta_p: float) -> None:
    # dL/dt = -L K - K L, by a central difference, for symmetric W and W_p and W_a = τ W.
    rng = np.random.default_rng(2)
    w, w_p = (linear.symmetrised(rng.normal(0, 0.4, (1, 5, 5))) for _ in range(2))
    f = Flow(
        np.ones(5), np.full(5, 0.2), alpha_p=1.3, eta=0.05, eta_p=eta_p, beta=None, tau=0.8, symmetric=True
    )
    h = 1e-5

    def commutator(state: System) -> Any:
        g = state.w @ linear.transposed(state.w)
        return (g @ state.w_p - state.w_p @ g)[0]

    begin = System(w, w_p, 0.8 * w)
    states = linear.flowed(begin, f, np.array([0, h, 2 * h]), rtol=1e-12, atol=1e-14)
    slope = (commutator(states[2]) - commutator(states[0])) / (2 * h)
    middle = states[1]
    g, p = (middle.w @ linear.transposed(middle.w))[0], middle.w_p[0]
    k = 1.2 * (1.3 / 2 * g + p @ p) - 0.8 * p + (0.05 + eta_p / 2) * np.eye(5)
    left = commutator(middle)
    np.testing.assert_allclose(slope, -left @ k - k @ left, atol=1e-6)
    assert float(linear.alignment_rate(middle, f)[0]) == pytest.approx(np.linalg.eigvalsh(k)[0], abs=1e-9)


# Ends


@pytest.mark.parametrize("eta", [0.01, 0.1, 0.2])
def test_living_modes_end_at_the_stable_point(eta: float) -> None:
    outcome, _ = fit(eta=eta, beta=None, time=1000)
    assert outcome.metrics["Wp/max"] == pytest.approx(float(per_mode.fixed_points(eta)[1]), abs=1e-6)
    assert outcome.metrics["modes/s"] == pytest.approx(outcome.metrics["Wp/max"] ** 2, abs=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"predictor": False},
        {"stop_gradient": False, "sigma": 0.5},
        {"eta": 0.3},
        {"eta": 0.3, "symmetric": True},
    ],
)
def test_what_must_collapse_does(settings: dict[str, Any]) -> None:
    for seed in range(3):
        outcome, _ = fit(beta=None, time=400, seed=seed, **settings)
        assert outcome.status == "collapsed" and outcome.metrics["modes/alive"] == 0
        assert "W Wᵀ" in (outcome.reason or "")


@pytest.mark.parametrize(
    "settings", [{}, {"symmetric": True}, {"beta": 0.4}, {"alpha_p": 10.0, "symmetric": True}]
)
def test_what_must_not_collapse_does_not(settings: dict[str, Any]) -> None:
    # Symmetric and without EMA: networks collapse there, this system does not, and no test may ask it to.
    for seed in range(3):
        outcome, _ = fit(
            **({"beta": None, "time": 200, "size": 16, "init": {"std": 0.1}, "seed": seed} | settings)
        )
        assert outcome.status == "completed" and 8 <= outcome.metrics["modes/alive"] <= 16


@pytest.mark.parametrize("settings", [{"alpha_p": 20.0}, {"alpha_p": 1000.0}, {"sigma": 2.0, "eta": 0.001}])
def test_a_living_system_with_small_features_has_not_collapsed(settings: dict[str, Any]) -> None:
    # s = p₊²/α_p is small where α_p is large, and p₊ where the augmentations are strong.
    outcome, _ = fit(**({"beta": None, "symmetric": True, "time": 400} | settings))
    assert outcome.status == "completed" and outcome.metrics["modes/alive"] >= 3


@pytest.mark.parametrize(
    "settings",
    [{"eta": 1e4}, {"init": {"std": 100.0}, "time": 1e6}, {"alpha_p": 1e4, "init": {"std": 100.0}}],
)
def test_a_flow_too_fast_for_its_solver_is_given_up_in_one_line(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(solver, "MOST_EVALUATIONS", 2000)
    with pytest.raises(ValueError, match=r"too stiff: t = .* lower the rates"):
        fit(**settings)


@pytest.mark.parametrize(("settings", "rises"), [({"beta": 0.1}, 1), ({"beta": 0.4}, 0), ({"beta": 2.0}, -1)])
def test_matrices_take_longer_under_a_slower_target(settings: dict[str, Any], rises: int) -> None:
    def passage(**changes: Any) -> float:
        return fit(size=16, init={"std": 0.1, "target": "zero"}, **changes)[0].metrics["modes/time_to_90"]

    assert np.sign(passage(**settings) - passage(beta=0.4)) == rises


def test_decay_of_the_predictor_alone_keeps_it_alive_without_ema_and_features_grow() -> None:
    # No finite fixed point: s grows at 2 η_p p*²/α_p (methods.md: predicted 15.9 at t = 200, got 16.4).
    outcome, _ = fit(eta=0.0, eta_p=0.04, beta=None, symmetric=True, time=200, size=16, init={"std": 0.1})
    assert outcome.metrics["modes/largest"] == pytest.approx(2 * 0.04 * 200, rel=0.1)


def test_unequal_data_end_where_the_regression_says() -> None:
    # Without decay W_p W = W X (X + X')⁻¹ at rest.
    begin, f = start(), flow(eta=0.0, eta_p=0.0, beta=1.0)
    end = linear.flowed(begin, f, np.array([0, 2000.0]), rtol=1e-10, atol=1e-12)[-1]
    np.testing.assert_allclose(end.w_p @ end.w, end.w * f.data / (f.data + f.noise), atol=1e-5)
    assert np.abs(end.w).max() > 0.1


def test_a_step_that_is_too_long_diverges_and_is_told_with_its_time() -> None:
    outcome, heard = fit(solver={"kind": "euler", "step": 9.0})
    assert outcome.status == "diverged" and "t = " in (outcome.reason or "")
    assert all(np.isfinite(list(report.metrics.values())).all() for report in heard)


def test_seeds_that_are_equal_start_from_one_w_whatever_else_differs() -> None:
    starts = [
        linear_dynamics.start(linear_dynamics.Config.model_validate(SMALL | changes))
        for changes in (
            {},
            {"eta": 0.2},
            {"symmetric": True},
            {"init": {"std": 0.3, "target": "independent"}},
        )
    ]
    assert all(np.array_equal(one.w, starts[0].w) for one in starts)
    assert np.array_equal(starts[2].w_p, linear.symmetrised(starts[0].w_p))
    assert not np.array_equal(starts[3].w_a, starts[3].w)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data": [1.0, 2.0]}, "expected 6 eigenvalues, one per dimension; got 2"),
        ({"noise": [-1.0] * 6}, "greater than or equal to 0"),
        ({"solver": {"kind": "euler", "step": 1e-6}}, "2e\\+08 steps; at most 2000000"),
        ({"stop_gradient": False}, "set beta to null and tau to 1"),
        ({"tau": 0.5}, "tau counts for nothing where there is a beta; remove tau or set beta to null"),
    ],
)
def test_systems_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        linear_dynamics.Config.model_validate(SMALL | settings)
