"""What a self-supervised method is to the loop: a loss over two views, and what follows each step."""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from trainers.config.base import Frozen
from trainers.config.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

P = ParamSpec("P")
R = TypeVar("R")


class MethodConfig(Frozen):
    """What every method's config has."""

    name: str


@dataclass(frozen=True)
class Forward:
    """One batch through a method.

    Attributes:
        loss: scalar, to be minimised.
        z1, z2: the online network's embeddings of both views, [N, d], detached; F is made from them.
        target1, target2: the target network's embeddings of both views, [N, d], where there is one.
    """

    loss: Tensor
    z1: Tensor
    z2: Tensor
    target1: Tensor | None = None
    target2: Tensor | None = None


class AbstractMethod(abc.ABC):
    """A method under training.

    Attributes:
        encoder, projector: the online networks, those that are evaluated.
        trained: networks the optimizer steps, by name: each parameter in exactly one.
        networks: everything with state, for device moves and checkpoints: trained networks, target
            networks, queues and running statistics.
        dimension: d of the embeddings that the projector makes.
    """

    encoder: nn.Module
    projector: nn.Module
    trained: dict[str, nn.Module]
    networks: nn.ModuleDict
    dimension: int

    @abc.abstractmethod
    def forward(self, view1: Tensor, view2: Tensor, labels: Tensor | None = None) -> Forward:
        """The loss of one batch of two views, each [N, C, H, W].

        `labels`, int64 [N] with -1 for an image that has none, are for the supervised reference alone.
        """

    def before_epoch(self, epoch: int) -> None:
        """What the method does to its networks before it is trained for one more epoch than `epoch`."""
        del epoch

    def after_step(self, forward: Forward, *, step: int, steps: int) -> None:
        """What the method does once the optimizer has made step `step` of `steps` on the batch `forward`."""
        del forward, step, steps

    def predictor_matrix(self) -> Tensor | None:
        """W_p [d, d] as the diagnostics see it, or None where there is no predictor."""
        return None


def in_full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator of a loss: autocast is off inside, and half-precision tensors come in as float32.

    Under autocast even a product of float32 matrices is made in half precision, which is too coarse for
    covariances, whitening and exponentials.
    """

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        first = next(a for a in args if isinstance(a, torch.Tensor))
        with torch.autocast(first.device.type, enabled=False):
            full = {name: _full(value) for name, value in kwargs.items()}
            return function(*map(_full, args), **full)  # type: ignore[arg-type]

    return wrapped


def _full(value: object) -> object:
    half = isinstance(value, torch.Tensor) and value.dtype in (torch.bfloat16, torch.float16)
    return value.float() if half else value  # type: ignore[attr-defined]
