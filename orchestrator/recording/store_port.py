"""The two ports: an executor runs trials, a store keeps what they found. Each has an in-process twin."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from orchestrator.events import OnEvent
from orchestrator.planning.trials import TrialSpec
from orchestrator.records import Curves, SweepInfo, TrialFacts, TrialRecord
from trainers.attempt.folders import Folder
from trainers.attempt.report import EpochReport, Outcome


def is_replaced(run: str | None, attempts: Collection[str], by: str | None, attempt: str | None) -> bool:
    """Whether an `attempt` that begins instead of the run `by` replaces this run, which had `attempts`."""
    if by == "":
        return attempt is None or attempt > max(attempts, default="")  # their names sort by time
    return by is not None and by == run


class Executor(Protocol):
    """Runs trials.

    Laws (tests/contracts/test_executors.py): every trial ends in exactly one `Finished`, unless the run
    is interrupted; a trial's numbers do not depend on the executor, on the order or on the neighbours;
    an error in a trial's code is a `failed` outcome with its cause in one line and stops no other trial;
    a worker that is lost costs a trial nothing while it goes forward; what the listener raises ends the run.
    """

    def prepare(self, *, certain: bool) -> None:
        """Begin to get ready while there is something else to do; `certain` if trials are sure to follow."""

    def run(self, trials: Sequence[TrialSpec], on_event: OnEvent) -> None:
        """Run all `trials`, telling `on_event` in this process and thread.

        Raises:
            Interrupted: the user wants to stop.
            ExecutionError: the trials cannot be scheduled.
        """

    def close(self) -> None:
        """End whatever is left of what ran trials."""


class DriverRegistry(Protocol):
    """Where drivers that share a store leave notes for each other: a few tags per driver.

    Law (tests/contracts/test_shared_claims.py): what one has written the others read from then on.
    """

    def register(self, tags: Mapping[str, str]) -> str:
        """Begin this driver's note; returns its name."""

    def write(self, driver: str, tags: Mapping[str, str]) -> None:
        """Set tags of a driver's note, all at once."""

    def read(self) -> dict[str, dict[str, str]]:
        """The notes of all drivers that have not left, by name."""

    def deregister(self, driver: str, *, lost: bool = False) -> None:
        """End a driver's note; `lost` if it ended without a word."""

    def mark_stopped(self, trial_ids: Collection[str]) -> None:
        """Mark these trials as stopped where they are still called running: their driver is lost."""


class CannotTell(Exception):
    """A reader says nothing of its store: the store itself must be asked."""


class Reader(Protocol):
    """Reads a store without opening it, and says what that would say (tests/recording/test_reader.py).

    Each raises CannotTell where it does not know, StoreLocked while somebody writes, and StoreError of a run
    that is none any more.
    """

    def records(self, trial_ids: Collection[str]) -> dict[str, TrialRecord]:
        """What is known of these trials; unknown ones are absent."""

    def asked_for(self, sweep: str) -> dict[str, str]:
        """Labels, by id, of all trials that a sweep of that name has ever asked for."""

    def published(self, sweep: SweepInfo) -> str | None:
        """The `content` that was published last for this sweep and profile; None before that."""

    def curves(self, trial_ids: Collection[str]) -> dict[str, Curves]:
        """Curves and spectra of these trials, as far as they were trained."""

    def encoder(self, trial_id: str) -> bytes | None:
        """The file with a trial's encoder; None if it was not kept, or is not there any more."""


class FileReader(Reader, Protocol):
    """Reads a store that is in a file on this machine."""

    def encoder_files(self, trial_ids: Collection[str]) -> dict[str, Path]:
        """Where encoders of these trials would lie; those of which that is not known are absent."""


class Store(Reader, Protocol):
    """Keeps results. Only the driver calls it. What it is asked it always tells.

    Laws (tests/contracts/test_stores.py): a trial is one run however many sweeps ask for it; reading
    returns what was written; telling the same things again, in the same order, changes nothing; a trial
    that is done stays as it is, whatever is told of it later.
    """

    def describe(self) -> str:
        """Where it keeps things, without secrets."""

    def files(
        self, trial_ids: Collection[str], names: Collection[str] | None = None
    ) -> dict[str, dict[str, bytes]]:
        """Files beside these trials by name, of those that ended: their own, and what was attached.

        Encoders, which are large, are left out. Where `names` are given, only files of these names.
        """

    def begin(
        self,
        trial: TrialFacts,
        sweep: SweepInfo,
        *,
        worker: str | None = None,
        attempt: str | None = None,
        instead_of: str | None = None,
    ) -> None:
        """A trial starts, or starts again, on that worker; an `attempt` told twice counts once.

        `instead_of` names the run of a result that is trained anew: if that is still the trial's, it is set
        aside first. Empty: whichever run the trial has, if this attempt is later than all of its own.
        """

    def report(self, trial_id: str, report: EpochReport) -> None:
        """A trial that was begun finished an epoch. May be buffered until `finish` or `flush`."""

    def finish(self, trial_id: str, outcome: Outcome, sweep: SweepInfo) -> None:
        """A trial that was begun ended."""

    def adopt(self, labels: Mapping[str, str], sweep: SweepInfo) -> None:
        """Note that `sweep` asks for these known trials too; their labels by id."""

    def attach(self, trial_id: str, files: Mapping[str, bytes]) -> None:
        """Keep files beside a trial that is known, such as its plots."""

    def keep_encoder(self, trial_id: str, folder: Folder, sha256: str) -> None:
        """Move the encoder that a known trial has left in its folder to the trial's other files.

        The store reads it when it keeps it, and removes it from the folder then.

        Raises:
            StoreRefused: the file is not there any more and was not kept before, or is another.
        """

    def set_aside(self, trial_ids: Collection[str]) -> None:
        """Forget that these trials are known: they can be trained anew. What is kept of them stays, unnamed.

        Raises:
            StoreError: the store does not answer.
        """

    def publish(self, sweep: SweepInfo, files: Mapping[str, bytes], *, content: str) -> None:
        """Keep the sweep's table and figures, replacing earlier ones.

        `content` is a short text that changes with what they show.
        """

    def flush(self) -> None:
        """Write out what is buffered."""
