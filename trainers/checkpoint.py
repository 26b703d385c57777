"""A trial's state on disk: written atomically, the last two kept, a broken one passed over."""

from __future__ import annotations

import hashlib
import io
import os
import re
from pathlib import Path
from typing import Any

from trainers.lazy import torch
from trainers.report import EpochReport

KEPT = 2  # the newest may turn out to be broken; then the one before it is used
_NAME = re.compile(r"epoch-(\d{6})\.pt")


def save(folder: Path, state: dict[str, Any], *, epoch: int) -> None:
    """Write the state after `epoch` epochs; a crash at any moment leaves the previous ones whole.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"epoch-{epoch:06d}.pt"
    part = folder / f"{target.name}.part"
    # Through memory: torch reports a full disk as an internal error that names neither disk nor file.
    content = io.BytesIO()
    torch.save(state, content)
    try:
        with part.open("wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    # A later epoch than the one just saved is unreadable or another config's: it must not take a place.
    earlier = [path for number, path in _found(folder) if number <= epoch]
    for _, path in _found(folder):
        if path not in earlier[-KEPT:]:
            path.unlink(missing_ok=True)


def load(folder: Path, *, device: str) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest readable state, or None, and a line about each file that could not be read."""
    warnings: list[str] = []
    for _, path in reversed(_found(folder)):
        try:
            state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
            return state, warnings
        except Exception as error:  # torch raises many types on a truncated file
            warnings.append(f"checkpoint {path.name} is unreadable ({type(error).__name__}); passed over")
    return None, warnings


def clear(folder: Path) -> None:
    """Remove every checkpoint in `folder`."""
    for _, path in _found(folder):
        path.unlink(missing_ok=True)


def packed(report: EpochReport) -> dict[str, Any]:
    """A report as torch.load(weights_only=True) will take it: arrays as tensors."""
    return report.model_dump() | {"arrays": {name: torch.from_numpy(a) for name, a in report.arrays.items()}}


def unpacked(content: dict[str, Any]) -> EpochReport:
    """The report that `packed` packed."""
    arrays = {name: tensor.cpu().numpy() for name, tensor in content["arrays"].items()}
    return EpochReport.model_validate(content | {"arrays": arrays})


def digest(state: dict[str, torch.Tensor]) -> str:
    """Hash of every tensor's bytes: equal for networks that are equal bit for bit."""
    out = hashlib.sha256()
    for name in sorted(state):
        out.update(name.encode())
        out.update(state[name].detach().cpu().contiguous().numpy().tobytes())
    return out.hexdigest()[:12]


def _found(folder: Path) -> list[tuple[int, Path]]:
    matches = ((_NAME.fullmatch(path.name), path) for path in folder.glob("epoch-*.pt"))
    return sorted((int(match[1]), path) for match, path in matches if match)
