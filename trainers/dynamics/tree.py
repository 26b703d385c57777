"""The hierarchical latent tree model: binary variables on a tree, and the network that reads its leaves.

Every variable is 0 or 1. A child equals its parent with probability (1 + δ)/2; the root is a fair coin. Only
the leaves are seen. The network has one layer per inner node, which reads its two children; so a hidden unit
that becomes the latent variable of its node has found it without a label.

Source: Tian et al. 2020, arXiv:2010.00578, §6, and its code. Depths count from the root, which has depth 0.
"""

from __future__ import annotations

from typing import NamedTuple

from trainers.config.lazy import nn, torch
from trainers.randomness import seeded, stream


class Tree(NamedTuple):
    """A tree's δ by depth: of the 2^(k+1) children below depth k, [2^(k+1)]."""

    deltas: tuple[torch.Tensor, ...]

    @property
    def depth(self) -> int:
        """Layers below the root."""
        return len(self.deltas)


def draw_tree(depth: int, *, low: float, high: float, seed: int) -> Tree:
    """A tree whose |δ| are uniform in [low, high], each with a random sign."""
    generator = stream(seed, "tree")
    deltas = []
    for level in range(depth):
        number = 2 ** (level + 1)
        size = low + (high - low) * torch.rand(number, generator=generator)
        sign = 2 * torch.randint(0, 2, (number,), generator=generator) - 1
        deltas.append(size * sign)
    return Tree(tuple(deltas))


def sample(tree: Tree, root: torch.Tensor, generator: torch.Generator) -> list[torch.Tensor]:
    """The variables below `root`, 0 or 1 [N], by depth: [N, 2^k] float32 at depth k, the leaves last."""
    levels = [root[:, None].float()]
    for deltas in tree.deltas:
        number, parents = len(root), levels[-1][:, :, None]
        flipped = torch.rand(number, len(deltas), generator=generator) >= (1 + deltas) / 2
        levels.append((parents != flipped.unflatten(1, (-1, 2))).flatten(1).float())
    return levels


def coins(number: int, generator: torch.Generator) -> torch.Tensor:
    """Fair coins for the root, 0 or 1 [N]."""
    return torch.randint(0, 2, (number,), generator=generator)


def build_network(depth: int, hidden: int, *, seed: int) -> TreeNetwork:
    """The network for a tree of that depth, with PyTorch's usual weights."""
    with seeded(seed, "weights", "tree"):
        weights, biases = [], []
        for level in reversed(range(depth)):
            inputs = 2 if level == depth - 1 else 2 * hidden
            layers = [nn.Linear(inputs, hidden) for _ in range(2**level)]
            weights.append(torch.stack([layer.weight.detach().T for layer in layers]))
            biases.append(torch.stack([layer.bias.detach()[None] for layer in layers]))
    return TreeNetwork(weights, biases)


class TreeNetwork:
    """Linear layers of the inner nodes, those of one depth as one batch; ReLU between depths."""

    def __init__(self, weights: list[torch.Tensor], biases: list[torch.Tensor]) -> None:
        """Take weights [nodes, inputs, hidden] and biases [nodes, 1, hidden], the deepest nodes first."""
        self.weights = [w.clone().requires_grad_() for w in weights]
        self.biases = [b.clone().requires_grad_() for b in biases]

    @property
    def parameters(self) -> list[torch.Tensor]:
        """All weights and biases."""
        return [*self.weights, *self.biases]

    def state(self) -> dict[str, torch.Tensor]:
        """Everything that training changes."""
        named = {f"weight{i}": w.detach() for i, w in enumerate(self.weights)}
        return named | {f"bias{i}": b.detach() for i, b in enumerate(self.biases)}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Take over what `state` gave.

        Raises:
            KeyError, ValueError: it is another network's.
        """
        with torch.no_grad():
            for i, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
                for own, name in ((w, f"weight{i}"), (b, f"bias{i}")):
                    if state[name].shape != own.shape:  # copying would broadcast it
                        raise ValueError(f"{name} is {list(state[name].shape)}, expected {list(own.shape)}")
                    own.copy_(state[name])

    def forward(self, leaves: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Inputs [nodes, N, inputs] and pre-activations [nodes, N, hidden] of every depth, deepest first.

        Args:
            leaves: [N, 2^depth].
        """
        inputs, outputs = list[torch.Tensor](), list[torch.Tensor]()
        below = leaves.T[:, :, None]  # [leaves, N, 1]; as they are 0 or 1, ReLU leaves them
        for weight, bias in zip(self.weights, self.biases, strict=True):
            active = torch.relu(below) if outputs else below
            # Two children side by side: [nodes, N, inputs].
            inputs.append(active.unflatten(0, (-1, 2)).transpose(1, 2).flatten(2).contiguous())
            below = torch.baddbmm(bias, inputs[-1], weight)
            outputs.append(below)
        return inputs, outputs

    def embed(self, leaves: torch.Tensor) -> torch.Tensor:
        """The root's output at length 1, [N, hidden]."""
        return at_length_one(self.forward(leaves)[1][-1][0])

    def gradients(
        self, inputs: list[torch.Tensor], outputs: list[torch.Tensor], of_root: torch.Tensor
    ) -> list[torch.Tensor]:
        """Gradients of `parameters`, from that of the root's output: bit for bit as autograd has them.

        Autograd fills the place of each half of a layer with zeros and adds, which takes most of its time.

        Args:
            inputs, outputs: of `forward`.
            of_root: gradient of the last of `outputs`, [1, N, hidden].
        """
        weights, biases, above = [], [], of_root
        for level in reversed(range(len(outputs))):
            weights.append(torch.bmm(inputs[level].transpose(1, 2), above))
            biases.append(above.sum(dim=1, keepdim=True))
            if level > 0:
                both = torch.bmm(above, self.weights[level].transpose(1, 2))
                children = both.unflatten(2, (2, -1)).transpose(1, 2).flatten(0, 1)
                above = torch.ops.aten.threshold_backward(children, outputs[level - 1], 0)
        return [*reversed(weights), *reversed(biases)]


def at_length_one(root: torch.Tensor) -> torch.Tensor:
    """The root's output [N, hidden] at length 1; 1e-4 keeps a dead one from dividing by zero."""
    embedding: torch.Tensor = root / (root.norm(dim=1, keepdim=True) + 1e-4)
    return embedding


def best_correlations(latents: list[torch.Tensor], outputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """Largest |correlation| of each latent variable with a hidden unit of its node, [2^k] by depth k.

    A unit without variance has correlation zero.

    Args:
        latents: [N, 2^k] by depth, from the root.
        outputs: pre-activations [2^k, N, hidden], the deepest first.
    """
    found = []
    for z, h in zip(latents, reversed(outputs), strict=False):
        z, h = z.double().T[:, :, None], h.double()
        z, h = z - z.mean(dim=1, keepdim=True), h - h.mean(dim=1, keepdim=True)
        scale = z.square().sum(dim=1).sqrt() * h.square().sum(dim=1).sqrt()
        correlation = (z * h).sum(dim=1).abs() / scale
        found.append(torch.where(scale > 1e-9, correlation, 0.0).amax(dim=1))
    return found


def covariance_norms(
    network: TreeNetwork, inputs: list[torch.Tensor], outputs: list[torch.Tensor], root: torch.Tensor
) -> list[torch.Tensor]:
    """Frobenius norm of each node's covariance operator, [2^k] by depth k.

        OP = V_root [ E[ f ⊗ J | root ] ]

    with f the node's input and J the derivative of the root's output by the node's: what a SimCLR update
    multiplies the node's weights by. The variance is over the two values of the root.

    Args:
        network: whose gates and weights make J.
        inputs, outputs: of `TreeNetwork.forward`.
        root: value of the root of each sample, [N].
    """
    with torch.no_grad():
        number, hidden = len(root), outputs[-1].shape[2]
        jacobian = torch.eye(hidden).expand(1, number, hidden, hidden)  # [nodes, N, root's units, units]
        norms = []
        for level in range(len(outputs)):
            at = len(outputs) - 1 - level
            norms.append(_operator_norm(inputs[at], jacobian, root))
            if at == 0:
                break
            below = torch.einsum("kncu,kiu->knci", jacobian, network.weights[at])
            left, right = below.split(hidden, dim=3)
            children = torch.stack((left, right), dim=1).flatten(0, 1)
            jacobian = children * (outputs[at - 1] > 0)[:, :, None, :]
    return norms


def _operator_norm(f: torch.Tensor, jacobian: torch.Tensor, root: torch.Tensor) -> torch.Tensor:
    means, shares = [], []
    for value in (0, 1):
        of = root == value
        shares.append(float(of.float().mean()))
        mean = torch.einsum("kna,kncu->kacu", f[:, of], jacobian[:, of]) / max(1, int(of.sum()))
        # As in the paper's code: rows are (input, root unit), and the operator is rows × rows.
        means.append(mean.flatten(1, 2))
    overall = shares[0] * means[0] + shares[1] * means[1]
    # |M Mᵀ| = |Mᵀ M| in this norm, and the second is small.
    parts = [share**0.5 * (mean - overall) for share, mean in zip(shares, means, strict=True)]
    stacked = torch.cat(parts, dim=2)
    norms: torch.Tensor = torch.linalg.matrix_norm(stacked.transpose(1, 2) @ stacked)
    return norms
