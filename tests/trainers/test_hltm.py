"""Laws of the latent tree: how it is drawn, what the network computes, and what is measured of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from trainers.attempt import checkpoint
from trainers.attempt.report import EpochReport, Outcome
from trainers.config.base import Runtime
from trainers.dynamics import tree as trees
from trainers.loops import hltm
from trainers.randomness import stream

TINY: dict[str, Any] = {
    "depth": 3, "hidden": 4, "epochs": 3, "samples": 640, "batch_size": 64, "measured": 500,
}  # fmt: skip


class Stopped(Exception):
    """Stands for a worker that is killed while it reports."""


def config(**changes: Any) -> hltm.Config:
    """A trial of seconds."""
    return hltm.Config.model_validate(TINY | changes)


def fit(
    trial: hltm.Config, folder: Path | None = None, *, until: int | None = None
) -> tuple[Outcome, list[EpochReport]]:
    """A trial's outcome and all it reported; with `until` it is interrupted while it reports that epoch."""
    heard: list[EpochReport] = []

    def report(message: EpochReport) -> None:
        heard.append(message)
        if message.epoch == until and not message.replayed:
            raise Stopped

    return hltm.fit(trial, runtime=Runtime(), folder=folder, report=report), heard


# The tree


def test_a_child_equals_its_parent_with_probability_one_half_plus_half_delta() -> None:
    tree = trees.draw_tree(2, low=0.3, high=0.9, seed=4)
    generator = stream(0, "test")
    levels = trees.sample(tree, trees.coins(200_000, generator), generator)
    for deltas, parents, children in zip(tree.deltas, levels, levels[1:], strict=False):
        same = (children == parents.repeat_interleave(2, dim=1)).float().mean(dim=0)
        torch.testing.assert_close(same, (1 + deltas) / 2, atol=0.005, rtol=0)
    assert float(levels[0].mean()) == pytest.approx(0.5, abs=0.005)


def test_delta_is_within_its_bounds_and_of_either_sign() -> None:
    deltas = torch.cat(trees.draw_tree(6, low=0.7, high=0.9, seed=0).deltas)
    assert ((deltas.abs() >= 0.7) & (deltas.abs() <= 0.9)).all()
    assert (deltas > 0).any() and (deltas < 0).any()


def test_equal_seeds_draw_equal_trees_and_networks_whatever_the_loss() -> None:
    first, second = (trees.build_network(3, 4, seed=s).state() for s in (1, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = trees.build_network(3, 4, seed=2).state()
    assert not torch.equal(first["weight0"], other["weight0"])


# The network


def literal_forward(network: trees.TreeNetwork, leaves: Tensor) -> list[list[Tensor]]:
    """Pre-activations [N, hidden] of every node by depth, the deepest first, node by node."""
    below = [leaf[:, None] for leaf in leaves.T]
    found = []
    for weight, bias in zip(network.weights, network.biases, strict=True):
        nodes = []
        for node in range(len(weight)):
            children = torch.cat([torch.relu(below[2 * node]), torch.relu(below[2 * node + 1])], dim=1)
            nodes.append(children @ weight[node] + bias[node])
        found.append(nodes)
        below = nodes
    return found


def test_each_node_reads_its_two_children_through_relu() -> None:
    network = trees.build_network(3, 4, seed=0)
    leaves = trees.coins(10 * 8, stream(0, "leaves")).reshape(10, 8).float()
    _, outputs = network.forward(leaves)
    for level, nodes in zip(outputs, literal_forward(network, leaves), strict=True):
        torch.testing.assert_close(level, torch.stack(nodes))
    root = literal_forward(network, leaves)[-1][0]
    expected = root / (root.square().sum(dim=1, keepdim=True).sqrt() + 1e-4)
    torch.testing.assert_close(network.embed(leaves), expected)


def test_weights_start_as_torch_starts_a_linear_layer() -> None:
    network = trees.build_network(4, 10, seed=0)
    assert [tuple(w.shape) for w in network.weights] == [(8, 2, 10), (4, 20, 10), (2, 20, 10), (1, 20, 10)]
    for weight in network.weights:
        bound = 1 / weight.shape[1] ** 0.5
        assert 0.9 * bound < float(weight.detach().abs().max()) <= bound


# Losses


def literal_loss(f: Tensor, near: Tensor, far: Tensor, *, form: str, temperature: float) -> Tensor:
    number, width = f.shape
    p = [sum((f[i, j] - near[i, j]) ** 2 for j in range(width)) / width for i in range(number)]
    n = [sum((f[i, j] - far[i, j]) ** 2 for j in range(width)) / width for i in range(number)]
    mean_p, mean_n = sum(p) / number, sum(n) / number
    if form == "subtract":
        return mean_p - mean_n  # type: ignore[return-value]
    if form == "batch_softmax":
        pull, push = (-mean_p / temperature).exp(), (-mean_n / temperature).exp()  # type: ignore[union-attr, operator]
        return -pull / (pull + push)
    terms = []
    for a, b in zip(p, n, strict=True):
        pull, push = (-a / temperature).exp(), (-b / temperature).exp()  # type: ignore[union-attr, operator]
        terms.append(-(pull / (pull + push)).log())
    return sum(terms) / number  # type: ignore[return-value]


@pytest.mark.parametrize("form", ["batch_softmax", "per_sample_log", "subtract"])
def test_each_loss_and_its_gradient_equal_a_literal_reference(form: str) -> None:
    trial = config(loss=form, temperature=0.3)
    results = []
    for literal in (False, True):
        views = torch.randn(3, 6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        views.requires_grad_()
        if literal:
            value = literal_loss(*views, form=form, temperature=0.3)
        else:
            value = hltm.contrast(*views, config=trial)
        value.backward()
        results.append((value.detach(), views.grad))
    for got, expected in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)


def test_training_is_sgd_on_that_loss() -> None:
    trial = config(samples=64, epochs=1)
    tree = trees.draw_tree(3, low=0.8, high=1.0, seed=0)
    trained, by_hand = (trees.build_network(3, 4, seed=0) for _ in range(2))
    hltm.train_epoch(trial, tree, trained, 0)
    generator = stream(0, "tree", "train", 0)
    roots, other = trees.coins(64, generator), trees.coins(64, generator)
    views = [by_hand.embed(trees.sample(tree, root, generator)[-1]) for root in (roots, roots, other)]
    hltm.contrast(*views, config=trial).backward()
    for got, start in zip(trained.parameters, by_hand.parameters, strict=True):
        assert start.grad is not None
        torch.testing.assert_close(got.detach(), start.detach() - 0.1 * start.grad, rtol=1e-5, atol=1e-7)


# Measures


def test_a_unit_that_is_the_latent_variable_has_correlation_one_and_a_dead_one_none() -> None:
    z = trees.coins(100, stream(0, "z"))[:, None].float()
    noise = torch.randn(100, generator=torch.Generator().manual_seed(0))
    outputs = [torch.stack((noise, -2 * z[:, 0] + 5), dim=1)[None]]
    assert float(trees.best_correlations([z], outputs)[0][0]) == pytest.approx(1)
    assert float(trees.best_correlations([z], [torch.full((1, 100, 2), 3.0)])[0][0]) == 0


def test_correlations_are_the_largest_absolute_ones_node_by_node() -> None:
    network = trees.build_network(3, 4, seed=0)
    tree = trees.draw_tree(3, low=0.5, high=0.9, seed=0)
    generator = stream(0, "sample")
    levels = trees.sample(tree, trees.coins(400, generator), generator)
    found = [best.detach() for best in trees.best_correlations(levels[:-1], network.forward(levels[-1])[1])]
    literal = list(reversed(literal_forward(network, levels[-1])))
    for z, nodes, best in zip(levels, literal, found, strict=False):
        for node, h in enumerate(nodes):
            both = torch.corrcoef(torch.cat((z[:, node : node + 1], h.detach()), dim=1).T)
            assert float(best[node]) == pytest.approx(float(both[0, 1:].nan_to_num().abs().max()), abs=1e-4)


def test_covariance_operators_equal_a_literal_reference() -> None:
    network = trees.build_network(3, 3, seed=1)
    tree = trees.draw_tree(3, low=0.5, high=0.9, seed=1)
    generator = stream(0, "sample")
    root = trees.coins(60, generator)
    leaves = trees.sample(tree, root, generator)[-1]
    inputs, outputs = network.forward(leaves)
    found = trees.covariance_norms(network, inputs, outputs, root)
    for depth in range(3):
        at = 2 - depth
        for node in range(2**depth):
            sums: dict[int, list[Tensor]] = {0: [], 1: []}
            for n in range(60):

                def downstream(h: Tensor, n: int = n, at: int = at, node: int = node) -> Tensor:
                    """The root's pre-activations from those of one node, the others as they are."""
                    below = [outputs[at][k, n].detach() for k in range(len(outputs[at]))]
                    below[node] = h
                    for weight, bias in zip(network.weights[at + 1 :], network.biases[at + 1 :], strict=True):
                        below = [
                            torch.relu(torch.cat((below[2 * k], below[2 * k + 1]))) @ weight[k] + bias[k, 0]
                            for k in range(len(weight))
                        ]
                    return below[0]

                jacobian = torch.autograd.functional.jacobian(downstream, outputs[at][node, n].detach())
                product = inputs[at][node, n].detach()[:, None, None] * jacobian[None]
                sums[int(root[n])].append(product.flatten(0, 1))
            groups = [torch.stack(sums[value]).mean(dim=0) for value in (0, 1)]
            shares = [len(sums[value]) / 60 for value in (0, 1)]
            mean = shares[0] * groups[0] + shares[1] * groups[1]
            operator = sum(s * (g - mean) @ (g - mean).T for s, g in zip(shares, groups, strict=True))
            assert float(found[depth][node]) == pytest.approx(float(operator.norm()), rel=1e-3, abs=1e-7)  # type: ignore[union-attr]


# Trials


def test_a_resumed_trial_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole, _ = fit(config(), tmp_path / "whole")
    with pytest.raises(Stopped):
        fit(config(), tmp_path / "cut", until=2)
    resumed, heard = fit(config(), tmp_path / "cut")
    assert resumed.details["resumed_at_epoch"] == 2
    assert [report.replayed for report in heard] == [True, True, True, False]
    assert resumed.metrics == whole.metrics
    states = [checkpoint.load(tmp_path / name, dict)[0] for name in ("whole", "cut")]
    assert states[0] is not None and states[1] is not None
    assert checkpoint.digest(states[0]["network"]) == checkpoint.digest(states[1]["network"])


def test_a_network_takes_over_no_weights_of_another_shape() -> None:
    network = trees.build_network(2, 3, seed=0)
    state = network.state()
    with pytest.raises(ValueError, match=r"bias0 is \[1\], expected"):
        network.restore(state | {"bias0": torch.zeros(1)})


def test_enough_hidden_units_find_the_root_and_training_helps() -> None:
    outcome, heard = fit(config(depth=4, hidden=10, samples=20_000, epochs=2, batch_size=128, measured=4000))
    assert outcome.metrics["correlation/root"] > heard[0].metrics["correlation/root"] + 0.03
    assert outcome.metrics["correlation/root"] > 0.7
    assert {f"correlation/depth_{k}" for k in range(4)} == set(heard[-1].arrays)


def test_a_dead_root_is_a_collapse_with_its_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    def dead(depth: int, hidden: int, *, seed: int) -> trees.TreeNetwork:
        network = build(depth, hidden, seed=seed)
        with torch.no_grad():
            network.weights[-1].zero_()
            network.biases[-2].fill_(-100)
        return network

    build = trees.build_network
    monkeypatch.setattr(trees, "build_network", dead)
    outcome, _ = fit(config(epochs=1))
    assert outcome.status == "collapsed" and "dead" in (outcome.reason or "")


def test_a_learning_rate_without_measure_diverges_with_its_step() -> None:
    outcome, _ = fit(config(lr=1e30, loss="subtract"))
    assert outcome.status == "diverged" and "at step" in (outcome.reason or "")


def test_weights_that_blow_up_in_the_last_step_are_a_divergence() -> None:
    outcome, _ = fit(config(epochs=1, samples=64, batch_size=64, lr=1e38))
    assert outcome.status == "diverged" and "not finite after epoch 1" in (outcome.reason or "")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"delta_lower": 0.9, "delta_upper": 0.8}, "delta_lower 0.9 is above delta_upper 0.8"),
        ({"batch_size": 1000}, "batch_size 1000 exceeds the 640 samples"),
    ],
)
def test_trials_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config(**changes)
