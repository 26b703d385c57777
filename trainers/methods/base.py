"""What a self-supervised method is to the loop: a loss over two views, and what follows each step."""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from trainers.config.base import Frozen
from trainers.config.lazy import torch
from trainers.config.plugins import behind

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
        metrics: what the method measures of the batch, scalars by name; the means over an epoch's batches are
            reported. Their names are in METRICS of the method's file.
    """

    loss: Tensor
    z1: Tensor
    z2: Tensor
    target1: Tensor | None = None
    target2: Tensor | None = None
    metrics: Mapping[str, Tensor | float] = field(default_factory=dict)


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


class OwnMetrics:
    """Means over an epoch of what a method measures beside its trainer."""

    def __init__(self, config: MethodConfig, taken: Collection[str]) -> None:
        """Take those that the method's file declares; `taken` are the trainer's own names."""
        self._method, self._taken = config.name, taken
        self._declared = getattr(behind(type(config)), "METRICS", ())
        self._sums: dict[str, tuple[Tensor, int]] = {}

    def begin(self) -> None:
        """An epoch begins."""
        self._sums = {}

    def add(self, metrics: Mapping[str, Tensor | float]) -> None:
        """Those of one more batch; nothing is read from the device.

        Raises:
            ValueError: one is not declared, has a name of the trainer's, or is no scalar.
        """
        for name, value in metrics.items():
            if name not in self._declared:
                raise ValueError(f"method '{self._method}' measures '{name}', which its METRICS lacks")
            if name in self._taken:
                raise ValueError(f"method '{self._method}' measures '{name}', as its trainer does; rename it")
            number = torch.as_tensor(value).detach().float()
            if number.numel() != 1:
                shape = list(number.shape)
                raise ValueError(f"method '{self._method}': metric '{name}' is {shape}, expected one number")
            total, count = self._sums.get(name, (number.new_zeros(()), 0))
            self._sums[name] = (total + number.reshape(()), count + 1)

    def means(self) -> dict[str, float]:
        """The mean of each over the batches that had it."""
        return {name: float(total) / count for name, (total, count) in self._sums.items()}


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
