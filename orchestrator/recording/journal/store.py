"""A store behind a journal: what is told is on this disk at once, and arrives in the store when it can.

Training never waits for the store. Reading lays what still waits over what the store has, so a command
sees the same whether or not the tracker has heard of it yet.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.errors import StoreAway
from orchestrator.process.waiting import said_if_slow, unlocked
from orchestrator.recording.journal import entries as journal
from orchestrator.recording.journal import files as journal_files
from orchestrator.recording.journal import notes as journal_notes
from orchestrator.recording.journal import overlay
from orchestrator.recording.journal.delivery import Delivery
from orchestrator.recording.journal.entries import Entry
from orchestrator.recording.journal.files import OwnJournal
from orchestrator.recording.journal.finished import FinishedTrials
from orchestrator.recording.memory import MemoryStore
from orchestrator.recording.store_port import CannotTell, Reader, Store
from orchestrator.records import Curves, SweepInfo, TrialFacts, TrialRecord, record_of
from trainers.attempt.folders import Folder
from trainers.attempt.report import EpochReport, Outcome

Answer = TypeVar("Answer")


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
        reader: Reader | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Read and write the store that `connect` opens.

        Args:
            connect: opens the store; called again, in another thread, whenever it was away.
            root: folder of the journals of all drivers with this home.
            name: the store's address without secrets; journals for other stores are left alone.
            command: who writes, for the journal's header.
            known: what is known while the store is away; None if it must not be away at the start.
            reader: reads the store while it is not needed otherwise; None: it is opened now.
            say: is told what is waited for.

        Raises:
            StoreError: the store does not answer and must, or cannot be used at all.
        """
        self.root, self.name, self._connect, self._known, self._say = root, name, connect, known, say
        self._reader = reader
        self.away: str | None = None
        """Why the store cannot be read, or None."""
        self._inner: Store | None = None
        if reader is None:
            self.open()
        self._journal = OwnJournal(root, store=name, command=command)
        self._own: Path | None = None  # the folder of what was told through this object
        self._replaced: dict[str, str] = {}  # runs of trials that were begun anew, as far as that waits
        self._carrier: Delivery | None = None

    def open(self) -> None:
        """Open the store, if nobody has tried to: what keeps it from being used is told now.

        Raises:
            StoreError: the store does not answer and must, or cannot be used at all.
        """
        if self._inner is not None or self.away is not None:
            return
        try:
            self._inner = unlocked(self._connect, f"opening {self.name}", self._say)
        except StoreAway as error:
            if self._known is None:
                raise
            self.away = str(error)

    def describe(self) -> str:
        """Where the store keeps things."""
        return self.name

    def records(self, trial_ids: Collection[str]) -> dict[str, TrialRecord]:
        """What the store knows of these trials, and what waits to be told to it."""
        waits = journal_files.waiting(self.root, self.name)  # first: it arrives meanwhile
        stored = self._stored(trial_ids, waits)
        self._replaced |= overlay.replaced(stored, waits)
        return overlay.records(stored, waits, trial_ids, away=self.away is not None)

    def curves(self, trial_ids: Collection[str]) -> dict[str, Curves]:
        """Curves and spectra of these trials; StoreAway: the store is needed for some and does not answer."""
        return self._told_or_stored(trial_ids, lambda store, ids: store.curves(ids), self._read)

    def files(
        self, trial_ids: Collection[str], names: Collection[str] | None = None
    ) -> dict[str, dict[str, bytes]]:
        """Files beside these trials.

        Raises:
            StoreAway: the store is needed for some of them and does not answer.
        """
        return self._told_or_stored(trial_ids, lambda store, ids: store.files(ids, names), self._ask)

    def encoder(self, trial_id: str) -> bytes | None:
        """The file with a trial's encoder; StoreAway: the store is needed for it and does not answer."""
        waits = journal_files.waiting(self.root, self.name)  # first: it arrives meanwhile
        told = waits.encoder(trial_id)
        there = {} if told is None else self._stored([trial_id], waits)
        if told is not None and overlay.is_encoder(told, there.get(trial_id), waits):
            return told
        return self._read(lambda store: store.encoder(trial_id))

    def begin(
        self,
        trial: TrialFacts,
        sweep: SweepInfo,
        *,
        worker: str | None = None,
        attempt: str | None = None,
        instead_of: str | None = None,
    ) -> None:
        """A trial starts, or starts again."""
        name = attempt or f"{time.time_ns():016x}{uuid.uuid4().hex[:4]}"  # sorts by time
        # What a dead driver began anew, and could not deliver, is anew still.
        anew = self._replaced.get(trial.trial_id) if instead_of is None else instead_of
        self._tell(journal.Begun(trial=trial, sweep=sweep, worker=worker, attempt=name, instead_of=anew))
        if anew is not None and self._known is not None:
            self._known.discard([trial.trial_id])

    def report(self, trial_id: str, report: EpochReport) -> None:
        """A trial finished an epoch."""
        self._tell(journal.reported(trial_id, report))

    def finish(self, trial_id: str, outcome: Outcome, sweep: SweepInfo) -> None:
        """A trial ended."""
        self._tell(journal.Ended(trial_id=trial_id, outcome=outcome, sweep=sweep))
        if self._known is not None:
            made = record_of(trial_id, outcome, sweep.provenance, expected=sweep.expected)
            unsure = bool(sweep.expected)  # until the store says what it first began under
            self._known.add([made.model_copy(update={"perhaps_begun_before": unsure})])

    def adopt(self, labels: Mapping[str, str], sweep: SweepInfo) -> None:
        """Note that `sweep` asks for these trials too."""
        if self._reader is not None and labels:
            there = self.asked_for(sweep.name)
            labels = {trial_id: label for trial_id, label in labels.items() if trial_id not in there}
        if labels:
            self._tell(journal.Adopted(labels=dict(labels), sweep=sweep))

    def attach(self, trial_id: str, files: Mapping[str, bytes]) -> None:
        """Keep files beside a trial."""
        self._tell(journal.Attached.model_construct(trial_id=trial_id, files=dict(files)))

    def keep_encoder(self, trial_id: str, folder: Folder, sha256: str) -> None:
        """Move the encoder that a trial has left to its other files, when the store takes it."""
        if isinstance(folder, Path) and folder.is_relative_to(self.root.parent):  # which may be moved first
            folder = folder.relative_to(self.root.parent)
        self._tell(journal.EncoderKept(trial_id=trial_id, folder=folder, sha256=sha256))

    def set_aside(self, trial_ids: Collection[str]) -> None:
        """Forget that these trials are known; done at once, for what follows depends on it."""
        self.flush()  # what waits of them would be told of their next run
        if self.away is not None:
            raise StoreAway(self.away)
        self._ask(lambda store: store.set_aside(trial_ids))
        if self._known is not None:
            self._known.discard(trial_ids)

    def published(self, sweep: SweepInfo) -> str | None:
        """The content that the sweep's summary shows, or will."""
        told = journal_files.waiting(self.root, self.name).published(sweep)
        if told is not None:
            return told
        try:
            return self._read(lambda store: store.published(sweep))
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
        return told | ({} if self.away and self._known else self._read(lambda store: store.asked_for(sweep)))

    def flush(self) -> None:
        """Let what waits arrive; gives up on a store that stays away."""
        self.carry()
        assert self._carrier is not None
        self._carrier.scan_abandoned()
        with said_if_slow(f"writing results to {self.name}", self._say):
            self._carrier.wait()
        self.away = self._carrier.problem

    def carry(self, *, refused: bool = False) -> None:
        """Start delivering, also what earlier commands left behind, and what was `refused` once more."""
        if self._carrier is None:
            self._carrier = Delivery(self._journal, self._connect, refused=refused, problem=self.away)
            self._carrier.start()

    @property
    def carried(self) -> int:
        """Entries that arrived in the store since `carry`."""
        return self._carrier.carried if self._carrier else 0

    @property
    def notes(self) -> list[str]:
        """What a person should know of this home's journals, a line each."""
        told = self._carrier.notes if self._carrier else []
        return list(dict.fromkeys([*told, *journal_notes.of_journals(self.root, self.name, away=self.away)]))

    @property
    def waits(self) -> bool:
        """Whether something that was told through this object has not arrived."""
        carrier_fails = self._carrier is not None and self._carrier.problem is not None
        return carrier_fails or bool(self._own and journal_files.entry_files(self._own))

    @property
    def complete(self) -> bool:
        """Whether everything of this home has arrived, whoever told it."""
        left = self._carrier.left if self._carrier else 0
        mine = journal_files.files_by_store(self.root).get(self.name, [])
        return not self.waits and not left and not journal_notes.set_aside(mine)

    def close(self) -> None:
        """End delivering; what has not arrived stays in the journal."""
        if self._carrier is not None:
            self._carrier.stop()
        self._journal.close()

    def _tell(self, entry: Entry) -> None:
        path = self._journal.append(entry)
        self._own = path.parent
        self.carry()
        assert self._carrier is not None
        self._carrier.add(path)

    def _told_or_stored(
        self, trial_ids: Collection[str], ask: Callable[[Any, Collection[str]], dict[str, Answer]], get: Any
    ) -> dict[str, Answer]:
        """What is known of these trials, of those that wait from the journal: what their records are of."""
        memory = journal_files.waiting(self.root, self.name, reports=True)
        waits = memory.records(trial_ids)
        known = self._stored(waits, memory) if waits else {}
        ended = [one for one in waits.values() if one.status != "running"]
        told = ask(memory, [one.trial_id for one in ended if overlay.counts(one, known, memory)])
        old = {i for i, record in known.items() if overlay.is_replaced(record, memory)}
        others = [i for i in trial_ids if i not in told and i not in old]
        stored: dict[str, Answer] = get(lambda store: ask(store, others)) if others else {}
        return stored | told

    def _stored(self, trial_ids: Collection[str], waits: MemoryStore) -> dict[str, TrialRecord]:
        try:
            found = self._read(lambda store: store.records(trial_ids))
        except StoreAway as error:
            if self._known is None:
                raise
            self.away = str(error)
            return self._known.records(trial_ids)
        if self._known is not None:
            self._known.add(one for one in found.values() if not overlay.is_replaced(one, waits))
        return found

    def _read(self, ask: Callable[[Reader], Answer]) -> Answer:
        """The answer of the reader, or of the store where that cannot tell."""
        if (reader := self._reader) is not None:
            try:
                return unlocked(lambda: ask(reader), f"waiting for {self.name}", self._say)
            except CannotTell:
                self.open()
        return self._ask(ask)

    def _ask(self, ask: Callable[[Store], Answer]) -> Answer:
        return unlocked(lambda: ask(self._reachable()), f"waiting for {self.name}", self._say)

    def _reachable(self) -> Store:
        # A file is asked itself; a server that does not answer would be waited for once more.
        problem = self._carrier.problem if self._carrier and self._known is not None else None
        if problem is None and self._inner is None and not (self._carrier and self._carrier.connected):
            problem = self.away
        if problem is not None:
            raise StoreAway(problem)
        if self._inner is None:
            self._inner, self.away = self._connect(), None
        return self._inner
