"""Torch's own settings by which numbers come out otherwise: as they are, and put back as they were."""

from __future__ import annotations

import contextlib
from operator import attrgetter
from typing import Any

from trainers.config.lazy import torch

_FLAGS = (
    *(f"cudnn.{name}" for name in ("enabled", "benchmark", "deterministic", "allow_tf32")),
    *(f"mkldnn.{name}" for name in ("enabled", "deterministic")),
    *(f"cuda.matmul.allow_{kind}_reduced_precision_reduction" for kind in ("fp16", "bf16")),
    "cuda.matmul.allow_fp16_accumulation",
    # Those of all, of a library, and of an operation: what is said of fewer is put back later, and counts.
    "fp32_precision",
    "cudnn.fp32_precision",
    *(f"{where}.fp32_precision" for where in ("cuda.matmul", "cudnn.conv", "cudnn.rnn")),
    *(f"mkldnn.{operation}.fp32_precision" for operation in ("matmul", "conv", "rnn")),
)
"""In torch.backends."""
_ATTENTION = ("flash", "mem_efficient", "math", "cudnn")


def flags() -> dict[str, Any]:
    """The settings by name."""
    cuda, found = torch.backends.cuda, dict[str, Any]()
    for name in _FLAGS:
        with contextlib.suppress(RuntimeError):  # one of two forms, where the other was last used
            found[name] = attrgetter(name)(torch.backends)
    with contextlib.suppress(RuntimeError):
        found["matmul"] = torch.get_float32_matmul_precision()
    with contextlib.suppress(RuntimeError):  # of a GPU, after an error of its own
        found["device"] = torch.get_default_device()
    found["deterministic"] = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    return found | {kind: getattr(cuda, f"{kind}_sdp_enabled")() for kind in _ATTENTION}


def put_back(before: dict[str, Any]) -> None:
    """Make them what `flags` found before."""
    if (now := flags()) == before:
        return
    if "device" in before and now.get("device") != before["device"]:
        device = before["device"]
        torch.set_default_device(None if device.type == "cpu" else device)
    if now["deterministic"] != before["deterministic"]:  # to set it loads a compiler, in seconds
        only, warns = before["deterministic"]
        torch.use_deterministic_algorithms(only, warn_only=warns)
    for kind in _ATTENTION:
        getattr(torch.backends.cuda, f"enable_{kind}_sdp")(before[kind])
    if "matmul" in before:
        torch.set_float32_matmul_precision(before["matmul"])
    for name in _FLAGS:
        if name in before:
            where, _, flag = name.rpartition(".")
            setattr(attrgetter(where)(torch.backends) if where else torch.backends, flag, before[name])
