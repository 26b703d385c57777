"""torch and torchvision as names that are imported when first used.

A method's config stands beside its code, and planning a sweep must read every config. Importing torch
takes two seconds, so files that hold a config take torch from here: reading them costs nothing, and the
first attribute that is asked for pays for the import.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch as torch
    import torchvision as torchvision
    from torch import nn as nn
    from torch.nn import functional as F
else:

    class _LazyModule(ModuleType):
        """A stand-in for a module that imports the real one when an attribute is first asked for."""

        def __getattr__(self, attribute: str) -> Any:
            if attribute.startswith("__"):  # inspection (pickle, doctest) must not import torch
                raise AttributeError(attribute)
            value = getattr(importlib.import_module(self.__name__), attribute)
            setattr(self, attribute, value)
            return value

    torch = _LazyModule("torch")
    torchvision = _LazyModule("torchvision")
    nn = _LazyModule("torch.nn")
    F = _LazyModule("torch.nn.functional")

__all__ = ["F", "nn", "torch", "torchvision"]
