"""A store behind a journal: what is told is on this disk at once, and arrives in the store when it can.

Training never waits for the store. Reading lays what still waits over what the store has, so a command
sees the same whether or not the tracker has heard of it yet.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from orchestrator import journal
from orchestrator.adapters import journal_files
from orchestrator.adapters.journal_files import OwnJournal
from orchestrator.adapters.known import Known
from orchestrator.adapters.tracking_errors import reason
from orchestrator.errors import StoreAway, StoreError, StoreRefused
from orchestrator.journal import Entry
from orchestrator.ports import Store
from orchestrator.results import Curves, SweepInfo, TrialFacts, TrialRecord, record_of
from trainers.report import EpochReport, Outcome

PAUSES_S = (0.5, 1, 2, 4, 8, 15)  # between two tries to reach a store that is away
IDLE_S = 2.0  # after so long without news the store writes what it has buffered
PATIENCE_S = 8.0  # a command that ends waits so long for a store that is away ...
HANGING_S = 60.0  # ... and so long for one that neither answers nor fails
FAULTS = 4  # after so many errors at one entry that no store has a word for, it is set aside
DIED = Outcome(status="stopped", reason="its driver ended without a word; its checkpoint is kept")


class JournaledStore:
    """Any store, with a journal in front of it."""

    def __init__(
        self,
        connect: Callable[[], Store],
        *,
        root: Path,
        name: str,
        command: str = "",
        known: Known | None = None,
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
        self._carrier: _Carrier | None = None

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
        memory = journal_files.waiting(self.root, self.name)
        told = [i for i, record in memory.records(trial_ids).items() if record.status != "running"]
        others = [i for i in trial_ids if i not in told]
        stored = self._reachable().curves(others) if others else {}
        return stored | memory.curves(told)

    def begin(
        self, trial: TrialFacts, sweep: SweepInfo, *, worker: str | None = None, attempt: str | None = None
    ) -> None:
        """A trial starts, or starts again."""
        name = attempt or uuid.uuid4().hex[:10]
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
        self._carrier.wait()
        self.away = self._carrier.problem

    def carry(self) -> None:
        """Start delivering, also what earlier commands left behind."""
        if self._carrier is None:
            self._carrier = _Carrier(self._journal, self._connect)
            self._carrier.start()

    @property
    def carried(self) -> int:
        """Entries that arrived in the store since `carry`."""
        return self._carrier.carried if self._carrier else 0

    @property
    def notes(self) -> list[str]:
        """What a person should know of this home's journals, a line each."""
        lines = list(dict.fromkeys(self._carrier.notes)) if self._carrier else []  # each try notes again
        left = [path for folder in journal_files.folders(self.root) for path in _ours(folder, self.name)]
        if left and self.away:
            lines.append(
                f"{len(left)} files wait in {self.root}, for the tracker is away ({self.away}); "
                "`orch sync` delivers them, and so does the next sweep"
            )
        return lines

    @property
    def waits(self) -> bool:
        """Whether something has not arrived that will."""
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


class _Carrier(threading.Thread):
    """Tells the store what the journals say, in order, for as long as it takes."""

    def __init__(self, own: OwnJournal, connect: Callable[[], Store]) -> None:
        super().__init__(name="orch-journal", daemon=True)
        self.problem: str | None = None
        """Why nothing arrives at present."""
        self.notes: list[str] = []
        self.carried = 0
        self._own, self._connect = own, connect
        self._store: Store | None = None
        self._news = threading.Condition()
        self._queue: deque[Path] = deque()
        self._read: dict[Path, int] = {}  # how far each of the driver's own files was told
        self._refused: set[Path] = set()
        self._faults = 0  # in a row, at one entry
        self._looked_behind = self._stopping = False
        self._moved = time.monotonic()

    @property
    def connected(self) -> bool:
        """Whether the store has answered."""
        return self._store is not None

    @property
    def left(self) -> int:
        """Entries of this driver that have not arrived."""
        return len(self._queue)

    def add(self, path: Path) -> None:
        """An entry was appended to that file."""
        with self._news:
            self._queue.append(path)
            self._news.notify_all()

    def wait(self) -> None:
        """Until everything has arrived, or a store that is away has stayed away for a while."""
        begun = time.monotonic()
        with self._news:
            while self._queue or not self._looked_behind:
                still = time.monotonic() - max(begun, self._moved)
                if still > (PATIENCE_S if self.problem else HANGING_S) or not self.is_alive():
                    self.problem = self.problem or "it does not answer"
                    return
                self._news.wait(timeout=0.2)

    def stop(self) -> None:
        """End soon; an entry that is being told is not waited for, as it will be told again."""
        with self._news:
            self._stopping = True
            self._news.notify_all()
        self.join(timeout=2)

    def run(self) -> None:
        """Deliver until stopped."""
        tries = 0
        while not self._stopping:
            try:
                if self._store is None:
                    self._store = self._connect()
                    self.problem = None
                if not self._looked_behind:
                    self._deliver_what_others_left(self._store)
                self._deliver_own(self._store)
                tries = 0
            except Exception as error:  # whatever it is, what waits must not be lost
                known = isinstance(error, StoreError)
                with self._news:
                    self.problem = str(error) if known else _unforeseen(error)
                    if self.carried and time.monotonic() - self._moved < IDLE_S:
                        tries = 0
                    self._news.wait_for(lambda: self._stopping, timeout=PAUSES_S[min(tries, 5)])
                tries += 1

    def _deliver_own(self, store: Store) -> None:
        while not self._stopping:
            with self._news:
                if not self._queue and not self._news.wait_for(
                    lambda: self._queue or self._stopping, timeout=IDLE_S
                ):
                    idle = True
                else:
                    idle = False
            if idle:
                store.flush()
            elif self._queue:
                self._tell_next(store, self._queue[0])
                with self._news:
                    self._queue.popleft()
                    self._news.notify_all()

    def _tell_next(self, store: Store, path: Path) -> None:
        """Tell the next line of a file; after its last one the file is removed."""
        with path.open("rb") as file:
            file.seek(self._read.get(path, 0))
            content = file.readline()
        entry = journal.parsed(content)
        if entry is None:
            self._refuse(path, f"journal {path}: a line cannot be read")
        else:
            self._tell(store, entry, path)
        self._read[path] = self._read.get(path, 0) + len(content)
        if not isinstance(entry, journal.Begun | journal.Reported):
            self._done_with(path)

    def _deliver_what_others_left(self, store: Store) -> None:
        for folder in journal_files.folders(self._own.root):
            if folder == self._own.folder:
                continue
            try:
                if journal_files.header_of(folder).store != self._own.store:
                    continue
            except journal_files.Unreadable as error:
                self.notes.append(str(error))
                continue
            with journal_files.left_behind(folder) as free:
                if free:
                    self._deliver_left(store, folder)
        with self._news:
            self._looked_behind = True
            self._news.notify_all()

    def _deliver_left(self, store: Store, folder: Path) -> None:
        for path in journal_files.entry_files(folder):
            if path.name.endswith(journal_files.KEPT):
                continue
            told = journal_files.entries(path)
            for entry in told:
                self._tell(store, entry, path)
            if told and isinstance(told[0], journal.Begun) and not isinstance(told[-1], journal.Ended):
                first = told[0]
                ended = journal.Ended(trial_id=first.trial.trial_id, outcome=DIED, sweep=first.sweep)
                self._tell(store, ended, path)
            if journal_files.is_damaged(path):
                kept = path.rename(path.with_name(path.name + ".damaged"))
                self.notes.append(f"journal {kept}: some lines cannot be read; the others were delivered")
            else:
                self._done_with(path)

    def _tell(self, store: Store, entry: Entry, path: Path) -> None:
        try:
            entry.tell(store)
        except StoreRefused as error:
            self._refuse(path, str(error))
        except StoreError:
            raise
        except Exception as error:  # a fault of ours, or half an answer that the library cannot read
            self._faults += 1
            if self._faults < FAULTS:
                raise
            self._refuse(path, _unforeseen(error))
        self._faults = 0
        with self._news:
            self.problem = None
            self.carried += 1
            self._moved = time.monotonic()

    def _refuse(self, path: Path, why: str) -> None:
        self._refused.add(path)
        self.notes.append(f"{why}; kept in {path.name}.refused")

    def _done_with(self, path: Path) -> None:
        self._read.pop(path, None)
        if path in self._refused:
            self._refused.discard(path)
            path.rename(path.with_name(path.name + ".refused"))
        else:
            path.unlink(missing_ok=True)


def _ours(folder: Path, store: str) -> list[Path]:
    try:
        found = journal_files.entry_files(folder) if journal_files.header_of(folder).store == store else []
    except journal_files.Unreadable:
        return []
    return [path for path in found if not path.name.endswith(journal_files.KEPT)]


def _unforeseen(error: Exception) -> str:
    return f"{type(error).__name__}: {reason(error)}"
