"""A trial's curves and spectra as the bytes of one .npz, without pickle."""

from __future__ import annotations

import io

import numpy as np

from orchestrator.results import Curves


def packed(curves: Curves) -> bytes:
    """One .npz: "epochs" [R], spectra [R, d] by name, and "metric/<name>" [E, 2] as (epoch, value)."""
    arrays = {"epochs": np.array(curves.spectra_epochs, dtype=np.int64), **curves.spectra}
    arrays |= {f"metric/{name}": np.array(pairs) for name, pairs in curves.metrics.items()}
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)  # type: ignore[arg-type]  # numpy's stub mistakes the names
    return out.getvalue()


def unpacked(content: bytes) -> Curves:
    """The curves that `packed` wrote."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    epochs = tuple(int(epoch) for epoch in arrays.pop("epochs"))
    metrics = {
        name.removeprefix("metric/"): tuple((int(epoch), float(value)) for epoch, value in arrays.pop(name))
        for name in list(arrays)
        if name.startswith("metric/")
    }
    return Curves(metrics=metrics, spectra_epochs=epochs, spectra=arrays)
