"""SimCLR: tell an image's other view from all other images of the batch."""

from __future__ import annotations

import functools
from typing import Literal

from pydantic import Field

from trainers.config.lazy import F, torch
from trainers.methods._joint import JointEmbedding
from trainers.methods.base import MethodConfig, in_full_precision
from trainers.networks.blueprint import Blueprint


class Config(MethodConfig):
    """SimCLR.

        l_i = -log [ e^{cos(z_i, z_j(i))/T} / Σ_{a≠i} e^{cos(z_i, z_a)/T} ],   L = mean over the 2N views

    "covariance": the form whose gradient is exactly that of the covariance operator,

        L = 1/(2N) Σ_i 1/(2N - 2) Σ_{a} w_ia (r_i - r_ia),   r = 1 - cos,
        w_ia = sg[ e^{-r_ia/T} / (1 + e^{-r_ia/T}) ] / T

    with a over all views of other images and r_i the distance to the positive.

    Source: Chen et al. 2020, arXiv:2002.05709, eq. 1; Tian et al. 2020, arXiv:2010.00578, for the second.
    """

    name: Literal["simclr"] = "simclr"
    temperature: float = Field(0.5, gt=0)
    """T"""
    form: Literal["nt_xent", "covariance"] = "nt_xent"
    """NT-Xent, or the form of the covariance operator."""


def build(config: Config, blueprint: Blueprint) -> JointEmbedding:
    """SimCLR on the networks of `blueprint`."""
    return JointEmbedding(blueprint, functools.partial(simclr_loss, config=config))


@in_full_precision
def simclr_loss(z1: torch.Tensor, z2: torch.Tensor, *, config: Config) -> torch.Tensor:
    """The loss of `Config` for embeddings [N, d]."""
    z = F.normalize(torch.cat((z1, z2)), dim=1)
    number = len(z)
    similarity = z @ z.T
    rows = torch.arange(number, device=z.device)
    positive = (rows + number // 2) % number
    if config.form == "nt_xent":
        itself = torch.eye(number, dtype=torch.bool, device=z.device)
        logits = (similarity / config.temperature).masked_fill(itself, -torch.inf)
        return F.cross_entropy(logits, positive)
    distance = 1 - similarity
    same = rows[:, None] % (number // 2) == rows[None, :] % (number // 2)
    # e^{-x}/(1 + e^{-x}) is the sigmoid of -x.
    weight = (-distance.detach() / config.temperature).sigmoid().masked_fill(same, 0)
    pull = distance.gather(1, positive[:, None])
    return (weight * (pull - distance)).sum(dim=1).mean() / (config.temperature * (number - 2))
