"""MoCo: tell an image's other view, seen by a slow encoder, from a queue of earlier images."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from trainers.config.lazy import F, nn, torch
from trainers.methods._siamese import move_towards
from trainers.methods.base import AbstractMethod, Forward, MethodConfig, in_full_precision
from trainers.networks.blueprint import Blueprint, buffers, frozen_copy
from trainers.randomness import stream


class Config(MethodConfig):
    """MoCo.

        l = -log [ e^{q·k⁺/T} / (e^{q·k⁺/T} + Σ_queue e^{q·k/T}) ]

    q: online embedding; k: the target's, from an EMA; all of length 1. Both views serve as query and the
    mean of both losses counts, unless `symmetric` is false.

    Source: He et al. 2020, arXiv:1911.05722, eq. 1.
    """

    name: Literal["moco"] = "moco"
    momentum: float = Field(0.99, ge=0, le=1)
    """Share of the target that a step keeps."""
    temperature: float = Field(0.1, gt=0)
    """T"""
    queue: int = Field(4096, ge=1)
    """Keys kept, oldest out first; random directions before training."""
    symmetric: bool = True
    """Whether both views serve as query."""
    bn_splits: int = Field(1, ge=1)
    """Parts of the batch in which the target normalises separately, so that batch statistics cannot
    tell which key belongs to which query (in place of shuffling over GPUs); lightly: 8."""


class Moco(AbstractMethod):
    """MoCo under training."""

    def __init__(self, config: Config, blueprint: Blueprint) -> None:
        """Build the networks of `blueprint` and a queue of random keys."""
        self.config = config
        self.encoder, features = blueprint.encoder()
        self.projector = blueprint.projector(features)
        self.dimension = blueprint.dimension
        self.trained = {"encoder": self.encoder, "projector": self.projector}
        keys = torch.randn(config.queue, self.dimension, generator=stream(blueprint.seed, "queue"))
        self.queue: Any = buffers(keys=F.normalize(keys, dim=1), position=torch.zeros((), dtype=torch.int64))
        self.networks = nn.ModuleDict(
            {
                **self.trained,
                "target_encoder": frozen_copy(self.encoder),
                "target_projector": frozen_copy(self.projector),
                "queue": self.queue,
            }
        )

    def forward(
        self, view1: torch.Tensor, view2: torch.Tensor, labels: torch.Tensor | None = None
    ) -> Forward:
        """The loss of one batch of two views, each [N, C, H, W]."""
        del labels
        z1 = self.projector(self.encoder(view1))
        z2 = self.projector(self.encoder(view2))
        with torch.no_grad():
            key1, key2 = self._keys(view1), self._keys(view2)
        # A copy: the queue changes in place before the gradient is asked for in an odd order of calls.
        queue = self.queue.keys.clone()
        loss = info_nce(z1, key2, queue, temperature=self.config.temperature)
        if self.config.symmetric:
            loss = (loss + info_nce(z2, key1, queue, temperature=self.config.temperature)) / 2
        return Forward(loss, z1.detach(), z2.detach(), key1, key2)

    def after_step(self, forward: Forward, *, step: int, steps: int) -> None:
        """Move the target towards the online network and put the batch's keys into the queue."""
        del step, steps
        move_towards(self.networks["target_encoder"], self.encoder, self.config.momentum)
        move_towards(self.networks["target_projector"], self.projector, self.config.momentum)
        assert forward.target1 is not None and forward.target2 is not None
        new = torch.cat((forward.target2, forward.target1)) if self.config.symmetric else forward.target2
        new = F.normalize(new.float(), dim=1)[-self.config.queue :]
        rows = (self.queue.position + torch.arange(len(new), device=new.device)) % self.config.queue
        self.queue.keys[rows] = new
        self.queue.position.copy_((self.queue.position + len(new)) % self.config.queue)

    def _keys(self, view: torch.Tensor) -> torch.Tensor:
        encoder, projector = self.networks["target_encoder"], self.networks["target_projector"]
        part, rest = divmod(len(view), self.config.bn_splits)
        if rest or part < 2:
            raise ValueError(
                f"moco: a batch of {len(view)} has no {self.config.bn_splits} equal parts of 2 images or "
                "more; change method.bn_splits or batch_size"
            )
        return torch.cat([projector(encoder(part)) for part in view.chunk(self.config.bn_splits)])


def build(config: Config, blueprint: Blueprint) -> Moco:
    """MoCo on the networks of `blueprint`."""
    return Moco(config, blueprint)


@in_full_precision
def info_nce(
    query: torch.Tensor, key: torch.Tensor, queue: torch.Tensor, *, temperature: float
) -> torch.Tensor:
    """The loss of `Config` for queries and their keys [N, d], against keys of length 1 [K, d]."""
    q, k = F.normalize(query, dim=1), F.normalize(key, dim=1)
    logits = torch.cat(((q * k).sum(dim=1, keepdim=True), q @ queue.T), dim=1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.int64, device=q.device))
