"""A trial's files beside its numbers: curves and spectra as one .npz without pickle, config, provenance."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np

from orchestrator.records import Curves, SweepInfo, TrialFacts
from trainers.attempt.report import Outcome
from trainers.config.base import canonical

SPECTRA, PROVENANCE = "spectra.npz", "provenance.json"


def trial_files(trial: TrialFacts, outcome: Outcome, sweep: SweepInfo, curves: Curves) -> dict[str, bytes]:
    """A trial's files by name."""
    facts = {
        "trial_id": trial.trial_id,
        "canonical_config": canonical(trial.identity),
        "sweep": sweep.name,
        "profile": sweep.profile,
        **sweep.provenance.model_dump(),
        "trial": outcome.details,
    }
    return {SPECTRA: to_npz(curves), "config.json": _json(trial.config), PROVENANCE: _json(facts)}


def to_npz(curves: Curves) -> bytes:
    """One .npz: "epochs" [R], spectra [R, d] by name, and "metric/<name>" [E, 2] as (epoch, value)."""
    arrays = {"epochs": np.array(curves.spectra_epochs, dtype=np.int64), **curves.spectra}
    arrays |= {f"metric/{name}": np.array(pairs) for name, pairs in curves.metrics.items()}
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)  # type: ignore[arg-type]  # numpy's stub mistakes the names
    return out.getvalue()


def from_npz(content: bytes) -> Curves:
    """The curves that `to_npz` wrote."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    epochs = tuple(int(epoch) for epoch in arrays.pop("epochs"))
    metrics = {
        name.removeprefix("metric/"): tuple((int(epoch), float(value)) for epoch, value in arrays.pop(name))
        for name in list(arrays)
        if name.startswith("metric/")
    }
    return Curves(metrics=metrics, spectra_epochs=epochs, spectra=arrays)


def seconds_in(content: bytes) -> float | None:
    """The time of all epochs together in a trial's curves; None where they do not say it, or are damaged."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return float(file["metric/time/epoch_s"][:, 1].sum())
    except (KeyError, ValueError, IndexError, OSError, zipfile.BadZipFile):
        return None


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
