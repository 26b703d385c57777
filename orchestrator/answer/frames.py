"""Trials, curves and spectra as data frames and arrays."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.planning.trials import TrialSpec
from orchestrator.records import Curves, TrialRecord

if TYPE_CHECKING:
    import pandas

OUTCOME = ("status", "collapse", "error", "reason")
OWN = frozenset({"trial", "cell", "seed", *OUTCOME})
"""Columns of every frame; an axis of that name becomes "axis.name"."""


def of_trials(trials: Sequence[TrialSpec], records: Mapping[str, TrialRecord]) -> pandas.DataFrame:
    """One row per trial, by id.

    Columns: cell, seed, one per axis (labels of levels; numbers where all of them are), status, collapse,
    error and reason of a failure, and one per final metric.
    """
    import pandas

    rows = [_row(trial, records.get(trial.id)) for trial in trials]
    frame = pandas.DataFrame(rows).set_index("trial")
    for axis in {name for trial in trials for name in _columns(trial)}:
        with contextlib.suppress(ValueError, TypeError):
            frame[axis] = pandas.to_numeric(frame[axis])
    return frame


def of_curves(trials: Iterable[TrialSpec], curves: Mapping[str, Curves]) -> pandas.DataFrame:
    """A row per number: trial, cell, seed, epoch, metric, value."""
    import pandas

    rows = [
        (trial.id, trial.cell.label, trial.seed, epoch, metric, value)
        for trial in trials
        if trial.id in curves
        for metric, pairs in curves[trial.id].metrics.items()
        for epoch, value in pairs
    ]
    return pandas.DataFrame(rows, columns=["trial", "cell", "seed", "epoch", "metric", "value"])


def spectra_by_seed(
    trials: Iterable[TrialSpec], curves: Mapping[str, Curves]
) -> dict[int, dict[str, np.ndarray]]:
    """For each seed that recorded some: "epochs" [R], and arrays [R, d] by name."""
    return {
        trial.seed: {"epochs": np.array(curves[trial.id].spectra_epochs), **curves[trial.id].spectra}
        for trial in trials
        if trial.id in curves and curves[trial.id].spectra
    }


def _row(trial: TrialSpec, record: TrialRecord | None) -> dict[str, Any]:
    facts = {"trial": trial.id, "cell": trial.cell.label, "seed": trial.seed, **_columns(trial)}
    if record is None:
        return facts | dict.fromkeys(OUTCOME) | {"status": "missing"}
    own = {
        "status": record.status,
        "collapse": record.collapse,
        "error": record.error,
        "reason": record.reason,
    }
    return facts | own | record.metrics


def _columns(trial: TrialSpec) -> dict[str, str | None]:
    """Levels by the name of their column."""
    return {f"axis.{axis}" if axis in OWN else axis: level for axis, level in trial.cell.choice}
