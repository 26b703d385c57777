"""Trials, curves and spectra as data frames and arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.planning.trials import TrialSpec
from orchestrator.records import Curves, TrialRecord

if TYPE_CHECKING:
    import pandas


def of_trials(trials: Iterable[TrialSpec], records: Mapping[str, TrialRecord]) -> pandas.DataFrame:
    """One row per trial, by id: cell, seed, a column per axis, status, and a column per final metric."""
    import pandas

    return pandas.DataFrame([_row(trial, records.get(trial.id)) for trial in trials]).set_index("trial")


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
    facts = {"trial": trial.id, "cell": trial.cell.label, "seed": trial.seed}
    taken = {*facts, "status", "collapse"}
    levels = {f"axis.{a}" if a in taken else a: level for a, level in trial.cell.choice}
    if record is None:
        return {**facts, **levels, "status": "missing", "collapse": None}
    return {**facts, **levels, "status": record.status, "collapse": record.collapse, **record.metrics}
