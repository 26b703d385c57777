"""What every optimizer's config has: a rate and a decay, and both again for each network."""

from __future__ import annotations

import functools
import inspect
from typing import Any, Literal

from pydantic import Field, model_validator

from trainers.config.base import Frozen
from trainers.config.lazy import torch

MARKED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
"""What torch's optimizers have as functions that are marked for `torch.compile`, beside `step`."""


@functools.cache
def uncompiled(kind: type[torch.optim.Optimizer]) -> Any:
    """The same optimizer, of which `torch.compile` knows nothing: the same numbers, bit for bit.

    torch marks functions of its optimizers for `torch.compile`, which nobody calls here; the marks import
    `torch._dynamo` when an optimizer is made, and that takes as long as torch itself.
    """
    bare = {name: inspect.unwrap(getattr(kind, name)) for name in MARKED}
    return type(kind.__name__, (kind,), bare | {"step": torch.no_grad()(inspect.unwrap(kind.step))})


class NetworkRates(Frozen):
    """Rates of one network where they differ from the optimizer's own; None means no difference."""

    lr: float | None = Field(None, ge=0)
    """Learning rate; for the predictor this is α_p of the report's Figure 4, an absolute value."""
    lr_multiple: float | None = Field(None, ge=0)
    """The same as a multiple of the optimizer's lr; for the predictor this is α_p of the theory."""
    weight_decay: float | None = Field(None, ge=0)
    """Coupled L2 decay; for the predictor this is η_p."""
    schedule: Literal["constant"] | None = None
    """"constant": this network's rate does not follow the schedule (SimSiam's predictor)."""

    @model_validator(mode="after")
    def _one_rate(self) -> NetworkRates:
        if self.lr is not None and self.lr_multiple is not None:
            raise ValueError("lr and lr_multiple both say how fast; keep one of the two")
        return self

    def rate(self, base: float) -> float:
        """The network's learning rate where the optimizer's own is `base`."""
        if self.lr is not None:
            return self.lr
        return base if self.lr_multiple is None else base * self.lr_multiple


class OptimizerConfig(Frozen):
    """Rates common to all optimizers."""

    name: str
    lr: float = Field(gt=0)
    """Learning rate α, as it is applied: not scaled by the batch size."""
    weight_decay: float = Field(0.0, ge=0)
    """Decay η. SGD and LARS: coupled L2, the gradient plus η·w, as torch's SGD has it."""
    decay: Literal["all", "no_bias", "no_bias_no_norm"] = "all"
    """Which parameters decay: all (luckmatters), all but layer biases (the report: BatchNorm's γ and β
    decay), or neither biases nor BatchNorm (BYOL)."""
    encoder: NetworkRates | None = None
    """Rates of the encoder where they differ."""
    projector: NetworkRates | None = None
    """Rates of the projector where they differ."""
    predictor: NetworkRates | None = None
    """Rates of the predictor where they differ."""
