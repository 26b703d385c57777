"""What a self-supervised method is to the loop: a loss over two views, and what follows each step."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainers.config import Frozen

if TYPE_CHECKING:
    from torch import Tensor, nn


class MethodConfig(Frozen):
    """What every method's config has."""

    name: str


@dataclass(frozen=True)
class Forward:
    """One batch through a method.

    Attributes:
        loss: scalar, to be minimised.
        z1, z2: the online network's embeddings of both views, [N, d], detached; F is made from them.
    """

    loss: Tensor
    z1: Tensor
    z2: Tensor


class AbstractMethod(abc.ABC):
    """A method under training.

    Attributes:
        encoder, projector: the online networks, those that are evaluated.
        trained: networks the optimizer steps, by name: each parameter in exactly one.
        networks: everything with state, for device moves and checkpoints: trained networks, target
            networks, queues and running statistics.
    """

    encoder: nn.Module
    projector: nn.Module
    trained: dict[str, nn.Module]
    networks: nn.ModuleDict

    @abc.abstractmethod
    def forward(self, view1: Tensor, view2: Tensor) -> Forward:
        """The loss of one batch of two views, each [N, C, H, W]."""

    @abc.abstractmethod
    def after_step(self, *, step: int, steps: int) -> None:
        """What the method does to its networks once the optimizer has made step `step` of `steps`."""

    @abc.abstractmethod
    def predictor_matrix(self) -> Tensor | None:
        """W_p [d, d] as the diagnostics see it, or None where there is no predictor."""
