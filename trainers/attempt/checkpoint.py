"""A trial's state on disk or on S3: whole, with a checksum, the last two kept, a bad one passed over."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from trainers.attempt.folders import Files, Folder, StorageError, files
from trainers.attempt.report import EpochReport, Report
from trainers.config.lazy import torch

KEPT = 2  # the newest may turn out to be broken; then the one before it is used
STATE = "script"
"""Folder with what a script needs to go on: like checkpoints, it goes with the trial's result."""
ENCODER, GIVEN = "encoder.safetensors", "given.safetensors"
"""Files in a trial's folder: the encoder that it leaves, and the one that it was given to start from."""
_NAME = re.compile(r"epoch-(\d{6})\.pt")
_ANEW = "anew-"  # before the mark of a beginning that goes on from no earlier one
_SUM = b"\nsha256 "  # before the checksum at a file's end; torch reads a file with it as one without
_T = TypeVar("_T")


def save(folder: Folder, state: dict[str, Any], *, epoch: int) -> None:
    """Write the state after `epoch` epochs; a crash at any moment leaves the previous ones whole.

    Raises:
        StorageError: the disk is full, the folder cannot be written, or S3 refuses or does not answer.
    """
    # Through memory: torch reports a full disk as an internal error that names neither disk nor file.
    content = io.BytesIO()
    torch.save(state, content)
    content.write(_SUM + _checksum(content.getbuffer()))
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


def names_in(folder: Folder) -> list[str]:
    """Names of a trial's checkpoints, the oldest first; nothing of them is read."""
    return [_name(epoch) for epoch in _found(files(folder))]


def content_of(folder: Folder) -> dict[str, bytes]:
    """A trial's checkpoints as they lie there, by name."""
    there = files(folder)
    return {name: there.read(name) for name in names_in(folder)}


def put_into(folder: Folder, checkpoints: Mapping[str, bytes]) -> None:
    """Give a trial checkpoints as `content_of` read them elsewhere; what is no checkpoint is left out.

    Raises:
        StorageError: the folder does not take them.
    """
    there = files(folder)
    for name, content in checkpoints.items():
        if _NAME.fullmatch(name):
            there.write(name, io.BytesIO(content))


def load(folder: Folder | None, restore: Callable[[dict[str, Any]], _T]) -> tuple[_T | None, list[str]]:
    """What `restore` makes of the newest state that is whole and fits, or None, and a line about each other.

    Args:
        folder: the trial's own; None has none.
        restore: given a state on the CPU, what to go on from; raises an error if the state does not fit.

    Raises:
        StorageError: the disk or S3 refuses or does not answer: a trial that starts anew would be trained
            twice.
        MemoryError, torch.OutOfMemoryError, torch.AcceleratorError: this process cannot go on; the state can.
    """
    warnings: list[str] = []
    if folder is None:
        return None, warnings
    there = files(folder)
    for epoch in reversed(_found(there)):
        told = "is unreadable"
        try:
            content = io.BytesIO(_whole(there.read(_name(epoch))))
            state = torch.load(content, map_location="cpu", weights_only=True)
            told = "does not fit this trial"
            return restore(state), warnings
        except (StorageError, MemoryError, torch.OutOfMemoryError, torch.AcceleratorError):
            raise
        except Exception as error:  # torch raises many types on a damaged file
            cause = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            warnings.append(f"checkpoint {_name(epoch)} {told} ({cause}); passed over")
    return None, warnings


def clear(folder: Folder, *, hasty: bool = False) -> None:
    """Remove every checkpoint in `folder` and what it was given, and the folder if nothing else is in it.

    `hasty`: without many attempts, for what only takes room.

    Raises:
        OSError: one could not be removed.
    """
    there = files(folder, hasty=hasty)
    _forget(folder, there, hasty=hasty)
    there.remove(GIVEN)
    there.remove_if_empty()


def begin_anew(folder: Folder, mark: str) -> None:
    """Remove what a trial would go on from, once for each `mark`: on every node that has a folder of its own.

    Raises:
        StorageError: something could not be removed.
    """
    there = files(folder)
    try:
        if (name := f"{_ANEW}{mark}") not in there.names():
            _forget(folder, there, hasty=False)
            there.write(name, io.BytesIO())
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"{folder}: cannot be begun anew: {error}; remove it, or mend that") from None


def _forget(folder: Folder, there: Files, *, hasty: bool) -> None:
    for name in there.names():
        if _NAME.fullmatch(name) or name.startswith(_ANEW):
            there.remove(name)
    if isinstance(folder, Path):
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder / STATE, ignore_errors=hasty)


def to_plain(report: EpochReport) -> dict[str, Any]:
    """A report as torch.load(weights_only=True) will take it: arrays as tensors."""
    return report.model_dump() | {"arrays": {name: torch.from_numpy(a) for name, a in report.arrays.items()}}


def from_plain(content: dict[str, Any]) -> EpochReport:
    """The report that `to_plain` made plain."""
    arrays = {name: tensor.cpu().numpy() for name, tensor in content["arrays"].items()}
    return EpochReport.model_validate(content | {"arrays": arrays})


def past(state: dict[str, Any], *, config: str) -> list[EpochReport]:
    """The reports that a state holds, of epoch 0 and all that follow.

    Args:
        state: has its config and, by `to_plain`, its reports.
        config: the trial's own, canonical.

    Raises:
        ValueError: it is another config's, or reports are missing.
    """
    if state["config"] != config:
        raise ValueError("it is another config's")
    reports = [from_plain(plain) for plain in state["history"]]
    if not reports or [report.epoch for report in reports] != list(range(len(reports))):
        raise ValueError("reports are missing in it")
    return reports


def replay(reports: list[EpochReport], report: Report) -> None:
    """Report once more what was reported before an interruption, marked so."""
    for one in reports:
        report(EpochReport.model_validate(dict(one) | {"replayed": True}))


def digest(state: dict[str, torch.Tensor]) -> str:
    """Hash of every tensor's bytes: equal for networks that are equal bit for bit."""
    out = hashlib.sha256()
    for name in sorted(state):
        out.update(name.encode())
        out.update(state[name].detach().cpu().contiguous().numpy().tobytes())
    return out.hexdigest()[:12]


def _checksum(content: bytes | memoryview) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _whole(content: bytes) -> bytes:
    """The content of a file before its checksum; of one that an older version wrote, without any, all of it.

    Raises:
        ValueError: the checksum is another.
    """
    state, mark, checksum = content.rpartition(_SUM)
    if mark and checksum != _checksum(state):
        raise ValueError("its checksum is another")
    return state if mark else content


def _found(there: Files) -> list[int]:
    """Epochs of the checkpoints there, in order."""
    return sorted(int(match[1]) for name in there.names() if (match := _NAME.fullmatch(name)))


def _name(epoch: int) -> str:
    return f"epoch-{epoch:06d}.pt"
