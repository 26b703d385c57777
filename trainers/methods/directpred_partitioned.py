"""DirectPred with a predictor that depends on the features: one matrix per half of a random cut."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from trainers.config.lazy import torch
from trainers.methods._siamese import Siamese, SiameseConfig
from trainers.methods.base import in_full_precision
from trainers.methods.directpred import Config as DirectPredConfig
from trainers.methods.directpred import directpred_matrix
from trainers.networks.blueprint import Blueprint, buffers
from trainers.networks.heads import NoPredictor
from trainers.randomness import stream


class Config(SiameseConfig):
    """DirectPred's code form with `cuts` random partitions of the embeddings.

    Cut i splits each view's batch at the mean of vᵢᵀz, vᵢ a random normal direction; each half keeps an F
    of its own. The prediction is the mean over cuts of what the half's matrix makes of z.

    Source: Tian et al. 2021, arXiv:2102.06810, §6 (six partitions) and its code.
    """

    name: Literal["directpred_partitioned"] = "directpred_partitioned"
    cuts: int = Field(6, ge=1)
    """Directions along which the embeddings are cut into halves."""
    rho: float = Field(0.3, ge=0, lt=1)
    """Keep rate ρ of each F."""
    eps: float = Field(0.1, ge=0)
    """ε of DirectPred's code form."""

    @property
    def has_weights(self) -> bool:
        """It has none: each step computes its matrices."""
        return False


class PartitionedDirectPred(Siamese):
    """Feature-dependent DirectPred under training."""

    def __init__(self, config: Config, blueprint: Blueprint) -> None:
        """Build the networks of `blueprint` and statistics that have seen no batch."""
        super().__init__(config, blueprint, NoPredictor())
        self.config = config
        self.direct = DirectPredConfig(eps=config.eps)
        d = self.dimension
        directions = torch.randn(d, config.cuts, generator=stream(blueprint.seed, "cuts"))
        self.statistics: Any = buffers(
            directions=directions,
            correlation=torch.zeros(2 * config.cuts, d, d),
            batches=torch.zeros((), dtype=torch.int64),
        )
        self.networks["statistics"] = self.statistics

    def predict(self, z1: torch.Tensor, z2: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The predictions [N, d], each F having seen this batch, as in the paper's code."""
        with torch.no_grad():
            shares = [self._shares(z) for z in (z1.detach(), z2.detach())]
            matrices = self._matrices(z1.detach(), z2.detach(), *shares)
        return _apply(z1, shares[0], matrices), _apply(z2, shares[1], matrices)

    def predictor_matrix(self) -> torch.Tensor | None:
        """The mean of all halves' matrices [d, d], what an average embedding meets; None before training."""
        if int(self.statistics.batches) == 0:
            return None
        return torch.stack([directpred_matrix(f, self.direct) for f in self.statistics.correlation]).mean(0)

    @in_full_precision
    def _shares(self, z: torch.Tensor) -> torch.Tensor:
        """Which halves each embedding lies in, [N, 2·cuts] of 0 and 1."""
        along = z.float() @ self.statistics.directions
        above = (along >= along.mean(dim=0)).float()
        return torch.cat((above, 1 - above), dim=1)

    @in_full_precision
    def _matrices(
        self, z1: torch.Tensor, z2: torch.Tensor, shares1: torch.Tensor, shares2: torch.Tensor
    ) -> torch.Tensor:
        """W_p of each half, [2·cuts, d, d], after its F has taken in the batch."""
        z, shares = torch.cat((z1, z2)).float(), torch.cat((shares1, shares2))
        sums = torch.einsum("nk,ni,nj->kij", shares, z, z)
        batch = sums / shares.sum(dim=0).clamp(min=1)[:, None, None]
        keep = (self.statistics.batches > 0) * self.config.rho
        self.statistics.correlation.copy_(keep * self.statistics.correlation + (1 - keep) * batch)
        self.statistics.batches += 1
        return torch.stack([directpred_matrix(f, self.direct) for f in self.statistics.correlation])


@in_full_precision
def _apply(z: torch.Tensor, shares: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    return torch.einsum("nk,kij,nj->ni", shares, matrices, z) / (shares.shape[1] // 2)


def build(config: Config, blueprint: Blueprint) -> PartitionedDirectPred:
    """Feature-dependent DirectPred on the networks of `blueprint`."""
    return PartitionedDirectPred(config, blueprint)
