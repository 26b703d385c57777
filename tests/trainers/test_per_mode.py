"""Laws of one mode: what theory says in closed form, and that the simulation agrees with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.integrate import solve_ivp

from trainers.attempt.report import EpochReport, Outcome
from trainers.config.base import Runtime
from trainers.dynamics import per_mode, phase, solver
from trainers.dynamics.per_mode import Rates, States
from trainers.dynamics.phase import GridAxis
from trainers.loops import modes


def run(p: Any, s: Any, rates: Rates, times: Any, tau: float = 0.0) -> list[States]:
    """States of a few trajectories at `times`."""
    (states,) = per_mode.trajectories(np.atleast_1d(p), np.atleast_1d(s), tau, rates, np.array(times, float))
    return states


def fit(**settings: Any) -> tuple[Outcome, list[EpochReport]]:
    """A trial's outcome and everything it reported."""
    heard: list[EpochReport] = []
    config = modes.Config.model_validate(settings)
    return modes.fit(config, runtime=Runtime(), folder=None, report=heard.append), heard


GRID_P = {"of": "p0", "low": -1, "high": 2, "points": 20}
GRID_S = {"of": "s0", "low": 0.01, "high": 2, "points": 20}

# Closed forms. The numbers are methods.md's regression values, σ = 0.03 and τ = 1.


@pytest.mark.parametrize(
    ("eta", "unstable", "stable"),
    [
        (0.01, 0.0101021, 0.9889987),
        (0.04, 0.0417441, 0.9573567),
        (0.1, 0.1127164, 0.8863844),
        (0.2, 0.2765472, 0.7225536),
    ],
)
def test_the_fixed_points_are_the_roots_of_the_flow_on_the_parabola(
    eta: float, unstable: float, stable: float
) -> None:
    low, high = per_mode.fixed_points(eta)
    assert (round(float(low), 7), round(float(high), 7)) == (unstable, stable)
    for p in (low, high):
        assert p**2 * (1 - 1.0009 * p) - eta * p == pytest.approx(0, abs=1e-15)


def test_beyond_the_critical_decay_there_is_no_fixed_point_and_everything_collapses() -> None:
    assert round(float(per_mode.critical_decay()), 7) == 0.2497752
    assert np.isnan(per_mode.fixed_points(0.25)).all()
    outcome, _ = fit(eta=0.26, time=500, x=GRID_P, y=GRID_S)
    assert outcome.status == "collapsed" and outcome.metrics["modes/alive_share"] == 0


def test_the_edge_of_the_basin_on_the_parabola_is_the_unstable_point() -> None:
    rates = Rates(eta=0.04)
    ends = [run(p, p * p, rates, [0, 400])[-1].p[0] for p in (0.0409, 0.0426)]
    assert ends[0] == pytest.approx(0, abs=1e-5) and ends[1] == pytest.approx(0.9573567, abs=1e-6)


@pytest.mark.parametrize(
    ("alpha_p", "end"), [(0.2, 3.791), (0.5, 1.546), (1, 0.7982), (2, 0.4241), (5, 0.1996), (10, 0.1248)]
)
def test_without_decay_a_mode_ends_where_its_invariant_says(alpha_p: float, end: float) -> None:
    found = run(0.5, 0.05, Rates(alpha_p=alpha_p, eta=0.0), [0, 2000])[-1].s[0]
    assert found == pytest.approx(0.05 + (1 / 1.0009**2 - 0.25) / alpha_p, abs=1e-8)
    assert found == pytest.approx(end, abs=6e-4)


@pytest.mark.parametrize("alpha_p", [0.2, 0.5, 1, 2, 10])
def test_without_decay_a_negative_start_lives_only_above_its_parabola(alpha_p: float) -> None:
    end = run(-0.5, 0.05, Rates(alpha_p=alpha_p, eta=0.0), [0, 2000])[-1].s[0]
    assert (end > 1e-3) == (alpha_p == 10)  # α_p s(0) = 0.5 is above p(0)² = 0.25 there alone


# Simulation


def flow(alpha_p: float, eta: float, sigma: float, beta: float) -> Any:
    """The equations in the variables of the paper, p, s and τ."""

    def derivative(_: float, y: Any) -> list[float]:
        p, s, tau = y
        pull = tau - (1 + sigma**2) * p
        ds = 2 * p * s * pull - 2 * eta * s
        return [alpha_p * s * pull - eta * p, ds, beta * (1 - tau) - tau * ds / (2 * s)]

    return derivative


@pytest.mark.parametrize("alpha_p", [0.5, 3.0])
def test_the_integrated_variables_obey_the_papers_equations(alpha_p: float) -> None:
    times = np.linspace(0, 20, 5)
    states = run(0.4, 0.3, Rates(alpha_p, 0.04, 0.03, 1.0, 0.4), times, tau=0.2)
    exact = solve_ivp(
        flow(alpha_p, 0.04, 0.03, 0.4), (0, 20), [0.4, 0.3, 0.2], "DOP853", times, rtol=1e-12, atol=1e-13
    ).y.T
    for state, (p, s, tau) in zip(states, exact, strict=True):
        found = state.p[0], state.s[0], state.target[0] / state.s[0]
        assert found == pytest.approx((p, s, tau), abs=1e-9)


@pytest.mark.parametrize("beta", [None, 0.4])
def test_every_trajectory_of_a_batch_is_as_exact_as_one_alone(beta: float | None) -> None:
    rng = np.random.default_rng(0)
    p, s = rng.uniform(-1, 2, 3000), rng.uniform(0.01, 2, 3000)
    eta = rng.uniform(0, 0.3, 3000)
    final = run(p, s, Rates(1.0, eta, 0.03, 1.0, beta), [0, 100])[-1]
    for i in range(0, 3000, 300):

        def alone(_: float, y: Any, eta: float = float(eta[i])) -> list[float]:
            w_p, w, w_a = y
            w_a = w if beta is None else w_a
            error = w_a - 1.0009 * w_p * w
            return [error * w - eta * w_p, w_p * error - eta * w, (beta or 0.0) * (w - w_a)]

        exact = solve_ivp(alone, (0, 100), [p[i], s[i] ** 0.5, 0.0], "DOP853", rtol=1e-13, atol=1e-15).y[
            :, -1
        ]
        assert final.p[i] == pytest.approx(exact[0], abs=1e-8)
        assert final.s[i] == pytest.approx(exact[1] ** 2, abs=1e-8)


@pytest.mark.parametrize("beta", [None, 0.4])
@pytest.mark.parametrize("eta", [0.0, 0.04, 0.3])
def test_the_invariant_of_equation_7_does_not_move(eta: float, beta: float | None) -> None:
    rng = np.random.default_rng(1)
    p, s = rng.uniform(-1, 2, 50), rng.uniform(0.01, 2, 50)
    rates, times = Rates(2.0, eta, 0.03, 1.0, beta), np.linspace(0, 30, 7)
    states = run(p, s, rates, times, tau=0.5)
    start = per_mode.invariant(states[0], rates, 0.0)
    np.testing.assert_allclose(start, s - p * p / 2)
    for time, state in zip(times, states, strict=True):
        kept = state.s - state.p**2 / 2
        np.testing.assert_allclose(kept, start * np.exp(-2 * eta * time), atol=1e-9)


@pytest.mark.parametrize(("start", "off"), [(0.25, 0.0), (0.55, 0.3)])
def test_tau_has_its_closed_form_on_the_parabola_and_off_it(start: float, off: float) -> None:
    times = np.linspace(0, 10, 2001)
    states = run(0.5, start, Rates(1.0, 0.04, 0.03, 1.0, 0.4), times, tau=0.0)
    s = np.array([state.s[0] for state in states])
    tau = np.array([state.target[0] for state in states]) / s
    closed = per_mode.closed_form_tau(times, s, tau=0.0, beta=0.4)
    np.testing.assert_allclose(closed, tau, atol=1e-7)
    p = np.array([state.p[0] for state in states])
    printed = per_mode.closed_form_tau(times, p**2, tau=0.0, beta=0.4)  # eq. 8, which assumes s = p²/α_p
    assert (np.abs(printed - tau).max() < 1e-7) == (off == 0.0)


def test_a_slower_target_takes_longer_to_ninety_percent() -> None:
    passages = [
        fit(beta=beta, x=POINT_P, y=POINT_S, time=400, records=400)[0].metrics["modes/time_to_90"]
        for beta in (2.0, 0.4, 0.1)
    ]
    assert passages[0] < passages[1] < passages[2]


POINT_P = {"of": "p0", "low": 0.3, "high": 0.3, "points": 1}
POINT_S = {"of": "s0", "low": 0.09, "high": 0.09, "points": 1}


def test_a_trajectory_that_leaves_the_finite_range_is_nan_and_takes_no_other_along() -> None:
    final = run([0.5, 1e200], [0.09, 0.09], Rates(), [0, 200])[-1]
    assert final.p[0] == pytest.approx(0.9573567, abs=1e-6) and np.isnan(final.p[1])


def test_diverged_modes_are_neither_alive_nor_collapsed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = modes.phase.starts

    def with_one_lost(*given: Any) -> phase.Starts:
        found = real(*given)
        found.p[0] = 1e200
        return found

    monkeypatch.setattr(modes.phase, "starts", with_one_lost)
    axes = {"x": GRID_P | {"points": 2, "low": 0.5}, "y": GRID_S | {"points": 2, "low": 0.5}}
    living, _ = fit(**axes)
    assert living.status == "completed" and living.metrics["modes/diverged_share"] == 0.25
    assert living.metrics["modes/alive_share"] == 0.75 and living.metrics["modes/collapsed_share"] == 0
    dead, _ = fit(eta=0.3, **axes)
    assert dead.status == "collapsed" and "3 collapsed, 1 diverged" in (dead.reason or "")
    lost, heard = fit(x=POINT_P, y=POINT_S)
    assert lost.status == "diverged" and "finite" in (lost.reason or "")
    assert "invariant/error" not in heard[-1].metrics  # 0 would say that it was kept


@pytest.mark.slow
def test_a_small_target_makes_small_modes_and_no_collapse() -> None:
    outcome, _ = fit(tau=0.03, eta=0.0, time=40_000, x=GRID_P | {"points": 5}, y=GRID_S | {"points": 5})
    assert outcome.metrics["boundary/agreement"] == 1 and outcome.status == "completed"


@pytest.mark.parametrize("settings", [{"eta": 1e4}, {"beta": 1e4, "time": 1e4}])
def test_a_flow_too_fast_for_its_solver_is_given_up_in_one_line(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(solver, "MOST_EVALUATIONS", 2000)
    with pytest.raises(ValueError, match=r"too stiff: t = .* lower the rates"):
        fit(**settings)


def test_the_separatrix_is_exact_however_far_away_and_whatever_stands_beside_it() -> None:
    p = np.array([-10.0, -1.0, 1.5, 8.0])
    found = per_mode.separatrix(p, eta=0.04)
    for i in range(4):
        assert per_mode.separatrix(p[i : i + 1], eta=0.04)[0] == pytest.approx(found[i], rel=1e-6)
        for share, lives in ((0.999, False), (1.001, True)):
            s = np.array([found[i] * share])
            assert (run(p[i], s, Rates(eta=0.04), [0, 600])[-1].s[0] > 1e-3) == lives


def test_where_every_point_has_a_flow_of_its_own_no_theory_is_claimed() -> None:
    axes = {
        "x": {"of": "eta", "low": 0.01, "high": 0.3, "points": 40},
        "y": {"of": "sigma", "low": 0, "high": 1, "points": 40},
    }
    outcome, heard = fit(time=20, records=2, **axes)
    assert "boundary/agreement" not in outcome.metrics and len(heard[-1].arrays["phase/edge"]) == 0


# Phase diagrams: each check of theory by simulation is one of simulation by theory


@pytest.mark.slow
@pytest.mark.parametrize("alpha_p", [0.5, 4.0])
@pytest.mark.parametrize("eta", [0.0, 0.01, 0.04, 0.15])
def test_simulated_ends_agree_with_the_analytic_basin_away_from_its_edge(eta: float, alpha_p: float) -> None:
    axes = {
        "x": {"of": "p0", "low": -1, "high": 2, "points": 40},
        "y": {"of": "s0", "low": 0.01, "high": 2, "points": 40},
    }
    outcome, _ = fit(eta=eta, alpha_p=alpha_p, time=2000 if eta == 0 else 8 / eta, **axes)
    assert outcome.metrics["boundary/agreement"] == 1
    assert 0 < outcome.metrics["modes/collapsed_share"] < 0.5


@pytest.mark.parametrize(
    "y", [{"of": "alpha_p", "low": 0.1, "high": 10}, {"of": "s0", "low": 0.01, "high": 1}]
)
def test_the_edge_that_is_drawn_separates_the_living_from_the_dead(y: dict[str, Any]) -> None:
    settings = {"p0": 0.2, "x": {"of": "eta", "low": 0.02, "high": 0.24, "points": 12}}
    settings |= {"s0": 0.05} if y["of"] == "alpha_p" else {}
    _, heard = fit(y=y | {"points": 60}, time=1000, **settings)
    arrays = heard[-1].arrays
    xs, ys, alive = arrays["phase/x eta"], arrays[f"phase/y {y['of']}"], arrays["phase/scaled"] > 1e-3
    edge = arrays["phase/edge"]
    known = np.isfinite(edge[:, 1])
    assert known.sum() >= 3
    for (x, least), column in zip(edge[known], alive.T[known], strict=True):
        assert x in xs
        assert not column[ys < least - (ys[1] - ys[0])].any() and column[ys > least + (ys[1] - ys[0])].all()


def test_on_the_parabola_alpha_p_does_not_move_the_edge() -> None:
    x, y = (
        GridAxis(of="eta", low=0.01, high=0.3, points=59),
        GridAxis(of="alpha_p", low=0.1, high=9, points=5),
    )
    fixed = modes.Config(p0=0.2, x=x, y=y).fixed()
    alive = phase.by_theory(phase.starts(fixed, x, y), (5, 59))
    assert (alive == alive[0]).all()
    edge = phase.edge(fixed, x, y, alive)
    np.testing.assert_allclose(edge[:, 0], 0.2 - 1.0009 * 0.04, atol=0.005)  # where p₋(η) = p(0)


def test_the_separatrix_without_decay_is_its_closed_form() -> None:
    p = np.array([-1.0, -0.2, 0.0, 0.5, 0.999, 1.5])
    expected = [1.0, 0.04, 0.0, 0.0, 0.0, 1.5**2 - 1 / 1.0009**2]
    np.testing.assert_allclose(per_mode.separatrix(p, eta=0.0), expected)
    # A little decay changes it a little, where p needs little time to get anywhere.
    np.testing.assert_allclose(per_mode.separatrix(p[:2], eta=1e-4), expected[:2], rtol=2e-2)


def test_more_decay_means_a_larger_basin_and_a_faster_predictor_a_smaller_one() -> None:
    def collapsed(**settings: float) -> float:
        grid = {
            "x": GridAxis(of="p0", low=-1, high=2, points=60),
            "y": GridAxis(of="s0", low=0.01, high=2, points=60),
        }
        config = modes.Config.model_validate(settings | grid)
        points = phase.starts(config.fixed(), config.x, config.y)
        return 1 - float(phase.by_theory(points, (60, 60)).mean())

    by_decay = [collapsed(eta=eta) for eta in (0.01, 0.05, 0.1, 0.2)]
    assert by_decay == sorted(by_decay) and by_decay[0] < by_decay[-1]
    by_rate = [collapsed(alpha_p=alpha_p) for alpha_p in (0.2, 1.0, 5.0)]
    assert by_rate[0] > by_rate[1] > by_rate[2]


def test_with_an_ema_no_closed_form_is_claimed() -> None:
    with pytest.raises(ValueError, match="closed form"):
        per_mode.survives(np.ones(1), np.ones(1), Rates(beta=0.4))
    outcome, _ = fit(beta=0.4, x=POINT_P, y=POINT_S, time=50)
    assert "boundary/agreement" not in outcome.metrics and outcome.metrics["tau/error"] < 1e-7


@pytest.mark.parametrize("beta", [0.4, 36.0, 500.0])
def test_tau_is_compared_with_its_closed_form_however_fast_the_target(
    beta: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"beta": beta, "x": POINT_P, "y": POINT_S, "time": 25}
    assert 0 < fit(**settings)[0].metrics["tau/error"] < 1e-4
    true = per_mode.closed_form_tau
    monkeypatch.setattr(per_mode, "closed_form_tau", lambda *args, **rates: true(*args, **rates) + 0.1)
    assert fit(**settings)[0].metrics["tau/error"] == pytest.approx(0.1, abs=1e-4)


def test_where_no_tau_can_be_compared_no_error_is_claimed() -> None:
    outcome, _ = fit(beta=0.4, eta=2.0, x=POINT_P, y=POINT_S, time=50)
    assert outcome.status == "collapsed" and "tau/error" not in outcome.metrics


def test_under_an_ema_theory_is_that_of_a_fast_target_whatever_tau_is_without_one() -> None:
    x, y = (GridAxis(of=name, low=0.02, high=0.6, points=12) for name in ("p0", "s0"))

    def theory(**rates: Any) -> tuple[Any, Any]:
        fixed = modes.Config(x=x, y=y).fixed() | rates
        alive = phase.by_theory(phase.starts(fixed, x, y), (12, 12))
        return alive, phase.edge(fixed, x, y, alive)

    (alive, edge), (limit, its_edge) = theory(beta=50.0, tau=0.3), theory(beta=None, tau=1.0)
    assert np.array_equal(alive, limit) and np.array_equal(edge, its_edge, equal_nan=True)
    _, heard = fit(beta=50.0, tau0=1.0, time=100, x=x.model_dump(), y=y.model_dump())
    assert np.mean((heard[-1].arrays["phase/scaled"] > 1e-3) == limit) > 0.95  # a fast target ends so
    assert not theory(beta=None, tau=0.3)[0].any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tau": 0.3, "beta": 50.0}, "got 0.3, expected 1: tau counts for nothing where there is a beta"),
        ({"tau": 0.3, "x": {"of": "beta", "low": 1, "high": 2}}, "remove tau or beta"),
        ({"beta": 50.0, "x": {"of": "tau", "low": 1, "high": 2}}, "got an axis of tau, expected 1"),
        ({"x": {"of": "s0", "low": 0, "high": 1}}, "both vary s0"),
        ({"x": {"of": "eta", "low": -1, "high": 1}}, "eta must be 0 or more, got -1"),
        ({"x": {"of": "beta", "low": 0, "high": 1}}, "beta must be above 0, got 0"),
        ({"x": {"of": "p0", "low": -1, "high": 1, "log": True}}, "must start above 0, got -1"),
        ({"x": {"of": "p0", "low": 2, "high": 1}}, "at or above low, 2; got 1"),
        ({"x": {"of": "eta", "low": 0, "high": 1}, "eta": 0.1}, "eta varies along x"),
    ],
)
def test_axes_that_make_no_diagram_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        modes.Config.model_validate(settings)
