"""Why eigenvalues of a trained W_p go as the fourth root of those of F, not as the root: causes, tested.

    python benchmarks/linear_slope.py [--seeds 3] [--steps 1280]

Trains the linear networks of the theory, W and W_p on Gaussian data, by the steps of `dynamics_training`
(rate 0.1, momentum 0.9, target's momentum 0.97; t = 1280), under the theory's squared error and under the
cosine of trials, with data whose directions have one variance or several. Prints the slope of
log eig W_p over log eig of F = W (X + X') Wᵀ, which is what a trial measures, of W X Wᵀ, which leaves out the
variance of the augmentations, and of W Wᵀ, of which the theory speaks: mean ± standard deviation over seeds;
"-" where fewer than three modes tell it.
"""

from __future__ import annotations

import argparse
import statistics

import torch
from benchmarks_machine import machine

from trainers.measures.spectra import eigenspace, eigenspace_metrics

N, BATCH, NOISE = 32, 256, 1 / 16
RATE, MOMENTUM, TARGET = 0.1, 0.9, 0.97
START = 0.1
"""Standard deviation of the weights at the start, as in the matrix dynamics."""
DATA = {"alike": torch.ones(N), "1 to 1/16": torch.logspace(0, -4, N, base=2.0)}
"""Eigenvalues of X."""
DECAYS = (0.0, 4e-3)


def error(predicted: torch.Tensor, target: torch.Tensor, loss: str) -> torch.Tensor:
    """The loss of N predictions, [N, d] each."""
    if loss == "cosine":
        return -torch.nn.functional.cosine_similarity(predicted, target).mean()
    return (predicted - target).square().sum(dim=1).mean() / 2


def trained(loss: str, data: torch.Tensor, *, decay: float, seed: int, steps: int) -> list[torch.Tensor]:
    """W and W_p after `steps` of SGD, [n, n] each."""
    generator = torch.Generator().manual_seed(seed)
    weights = [(START * torch.randn(N, N, generator=generator)).requires_grad_() for _ in range(2)]
    w, w_p = weights
    w_a = w.detach().clone()
    optimizer = torch.optim.SGD(weights, lr=RATE, momentum=MOMENTUM, weight_decay=decay)
    for _ in range(steps):
        clean = torch.randn(BATCH, N, generator=generator) * data.sqrt()
        views = [clean + NOISE**0.5 * torch.randn(BATCH, N, generator=generator) for _ in range(2)]
        pairs = (views, views[::-1])
        total = sum(error(one @ w.T @ w_p.T, two @ w_a.T, loss) for one, two in pairs)
        optimizer.zero_grad()
        total.backward()  # type: ignore[union-attr]
        optimizer.step()
        w_a.lerp_(w.detach(), 1 - TARGET)
    return [one.detach() for one in weights]


def slopes(w: torch.Tensor, w_p: torch.Tensor, data: torch.Tensor) -> tuple[float | None, ...]:
    """The slopes over F, W X Wᵀ and W Wᵀ, and the asymmetry of W_p."""
    found: list[float | None] = []
    for variance in (data + NOISE, data, torch.ones(N)):
        f = (w * variance) @ w.T
        metrics = eigenspace_metrics(f, w_p, eigenspace(f, w_p))
        found.append(metrics.get("Wp/slope"))
    return (*found, metrics["Wp/asymmetry_fro"])


def written(values: list[float | None]) -> str:
    """Mean ± sd of what there is."""
    known = [one for one in values if one is not None]
    if not known:
        return "-"
    spread = f" ± {statistics.stdev(known):.2f}" if len(known) > 1 else ""
    return f"{statistics.mean(known):.2f}{spread}" + (
        f" (n={len(known)})" if len(known) < len(values) else ""
    )


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1280)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(machine())
    print(
        "| loss | eigenvalues of X | η | over F | over W X Wᵀ | over W Wᵀ | asymmetry |\n" + 7 * "|---" + "|"
    )
    for loss in ("squared", "cosine"):
        for name, data in DATA.items():
            for decay in DECAYS:
                rows = [
                    slopes(*trained(loss, data, decay=decay, seed=seed, steps=asked.steps), data)
                    for seed in range(asked.seeds)
                ]
                cells = " | ".join(written(list(column)) for column in zip(*rows, strict=True))
                print(f"| {loss} | {name} | {decay:g} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
