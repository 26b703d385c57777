"""A store behind a journal: what is told is on this disk at once, and arrives in the store when it can.

Training never waits for the store. Reading lays what still waits over what the store has, so a command
sees the same whether or not the tracker has heard of it yet.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from orchestrator.errors import StoreAway
from orchestrator.recording.journal import entries as journal
from orchestrator.recording.journal import files as journal_files
from orchestrator.recording.journal.delivery import Delivery
from orchestrator.recording.journal.entries import Entry
from orchestrator.recording.journal.files import OwnJournal
from orchestrator.recording.journal.finished import FinishedTrials
from orchestrator.recording.store_port import Store
from orchestrator.records import Curves, SweepInfo, TrialFacts, TrialRecord, record_of
from trainers.attempt.report import EpochReport, Outcome


class JournaledStore:
    """Any store, with a journal in front of it."""

    def __init__(
        self,
        connect: Callable[[], Store],
        *,
        root: Path,
        name: str,
        command: str = "",
        known: FinishedTrials | None = None,
    ) -> None:
        """Read and write the store that `connect` opens.

        Args:
            connect: opens the store; called again, in another thread, whenever it was away.
            root: folder of the journals of all drivers with this home.
            name: the store's address without secrets; journals for other stores are left alone.
            command: who writes, for the journal's header.
            known: what is known while the store is away; None if it must not be away at the start.

        Raises:
            StoreError: the store does not answer and must, or cannot be used at all.
        """
        self.root, self.name, self._connect, self._known = root, name, connect, known
        self.away: str | None = None
        """Why the store cannot be read, or None."""
        self._inner: Store | None = None
        try:
            self._inner = connect()
        except StoreAway as error:
            if known is None:
                raise
            self.away = str(error)
        self._journal = OwnJournal(root, store=name, command=command)
        self._carrier: Delivery | None = None

    def describe(self) -> str:
        """Where the store keeps things."""
        return self.name

    def records(self, trial_ids: Collection[str]) -> dict[str, TrialRecord]:
        """What the store knows of these trials, and what waits to be told to it."""
        told = journal_files.waiting(self.root, self.name).records(trial_ids)  # first: it arrives meanwhile
        stored = self._stored(trial_ids)
        for trial_id, record in told.items():
            there = stored.get(trial_id)
            if there is None or not there.is_done:
                run, attempts = (there.run, there.attempts) if there else (None, 0)
                update = {"run": run, "attempts": max(attempts, record.attempts)}
                stored[trial_id] = record.model_copy(update=update)
        return stored

    def curves(self, trial_ids: Collection[str]) -> dict[str, Curves]:
        """Curves and spectra of these trials.

        Raises:
            StoreAway: the store is needed for some of them and does not answer.
        """
        memory = journal_files.waiting(self.root, self.name, reports=True)
        told = memory.curves(
            [i for i, record in memory.records(trial_ids).items() if record.status != "running"]
        )
        others = [i for i in trial_ids if i not in told]
        stored = self._reachable().curves(others) if others else {}
        return stored | told

    def begin(
        self, trial: TrialFacts, sweep: SweepInfo, *, worker: str | None = None, attempt: str | None = None
    ) -> None:
        """A trial starts, or starts again."""
        name = attempt or f"{time.time_ns():016x}{uuid.uuid4().hex[:4]}"  # sorts by time
        self._tell(journal.Begun(trial=trial, sweep=sweep, worker=worker, attempt=name))

    def report(self, trial_id: str, report: EpochReport) -> None:
        """A trial finished an epoch."""
        self._tell(journal.reported(trial_id, report))

    def finish(self, trial_id: str, outcome: Outcome, sweep: SweepInfo) -> None:
        """A trial ended."""
        self._tell(journal.Ended(trial_id=trial_id, outcome=outcome, sweep=sweep))
        if self._known is not None:
            self._known.add([record_of(trial_id, outcome, sweep.provenance)])

    def adopt(self, labels: Mapping[str, str], sweep: SweepInfo) -> None:
        """Note that `sweep` asks for these trials too."""
        if labels:
            self._tell(journal.Adopted(labels=dict(labels), sweep=sweep))

    def attach(self, trial_id: str, files: Mapping[str, bytes]) -> None:
        """Keep files beside a trial."""
        self._tell(journal.Attached.model_construct(trial_id=trial_id, files=dict(files)))

    def set_aside(self, trial_ids: Collection[str]) -> None:
        """Forget that these trials are known; done at once, for what follows depends on it."""
        self.flush()  # what waits of them would be told of their next run
        self._reachable().set_aside(trial_ids)
        if self._known is not None:
            self._known.discard(trial_ids)

    def published(self, sweep: SweepInfo) -> str | None:
        """The content that the sweep's summary shows, or will."""
        told = journal_files.waiting(self.root, self.name).published(sweep)
        if told is not None:
            return told
        try:
            return self._reachable().published(sweep)
        except StoreAway as error:
            if self._known is None:
                raise
            self.away = str(error)
            return None  # it is told again, which does no harm

    def publish(self, sweep: SweepInfo, files: Mapping[str, bytes], *, content: str) -> None:
        """Keep the sweep's table and figures."""
        self._tell(journal.Published.model_construct(sweep=sweep, files=dict(files), content=content))

    def asked_for(self, sweep: str) -> dict[str, str]:
        """Labels of all trials that the sweep has asked for."""
        told = journal_files.waiting(self.root, self.name).asked_for(sweep)
        return told | ({} if self.away and self._known else self._reachable().asked_for(sweep))

    def flush(self) -> None:
        """Let what waits arrive; gives up on a store that stays away."""
        self.carry()
        assert self._carrier is not None
        self._carrier.scan_abandoned()
        self._carrier.wait()
        self.away = self._carrier.problem

    def carry(self, *, refused: bool = False) -> None:
        """Start delivering, also what earlier commands left behind, and what was `refused` once more."""
        if self._carrier is None:
            self._carrier = Delivery(self._journal, self._connect, refused=refused)
            self._carrier.start()

    @property
    def carried(self) -> int:
        """Entries that arrived in the store since `carry`."""
        return self._carrier.carried if self._carrier else 0

    @property
    def notes(self) -> list[str]:
        """What a person should know of this home's journals, a line each."""
        lines = list(dict.fromkeys(self._carrier.notes)) if self._carrier else []  # each try notes again
        by_store = journal_files.files_by_store(self.root)
        mine = by_store.pop(self.name, [])
        left = [path for path in mine if not path.name.endswith(journal_files.KEPT)]
        if left and self.away:
            lines.append(
                f"{len(left)} files wait in {self.root}, for the tracker is away ({self.away}); "
                f"`{self._sync}` delivers them, and so does the next sweep"
            )
        for store, files in sorted(by_store.items()):
            if files:
                lines.append(f"{len(files)} files in {self.root} wait for {store}: --tracking-uri names it")
        if set_aside := _set_aside(mine):
            lines.append(
                f"{len(set_aside)} files that the store would not take are kept in {self.root} "
                "(*.refused); `orch sync` tries them again"
            )
        if damaged := [path for path in mine if path.name.endswith(".damaged")]:
            lines.append(
                f"lines of {damaged[0]} cannot be read"
                + (f", and of {len(damaged) - 1} more files" if len(damaged) > 1 else "")
                + "; what could be read has arrived, and *.damaged may be deleted"
            )
        return lines

    @property
    def _sync(self) -> str:
        own = self.name == f"sqlite:///{self.root.parent / 'mlflow.db'}"
        return f"orch sync --home {self.root.parent}" + ("" if own else f" --tracking-uri {self.name}")

    @property
    def waits(self) -> bool:
        """Whether something has not arrived that should."""
        if _set_aside(journal_files.files_by_store(self.root).get(self.name, [])):
            return True
        return self._carrier is not None and (self._carrier.left > 0 or self._carrier.problem is not None)

    def close(self) -> None:
        """End delivering; what has not arrived stays in the journal."""
        if self._carrier is not None:
            self._carrier.stop()
        self._journal.close()

    def _tell(self, entry: Entry) -> None:
        path = self._journal.append(entry)
        self.carry()
        assert self._carrier is not None
        self._carrier.add(path)

    def _stored(self, trial_ids: Collection[str]) -> dict[str, TrialRecord]:
        try:
            found = self._reachable().records(trial_ids)
        except StoreAway as error:
            if self._known is None:
                raise
            self.away = str(error)
            return self._known.records(trial_ids)
        if self._known is not None:
            self._known.add(found.values())
        return found

    def _reachable(self) -> Store:
        problem = self._carrier.problem if self._carrier else None
        if problem is None and self._inner is None and not (self._carrier and self._carrier.connected):
            problem = self.away
        if problem is not None:
            raise StoreAway(problem)
        if self._inner is None:
            self._inner, self.away = self._connect(), None
        return self._inner


def _set_aside(files: list[Path]) -> list[Path]:
    return [path for path in files if path.name.endswith(".refused")]
