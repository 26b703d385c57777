"""Networks of the latent tree trained one by one, and several as one: is it worth it, and are they equal?

    python benchmarks/fused_trees.py [--seeds 5] [--rounds 10] [--steps 20]

A step of SGD of each network (that of `trainers/loops/hltm.py`, without its samples) against one step of a
network that has all their nodes, in turns, on one thread.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from benchmarks_machine import machine

from trainers.dynamics import tree as trees
from trainers.dynamics.tree import TreeNetwork
from trainers.loops.hltm import Config, contrast

DEPTH = 5


def step(network: TreeNetwork, leaves: torch.Tensor, config: Config) -> None:
    """One step of SGD of all networks that `network` is made of, each on its own loss."""
    with torch.no_grad():
        inputs, outputs = network.forward(leaves)
    root = outputs[-1].requires_grad_()
    views = [trees.at_length_one(one).unflatten(0, (3, -1)) for one in root]
    (of_root,) = torch.autograd.grad(
        torch.stack([contrast(*one, config=config) for one in views]).sum(), root
    )
    with torch.no_grad():
        torch._foreach_add_(network.parameters, network.gradients(inputs, outputs, of_root), alpha=-config.lr)


def seconds(networks: list[TreeNetwork], leaves: list[torch.Tensor], config: Config, steps: int) -> float:
    """What so many steps of each take."""
    begun = time.perf_counter()
    for _ in range(steps):
        for network, seen in zip(networks, leaves, strict=True):
            step(network, seen, config)
    return time.perf_counter() - begun


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=20)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(machine())
    for hidden in (2, 10):
        config = Config(hidden=hidden)
        alone = [trees.build_network(DEPTH, hidden, seed=seed) for seed in range(asked.seeds)]
        weights = [torch.cat([one.weights[level].detach() for one in alone]) for level in range(DEPTH)]
        biases = [torch.cat([one.biases[level].detach() for one in alone]) for level in range(DEPTH)]
        together = TreeNetwork(weights, biases)
        leaves = [torch.randint(0, 2, (3 * config.batch_size, 2**DEPTH)).float() for _ in alone]
        ratios = []
        for _ in range(asked.rounds):
            apart = seconds(alone, leaves, config, asked.steps)
            ratios.append(apart / seconds([together], [torch.cat(leaves, dim=1)], config, asked.steps))
        apart_by = max(
            float(
                (whole.detach().unflatten(0, (asked.seeds, -1))[seed] - one.weights[level].detach())
                .abs()
                .max()
            )
            for level, whole in enumerate(together.weights)
            for seed, one in enumerate(alone)
        )
        print(
            f"{hidden} hidden: {asked.seeds} networks one by one take "
            f"{statistics.median(ratios):.2f} times what they take as one "
            f"({min(ratios):.2f}-{max(ratios):.2f}, n = {asked.rounds}); "
            f"weights differ by {apart_by:g} at most"
        )


if __name__ == "__main__":
    main()
