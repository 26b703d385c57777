"""How fast are phase diagrams? A million trajectories of one mode to t = 100, on as many cores as asked for.

    python benchmarks/modes_speed.py [--trajectories 1000000] [--processes 2]

Starts and decay are drawn over the ranges of sweeps/dynamics_basin.yaml, half of them with an EMA. Every
ten-thousandth trajectory is integrated again alone, by the same method with a tolerance a hundred times
smaller; the largest difference of p and s is printed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from benchmarks_machine import machine
from scipy.integrate import solve_ivp

from trainers.dynamics.per_mode import Rates, trajectories

TIME = 100.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trajectories", type=int, default=1_000_000)
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    print(machine())
    jobs = [(asked.trajectories // asked.processes, seed) for seed in range(asked.processes)]
    with multiprocessing.get_context("spawn").Pool(asked.processes) as pool:
        pool.map(integrate, [(100, 0)] * asked.processes)  # imports are not what is measured
        started = time.perf_counter()
        found = pool.map(integrate, jobs)
        seconds = time.perf_counter() - started
    number, worst = sum(n for n, _ in found), max(w for _, w in found)
    print(f"{number} trajectories to t = {TIME:g} in {seconds:.1f} s on {asked.processes} processes")
    print(f"largest difference from a tolerance of 1e-13, over {number // 10_000} of them: {worst:.1e}")


def integrate(job: tuple[int, int]) -> tuple[int, float]:
    """Integrate `number` trajectories; how many there were, and the largest error found in a subsample."""
    number, seed = job
    rng = np.random.default_rng(seed)
    p, s = rng.uniform(-1, 2, number), rng.uniform(0.01, 2, number)
    eta, alpha_p = rng.uniform(0, 0.3, number), rng.uniform(0.5, 5, number)
    worst, done = 0.0, 0
    for beta, rows in ((None, slice(None, number // 2)), (0.4, slice(number // 2, None))):
        rates = Rates(alpha_p[rows], eta[rows], 0.03, 1.0, beta)
        chunks = trajectories(p[rows], s[rows], 0.0, rates, np.array([0.0, TIME]))
        final = np.concatenate([np.stack((states[-1].p, states[-1].s)) for states in chunks], axis=1)
        done += final.shape[1]
        for i in range(0, final.shape[1], 10_000):
            exact = alone(p[rows][i], s[rows][i], alpha_p[rows][i], eta[rows][i], beta)
            worst = max(worst, float(np.abs(final[:, i] - exact).max()))
    return done, worst


def alone(p: float, s: float, alpha_p: float, eta: float, beta: float | None) -> np.ndarray:
    """p and s at the end of one trajectory."""

    def flow(_: float, y: np.ndarray) -> list[float]:
        w_p, w, w_a = y
        w_a = w if beta is None else w_a
        error = w_a - 1.0009 * w_p * w
        return [alpha_p * error * w - eta * w_p, w_p * error - eta * w, (beta or 0.0) * (w - w_a)]

    y = solve_ivp(flow, (0, TIME), [p, s**0.5, 0.0], "DOP853", rtol=1e-13, atol=1e-15).y[:, -1]
    return np.array([y[0], y[1] ** 2])


if __name__ == "__main__":
    main()
