"""What a script says while `orch` runs it as `trainer: command`. Imports nothing but Python's own."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_said = False


def report(
    *, epoch: int | None = None, arrays: Mapping[str, Any] | None = None, **metrics: float | None
) -> None:
    """Tell orch numbers of an epoch, or without one, those of the end; nothing where orch does not run this.

    Args:
        epoch: epochs trained so far.
        arrays: arrays of real numbers of that epoch, such as spectra, by name.
        metrics: numbers by name, also of NumPy's or one-element tensors; None: not defined.

    Raises:
        ValueError: arrays without an epoch.
    """
    global _said
    place = os.environ.get("ORCH_REPORT")
    if not place:
        if not _said:
            print("orchestrator.report: orch does not run this, so nothing is kept", file=sys.stderr)
        _said = True
        return
    if arrays:
        if epoch is None:
            raise ValueError("arrays are of an epoch; say which: report(epoch=3, arrays=...)")
        _write(arrays, Path(os.environ["ORCH_FOLDER"]) / "arrays" / f"{epoch}.npz")
    numbers = {name: None if value is None else float(value) for name, value in metrics.items()}
    line = json.dumps(({} if epoch is None else {"epoch": int(epoch)}) | numbers) + "\n"
    with open(place, "ab", buffering=0) as file:
        file.write(line.encode())  # in one piece: several processes may report


def _write(arrays: Mapping[str, Any], path: Path) -> None:
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")  # several processes may report
    with part.open("wb") as file:
        np.savez_compressed(file, **{name: np.asarray(array) for name, array in arrays.items()})  # type: ignore[arg-type]
    part.replace(path)
