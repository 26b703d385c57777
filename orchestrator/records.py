"""What a store keeps of a trial, and what a table or figure reads back. Values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import ConfigDict, Field, StringConstraints, model_serializer

from trainers.attempt.arrays import Array
from trainers.attempt.report import EpochReport, ErrorClass, Outcome, Status
from trainers.config.base import Frozen

RecordStatus = Literal["running", Status]
MEASURED: frozenset[str] = frozenset({"completed", "collapsed", "pruned"})
"""Statuses of trials that have final metrics."""
FINAL: frozenset[str] = frozenset({"completed", "collapsed", "diverged", "pruned"})
"""Statuses that need no further training: results, whether welcome or not."""

LONGEST_S = 1e10
"""Seconds, 317 years: longer than anything takes, so that more is no time, and sums of times are numbers."""

TrialId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12}$")]


def without_empty(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """`values` without these where they are empty: as they were before these existed."""
    return {name: value for name, value in values.items() if value or name not in names}


def left_out_if_empty(*names: str) -> Any:
    """Let a model be written without these fields where they are empty: as before it had them."""

    def written(self: Any, handler: Any) -> dict[str, Any]:
        return without_empty(handler(self), *names)

    return model_serializer(mode="wrap")(written)


class TrialFacts(Frozen):
    """What a store keeps of a trial besides its results: values only, so that a journal can keep them too."""

    trial_id: TrialId
    cell_id: TrialId
    label: str
    """Cell and seed in words."""
    cell: str
    """The cell in words."""
    seed: int
    levels: dict[str, str]
    """Level by axis, where the axis holds for the cell."""
    identity: dict[str, Any]
    """Everything that decides the trial's numbers: what its id is the hash of."""
    config: dict[str, Any]
    """The whole resolved config."""


class Imported(Frozen):
    """Where a result is from that was not trained here, and which cell and seed it stands beside."""

    sweep: str
    levels: dict[str, str]
    """Level by axis, where the axis holds for the cell; the other settings are whoever's trained it."""
    seed: int
    source: str
    """What tables call where it is from; with sweep, levels and seed it is one result."""
    file: str
    """Name of the file or folder, or address of the store, that it was read from."""
    sha256: str
    """Digest of what was read."""
    date: str
    """Day of the import, as 2026-01-31."""
    place: str = ""
    """Line or run in the file."""


class Origin(Frozen):
    """Which code and data a result is from."""

    code_version: str | None = None
    data_fingerprint: str | None = None
    source: dict[str, str] = {}


class TrialRecord(Frozen):
    """What the store knows of one trial."""

    trial_id: str
    status: RecordStatus
    metrics: dict[str, float] = {}
    """Final metrics."""
    collapse: Literal["none", "dimensional", "total"] | None = None
    """Verdict of the collapse diagnostics; None where they could not be made."""
    reason: str | None = None
    error: ErrorClass | None = None
    """Class of a failure."""
    code_version: str | None = None
    """Commit (with "+dirty" if it had changes) or release that trained it."""
    data_fingerprint: str | None = None
    streams_fingerprint: str | None = None
    source: dict[str, str] = {}
    """Digests of the code that trained it, by file; empty where that was not recorded."""
    data_listing: str | None = None
    """Number of the files it has seen, and a digest of names and sizes; None: they cannot change."""
    encoder: str | None = None
    """SHA-256 of the file with its encoder; None where it was not kept."""
    run: str | None = None
    """The store's own name for it, such as the MLflow run id."""
    spent_s: float | None = Field(None, ge=0, le=LONGEST_S)
    """Seconds of wall time; None where its last attempt is not all that it took, or nobody has told."""
    on_gpu: bool = False
    """Whether that was on a GPU."""
    attempts: int = 0
    """How often it was begun, over all commands."""
    expected: dict[str, str] = {}
    """The expectations that were written down when it first began, by what they are about."""
    perhaps_begun_before: bool = False
    """Whether nobody knows that `expected` is of its first beginning: it went on from a checkpoint of which
    the store knew nothing, or the store could not be asked."""
    worker: str | None = None
    """Node and process of the last attempt."""
    imported: Imported | None = None
    """Where it is from, if it was not trained here; its id is then no trial's that a sweep asks for."""
    evaluations: dict[str, Origin] = Field({}, exclude=True)
    """Where numbers are from that evaluations of its encoder have found, by their names; kept nowhere, for
    evaluations are trials of their own."""

    _late = left_out_if_empty("expected", "perhaps_begun_before", "spent_s", "on_gpu")

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to train."""
        return self.status in FINAL

    def counts(self, *, search: bool) -> bool:
        """Whether this is a result of a sweep: of a `search` also one that its schedule ended early."""
        return self.is_done and (search or self.status != "pruned")


class Curves(Frozen):
    """A trial's metrics and spectra over training."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    metrics: dict[str, tuple[tuple[int, float], ...]] = {}
    """(epoch, value) pairs by metric, in the order of the epochs."""
    spectra_epochs: tuple[int, ...] = ()
    """Epochs R at which spectra were recorded."""
    spectra: dict[str, Array] = {}
    """Arrays [R, d] by name: "F", "Wp", "alignment"."""


def curves_of(reports: Sequence[EpochReport]) -> Curves:
    """The curves that a trial's reports draw; of several reports of one epoch the last counts."""
    by_epoch = {report.epoch: report for report in reports}
    ordered = [by_epoch[epoch] for epoch in sorted(by_epoch)]
    metrics: dict[str, list[tuple[int, float]]] = {}
    for report in ordered:
        for name, value in report.metrics.items():
            metrics.setdefault(name, []).append((report.epoch, value))
    recorded = _alike([report for report in ordered if report.arrays])
    names = recorded[0].arrays if recorded else {}
    return Curves(
        metrics={name: tuple(pairs) for name, pairs in metrics.items()},
        spectra_epochs=tuple(report.epoch for report in recorded),
        spectra={name: np.stack([report.arrays[name] for report in recorded]) for name in names},
    )


def _alike(reports: Sequence[EpochReport]) -> list[EpochReport]:
    """Those with the arrays that most of them have: a damaged line of a journal may have changed one's."""
    shapes = [frozenset((name, array.shape) for name, array in report.arrays.items()) for report in reports]
    usual = max(shapes, key=shapes.count, default=None)
    return [report for report, shape in zip(reports, shapes, strict=True) if shape == usual]


class Provenance(Frozen):
    """Where numbers come from: recorded with every trial, never part of its identity."""

    code_version: str
    packages: dict[str, str] = {}
    hardware: dict[str, Any] = {}
    command: str = ""


class SweepInfo(Frozen):
    """The sweep on whose behalf a trial is stored."""

    name: str
    profile: str | None
    provenance: Provenance
    question: str | None = None
    """What the sweep asks, in words."""
    metrics: tuple[str, ...] = ()
    """The metrics of its tables, in their order."""
    expected: dict[str, str] = {}
    """What it expects of its cells, by what that is about: digest and words."""

    _late = left_out_if_empty("expected", "metrics")


def duration_of(value: object) -> float | None:
    """A number of seconds that something can have taken; None where it is none."""
    return float(value) if isinstance(value, int | float) and 0 <= value <= LONGEST_S else None


def record_of(
    trial_id: str, outcome: Outcome, provenance: Provenance, *, expected: Mapping[str, str] | None = None
) -> TrialRecord:
    """The record that an outcome leaves in a store; `expected` as it was when the trial first began."""
    details: Mapping[str, Any] = outcome.details
    spent = None if "resumed_at_epoch" in details else duration_of(details.get("wall_s"))
    return TrialRecord(
        trial_id=trial_id,
        status=outcome.status,
        metrics=outcome.metrics,
        collapse=details.get("collapse", {}).get("verdict"),
        reason=outcome.reason,
        error=outcome.error,
        code_version=provenance.code_version,
        data_fingerprint=details.get("data_fingerprint"),
        streams_fingerprint=details.get("streams_fingerprint"),
        source=details.get("source", {}),
        data_listing=details.get("data_listing"),
        encoder=details.get("encoder", {}).get("sha256"),
        imported=details.get("imported"),
        expected=dict(expected or {}),
        perhaps_begun_before=bool(details.get("perhaps_begun_before")),
        spent_s=spent,
        on_gpu=spent is not None and str(details.get("device", "cpu")) != "cpu",
    )


def status_of(record: TrialRecord | None) -> str:
    """A trial's status; "missing" without a record, "dimensional" if completed with few dimensions."""
    if record is None:
        return "missing"
    partly = record.status == "completed" and record.collapse == "dimensional"
    return "dimensional" if partly else record.status


def unequal_metrics(ours: TrialRecord, known: TrialRecord) -> list[str]:
    """The final metrics that differ; how long something took is no result."""
    names = sorted({*ours.metrics, *known.metrics})
    return [n for n in names if not n.startswith("time/") and ours.metrics.get(n) != known.metrics.get(n)]
