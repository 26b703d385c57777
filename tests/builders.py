"""Small valid values to start a test from."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from orchestrator.language.load import load
from orchestrator.language.sweep_spec import SweepSpec
from orchestrator.planning.expand import Expansion, expand
from orchestrator.planning.trials import TrialSpec
from orchestrator.records import Provenance, SweepInfo, TrialRecord
from trainers.attempt.report import EpochReport, Outcome

TINY = """
    version: 1
    name: tiny
    base:
      trainer: ssl
      method: {name: byol, predictor: {hidden: 16}}
      data: {name: shapes, size: 8, train: 128, test: 64}
      encoder: {name: mlp, widths: [16]}
      projector: {hidden: [16], output: 16}
      batch_size: 64
      epochs: 2
      probe: {epochs: 2}
      knn: {k: 5}
"""
AXES = """
    axes:
      ema:
        EMA: {method.momentum: 0.9}
        No EMA: {method.momentum: 0.0}
      predictor:
        symmetric: {method.predictor.symmetric: true}
        regular: {method.predictor.symmetric: false}
    seeds: 2
    tables:
      - name: main
        rows: ema
        columns: predictor
        baseline: {ema: EMA, predictor: regular}
"""
PUBLISHED = """
        published:
          source: a paper, Table 1
          tolerance: 1.5
          values: [[85.7, 84.2], [20.3, 79.4]]
"""
INFO = SweepInfo(name="tiny", profile=None, provenance=Provenance(code_version="abc123"))


def yaml(*parts: str) -> str:
    """Parts of a sweep file, each at the left margin."""
    return "".join(textwrap.dedent(part) for part in parts)


def indented(part: str) -> str:
    """A part that goes below another one."""
    return textwrap.indent(textwrap.dedent(part), "    ")


def table_yaml(extra: str = "") -> str:
    """The tiny sweep with axes, a table, and more lines of the table."""
    return yaml(TINY, AXES) + indented(extra)


def sweep(text: str, files: Mapping[str, str] | None = None) -> SweepSpec:
    """The sweep that `text` describes, called sweep.yaml; `files` are what it may extend."""
    there = {"sweep.yaml": text, **(files or {})}
    return load("sweep.yaml", lambda name, child: (name, there[name]))


def expansion(text: str | None = None, **options: Any) -> Expansion:
    """The cells and trials of `text`, by default of the tiny sweep with its table."""
    return expand(sweep(text or table_yaml()), **options)


def trials(number: int = 2) -> list[TrialSpec]:
    """The first trials of the tiny sweep."""
    return list(expansion().trials[:number])


def record(trial_id: str, value: float | None = 0.5, status: str = "completed", **more: Any) -> TrialRecord:
    """A record with one metric."""
    metrics = {} if value is None else {"probe/top1": value}
    return TrialRecord.model_validate({"trial_id": trial_id, "status": status, "metrics": metrics, **more})


def report(epoch: int, **metrics: float) -> EpochReport:
    """A report of two epochs' training."""
    return EpochReport(epoch=epoch, epochs=2, metrics=metrics or {"train/loss": -0.5 * epoch})


def outcome(value: float = 0.5, status: str = "completed", **more: Any) -> Outcome:
    """An outcome with one metric."""
    return Outcome.model_validate({"status": status, "metrics": {"probe/top1": value}, **more})
