"""Predictors that are computed from F instead of being learned."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic import Field

from trainers.config.lazy import nn, torch
from trainers.methods._siamese import Siamese, SiameseConfig
from trainers.methods.base import Forward, in_full_precision
from trainers.networks.blueprint import Blueprint, buffers
from trainers.networks.heads import LinearPredictor

if TYPE_CHECKING:
    from torch import Tensor


class DirectConfig(SiameseConfig):
    """What DirectPred, DirectCopy and the optimal predictor share."""

    rho: float = Field(0.3, ge=0, lt=1)
    """Keep rate ρ of F."""
    freq: int = Field(1, ge=1)
    """Steps between two computations of W_p. Above 1 the optimizer trains W_p in between."""
    centre: bool = False
    """Whether means are taken out of F first, E[z] E[z]ᵀ, and for the optimal predictor E[z'] E[z]ᵀ out of
    E[z' zᵀ] (luckmatters, "minimal_space"); the paper finds it worse."""


class DirectPredictor(Siamese):
    """A linear predictor without bias, overwritten from running statistics of the embeddings.

        F ← ρ F + (1 - ρ) · mean over 2N embeddings of z zᵀ;   the first batch initialises F

    After step 0 and every `freq` steps from then on, following the optimizer and preceding the EMA
    (luckmatters). With freq 1 no optimizer holds W_p: what it did would be overwritten.
    """

    def __init__(
        self, config: DirectConfig, blueprint: Blueprint, solve: Callable[[Tensor, Tensor], Tensor]
    ) -> None:
        """Build the networks of `blueprint` and statistics that have seen no batch.

        `solve` gives W_p [d, d] from F and from the mean of target·zᵀ, [d, d] each.
        """
        super().__init__(config, blueprint, LinearPredictor(), train_predictor=config.freq > 1)
        self.direct, self.solve = config, solve
        d = self.dimension
        self.statistics: Any = buffers(
            correlation=torch.zeros(d, d),
            mean=torch.zeros(d),
            cross=torch.zeros(d, d),
            batches=torch.zeros((), dtype=torch.int64),
            **({"target_mean": torch.zeros(d)} if config.centre else {}),
        )
        self.networks["statistics"] = self.statistics

    def set_predictor(self, forward: Forward, *, step: int) -> None:
        """Take the batch into F, and overwrite W_p if it is time."""
        assert forward.target1 is not None and forward.target2 is not None
        update_statistics(
            self.statistics, forward.z1, forward.z2, forward.target1, forward.target2, rho=self.direct.rho
        )
        if step % self.direct.freq == 0:
            correlation, cross = self.statistics.correlation, self.statistics.cross
            if self.direct.centre:
                mean = self.statistics.mean
                correlation = correlation - torch.outer(mean, mean)
                cross = cross - torch.outer(self.statistics.target_mean, mean)
            layer = self.predictor[0]
            assert isinstance(layer, nn.Linear)
            with torch.no_grad():
                found = self.solve(correlation, cross)
                # Where F is zero everything has collapsed and no direction is better than another.
                usable = correlation.diagonal().sum() != 0
                layer.weight.copy_(torch.where(usable, found, layer.weight))


@in_full_precision
def update_statistics(
    statistics: Any, z1: Tensor, z2: Tensor, target1: Tensor, target2: Tensor, *, rho: float
) -> None:
    """Move each mean of `statistics` towards that of one batch; the first batch sets them."""
    # All of it is detached already. The target of each view is the other view's.
    z, target = torch.cat((z1, z2)), torch.cat((target2, target1))
    keep = (statistics.batches > 0) * rho
    for name, value in (
        ("correlation", z.T @ z / len(z)),
        ("mean", z.mean(dim=0)),
        ("cross", target.T @ z / len(z)),
        ("target_mean", target.mean(dim=0)),
    ):
        if hasattr(statistics, name):
            buffer = getattr(statistics, name)
            buffer.copy_(keep * buffer + (1 - keep) * value)
    statistics.batches += 1
