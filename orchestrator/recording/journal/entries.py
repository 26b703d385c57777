"""The journal's format: what a store was told, as lines of JSON that any later version can read.

A driver's journal is a folder; folders sort in the order in which drivers began to write. `driver.json`
says who wrote it and for which store, and opens with the version of the format. Each trial has a file of
its own, `000007-<trial id>.jsonl`, which holds what was told of it in order; what concerns the whole sweep
is in files of one line. Files are numbered by their first line; one whose content has arrived in the store
is removed. This is version 5; a version is never changed, only followed by another.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Base64Bytes, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from orchestrator.recording.store_port import Store
from orchestrator.records import SweepInfo, TrialFacts, TrialId
from trainers.attempt.arrays import Array
from trainers.attempt.folders import Folder
from trainers.attempt.report import EpochReport, Outcome
from trainers.config.base import Frozen

VERSION = 5  # a trial may begin instead of a run that it had
HEADER = "driver.json"
FileName = Annotated[str, StringConstraints(pattern=r"^[^./\\\x00][^/\\\x00]*$")]


class Header(Frozen):
    """Who wrote a journal, and for which store."""

    journal: int
    """Version of the format."""
    store: str
    """The store's address without user and password; sqlite:///mlflow.db is the one in the same home."""
    host: str
    machine: str = ""
    """Where `pid` means something."""
    pid: int
    command: str
    """As typed, without user and password."""


class Begun(Frozen):
    """A trial starts, or starts again."""

    entry: Literal["begun"] = "begun"
    trial: TrialFacts
    sweep: SweepInfo
    worker: str | None
    attempt: str
    """Name of this attempt, told apart from all others."""
    instead_of: str | None = None
    """The store's name for the run of a result that this is trained anew for; empty if that was not known."""

    def tell(self, store: Store) -> None:
        """Tell a store."""
        by, anew = self.attempt, self.instead_of
        store.begin(self.trial, self.sweep, worker=self.worker, attempt=by, instead_of=anew)


class Reported(Frozen):
    """A trial finished an epoch."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    entry: Literal["reported"] = "reported"
    trial_id: TrialId
    epoch: int
    epochs: int
    metrics: dict[str, float]
    arrays: dict[str, Array] = {}

    def tell(self, store: Store) -> None:
        """Tell a store."""
        store.report(
            self.trial_id,
            EpochReport(epoch=self.epoch, epochs=self.epochs, metrics=self.metrics, arrays=self.arrays),
        )


class Ended(Frozen):
    """A trial ended."""

    entry: Literal["ended"] = "ended"
    trial_id: TrialId
    outcome: Outcome
    sweep: SweepInfo

    def tell(self, store: Store) -> None:
        """Tell a store."""
        store.finish(self.trial_id, self.outcome, self.sweep)


class Adopted(Frozen):
    """A sweep asks for trials that are known."""

    entry: Literal["adopted"] = "adopted"
    labels: dict[TrialId, str]
    """Labels by trial id."""
    sweep: SweepInfo

    def tell(self, store: Store) -> None:
        """Tell a store."""
        store.adopt(self.labels, self.sweep)


class Attached(Frozen):
    """Files beside a trial."""

    entry: Literal["attached"] = "attached"
    trial_id: TrialId
    files: dict[FileName, Base64Bytes]

    def tell(self, store: Store) -> None:
        """Tell a store."""
        store.attach(self.trial_id, self.files)


class EncoderKept(Frozen):
    """A trial has left its encoder in its folder; the file itself, being large, is no part of a journal."""

    entry: Literal["encoder"] = "encoder"
    trial_id: TrialId
    folder: Folder
    """In the home folder it is named from there."""
    sha256: str

    def tell(self, store: Store) -> None:
        """Tell a store."""
        store.keep_encoder(self.trial_id, self.folder, self.sha256)


class Published(Frozen):
    """A sweep's tables and figures."""

    entry: Literal["published"] = "published"
    sweep: SweepInfo
    files: dict[FileName, Base64Bytes]
    content: str

    def tell(self, store: Store) -> None:
        """Tell a store."""
        store.publish(self.sweep, self.files, content=self.content)


Entry = Begun | Reported | Ended | Adopted | Attached | EncoderKept | Published
_ENTRY: TypeAdapter[Entry] = TypeAdapter(Annotated[Entry, Field(discriminator="entry")])


def reported(trial_id: str, report: EpochReport) -> Reported:
    """The entry of a report."""
    return Reported(
        trial_id=trial_id,
        epoch=report.epoch,
        epochs=report.epochs,
        metrics=report.metrics,
        arrays=report.arrays,
    )


def line(entry: Entry) -> bytes:
    """An entry as one line."""
    return entry.model_dump_json(by_alias=False).encode() + b"\n"


def parsed(content: bytes) -> Entry | None:
    """The entry of a line; None if the line is not whole or no entry of this version."""
    if not content.endswith(b"\n"):  # its driver died while it was written
        return None
    try:
        return _ENTRY.validate_json(content)
    except ValidationError:
        return None
