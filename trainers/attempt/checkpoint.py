"""A trial's state on disk or on S3: written atomically, the last two kept, a broken one passed over."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
from typing import Any

from trainers.attempt.folders import Files, Folder, StorageError, files
from trainers.attempt.report import EpochReport
from trainers.config.lazy import torch

KEPT = 2  # the newest may turn out to be broken; then the one before it is used
_NAME = re.compile(r"epoch-(\d{6})\.pt")


def save(folder: Folder, state: dict[str, Any], *, epoch: int) -> None:
    """Write the state after `epoch` epochs; a crash at any moment leaves the previous ones whole.

    Raises:
        StorageError: the disk is full, the folder cannot be written, or S3 refuses or does not answer.
    """
    # Through memory: torch reports a full disk as an internal error that names neither disk nor file.
    content = io.BytesIO()
    torch.save(state, content)
    there = files(folder)
    try:
        there.write(_name(epoch), content)
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(
            f"{folder}: no checkpoint written: {error.strerror or error}; free some space there, or mend it"
        ) from None
    with contextlib.suppress(OSError):  # the state is safe; what could not be removed goes with the next one
        found = _found(there)
        # A later epoch than the one just saved is unreadable or another config's: it must not take a place.
        kept = [number for number in found if number <= epoch][-KEPT:]
        for number in found:
            if number not in kept:
                there.remove(_name(number))


def load(folder: Folder, *, device: str) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest readable state, or None, and a line about each file that could not be read.

    Raises:
        StorageError: S3 refuses or does not answer: a trial that starts anew would be trained twice.
    """
    warnings: list[str] = []
    there = files(folder)
    for epoch in reversed(_found(there)):
        try:
            content = io.BytesIO(there.read(_name(epoch)))
            state: dict[str, Any] = torch.load(content, map_location=device, weights_only=True)
            return state, warnings
        except StorageError:
            raise
        except Exception as error:  # torch raises many types on a truncated file
            warnings.append(f"checkpoint {_name(epoch)} is unreadable ({type(error).__name__}); passed over")
    return None, warnings


def clear(folder: Folder) -> None:
    """Remove every checkpoint in `folder`, and the folder if nothing else is in it.

    Raises:
        OSError: one could not be removed.
    """
    there = files(folder, hasty=True)
    for epoch in _found(there):
        there.remove(_name(epoch))
    there.remove_if_empty()


def to_plain(report: EpochReport) -> dict[str, Any]:
    """A report as torch.load(weights_only=True) will take it: arrays as tensors."""
    return report.model_dump() | {"arrays": {name: torch.from_numpy(a) for name, a in report.arrays.items()}}


def from_plain(content: dict[str, Any]) -> EpochReport:
    """The report that `to_plain` made plain."""
    arrays = {name: tensor.cpu().numpy() for name, tensor in content["arrays"].items()}
    return EpochReport.model_validate(content | {"arrays": arrays})


def digest(state: dict[str, torch.Tensor]) -> str:
    """Hash of every tensor's bytes: equal for networks that are equal bit for bit."""
    out = hashlib.sha256()
    for name in sorted(state):
        out.update(name.encode())
        out.update(state[name].detach().cpu().contiguous().numpy().tobytes())
    return out.hexdigest()[:12]


def _found(there: Files) -> list[int]:
    """Epochs of the checkpoints there, in order."""
    return sorted(int(match[1]) for name in there.names() if (match := _NAME.fullmatch(name)))


def _name(epoch: int) -> str:
    return f"epoch-{epoch:06d}.pt"
