"""Carries what the journals say to the store, in a thread of its own, for as long as it takes."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from orchestrator.errors import StoreAway, StoreError, StoreRefused
from orchestrator.recording.journal import entries as journal
from orchestrator.recording.journal import files as journal_files
from orchestrator.recording.journal.entries import Entry
from orchestrator.recording.journal.files import DAMAGED, KEPT, REFUSED, OwnJournal
from orchestrator.recording.store_errors import OURS, reason
from orchestrator.recording.store_port import Store

PAUSES_S = (0.5, 1, 2, 4, 8, 15)  # between two tries to reach a store that is away
IDLE_S = 2.0  # after so long without news the store writes what it has buffered
AWAY_S = 8.0  # a command that ends waits so long for a store that is away ...
HANGING_S = 60.0  # ... and so long for one that neither answers nor fails
FAULTS = 4  # after so many errors at one entry that are of our own making, it is set aside ...
BLOCKS = 8  # ... and after so many others, while the store answers to other questions, it is left for later;
OLD_BLOCKS = 4  # sooner where an earlier driver left it: it must not keep what is new


class _PutOff(Exception):
    """A file cannot be delivered now, and others can."""


class Delivery(threading.Thread):
    """Tells the store what the journals say, in order, for as long as it takes."""

    def __init__(
        self,
        own: OwnJournal,
        connect: Callable[[], Store],
        *,
        refused: bool = False,
        problem: str | None = None,
    ) -> None:
        super().__init__(name="orch-journal", daemon=True)
        self.problem = problem
        """Why nothing arrives at present."""
        self.notes: list[str] = []
        self.carried = 0
        self._own, self._connect, self._again = own, connect, refused
        self._store: Store | None = None
        self._behind: Store | None = None  # is told what others left
        self._news = threading.Condition()
        self._queue: deque[Path] = deque()
        self._read: dict[Path, int] = {}  # how far each of the driver's own files was told, in bytes ...
        self._told: dict[Path, int] = {}  # ... and each of those that others left, in entries
        self._refused: set[Path] = set()
        self._later: set[Path] = set()  # left for the next command
        self._faults = 0  # in a row, at one entry
        self._blocks = BLOCKS
        self._looked_behind = self._stopping = False
        self._moved = time.monotonic()

    @property
    def connected(self) -> bool:
        """Whether the store has answered."""
        return self._store is not None

    @property
    def left(self) -> int:
        """Pieces of news, and files left for later, that have not arrived."""
        return len(self._queue) + len(self._later)

    def add(self, path: Path) -> None:
        """An entry was appended to that file."""
        with self._news:
            self._queue.append(path)
            self._news.notify_all()

    def scan_abandoned(self) -> None:
        """Look again for what others left: one of them may have died meanwhile."""
        with self._news:
            self._looked_behind = False
            self._news.notify_all()

    def wait(self) -> None:
        """Until everything has arrived, or a store that is away has stayed away for a while."""
        begun = time.monotonic()
        with self._news:
            while self._queue or not self._looked_behind:
                still = time.monotonic() - max(begun, self._moved)
                if still > (AWAY_S if self.problem else HANGING_S) or not self.is_alive():
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
                if not self._looked_behind:
                    self._blocks = OLD_BLOCKS
                    if self._store or self.problem or self._left_by_others():
                        self._reached()
                        self._deliver_what_others_left()
                    with self._news:
                        self._looked_behind = True
                        self._news.notify_all()
                self._blocks = BLOCKS
                self._deliver_own()
                tries = 0
            except Exception as error:  # whatever it is, what waits must not be lost
                known = isinstance(error, StoreError)
                # What fails of an earlier driver's, while the store answers, is no reason to give up on it.
                old = not self._looked_behind and self._store is not None and _answers(self._store)
                with self._news:
                    self.problem = None if old else str(error) if known else _unforeseen(error)
                    if self.carried and time.monotonic() - self._moved < IDLE_S:
                        tries = 0
                    self._news.wait_for(lambda: self._stopping, timeout=PAUSES_S[min(tries, 5)])
                tries += 1

    def _reached(self) -> Store:
        """The store, which is opened when there is something to tell it."""
        if self._store is None:
            self._store = self._connect()
            self.problem = None
        return self._store

    def _deliver_own(self) -> None:
        while not self._stopping and self._looked_behind:
            with self._news:
                self._news.wait_for(
                    lambda: self._queue or self._stopping or not self._looked_behind, timeout=IDLE_S
                )
            if self._queue:
                self._tell_news(self._reached(), self._queue[0])
                with self._news:
                    self._queue.popleft()
                    self._news.notify_all()
            elif not self._stopping and self._store is not None:
                self._store.flush()

    def _tell_news(self, store: Store, path: Path) -> None:
        """Tell what a file says that was not told yet; after its end the file is removed."""
        while path not in self._later and (content := self._next_line(path)):
            entry = journal.parsed(content)
            if entry is None:
                self._refuse(path, f"journal {path}: a line cannot be read")
            else:
                try:
                    self._tell(store, journal_files.at_home(entry, path), path)
                except _PutOff:
                    self._later.add(path)
                    return
            self._read[path] = self._read.get(path, 0) + len(content)
            if entry is not None and not isinstance(entry, journal.Begun | journal.Reported):
                self._done_with(path)

    def _next_line(self, path: Path) -> bytes:
        """A whole line, or nothing."""
        try:
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                content = file.readline()
        except FileNotFoundError:  # its end was told with an earlier piece of news
            return b""
        return content if content.endswith(b"\n") else b""

    def _left_by_others(self) -> list[Path]:
        """The journals of other drivers for this store, the oldest first."""
        # Whoever asks for notes is told of one that cannot be read.
        readable = journal_files.readable(self._own.root)
        return [at for at, header in readable if at != self._own.folder and header.store == self._own.store]

    def _deliver_what_others_left(self) -> None:
        for folder in self._left_by_others():
            with journal_files.left_behind(folder) as free:
                if free:
                    # Not through the driver's own, in which the same trial may be open: a store takes what it
                    # is told of a trial for that of the attempt that was begun last.
                    self._behind = self._behind or self._connect()
                    self._deliver_left(self._behind, folder)

    def _deliver_left(self, store: Store, folder: Path) -> None:
        for path in journal_files.entry_files(folder):
            if path in self._later:
                continue
            if path.name.endswith(KEPT) and not (self._again and path.suffix == REFUSED):
                continue
            told = journal_files.entries(path)
            try:
                # Not from the start at each try: then one entry that fails would be reached for ever.
                for entry in [*told, *journal_files.unsaid(told)][self._told.get(path, 0) :]:
                    self._tell(store, entry, path)
                    self._told[path] = self._told.get(path, 0) + 1
            except _PutOff:
                self._later.add(path)
                continue
            if journal_files.is_damaged(path):
                path.rename(path.with_name(path.name + DAMAGED))
            else:
                self._done_with(path)

    def _tell(self, store: Store, entry: Entry, path: Path) -> None:
        try:
            entry.tell(store)
        except StoreRefused as error:
            self._refuse(path, str(error))
        except Exception as error:
            self._faults += 1
            if self._faults < self._most(error):
                raise
            why = str(error) if isinstance(error, StoreError) else _unforeseen(error)
            if isinstance(error, OURS):
                self._refuse(path, why)
            elif _answers(store):
                self._faults, self.problem = 0, None
                self.notes.append(f"{path.name} waits, for the store does not take it now: {why}")
                raise _PutOff from None
            else:
                raise
        self._faults = 0
        with self._news:
            self.problem = None
            self.carried += 1
            self._moved = time.monotonic()

    def _most(self, error: Exception) -> int:
        """So often `error` may come at one entry, in a row."""
        if isinstance(error, OURS):
            return FAULTS
        return BLOCKS if isinstance(error, StoreAway) else self._blocks  # it may be the network's

    def _refuse(self, path: Path, why: str) -> None:
        self._refused.add(path)
        self.notes.append(f"{why}; kept in {_refused(path).name}")

    def _done_with(self, path: Path) -> None:
        self._read.pop(path, None)
        self._told.pop(path, None)
        if path in self._refused:
            self._refused.discard(path)
            path.rename(_refused(path))
        else:
            path.unlink(missing_ok=True)


def _refused(path: Path) -> Path:
    """Where a file that the store would not take is kept."""
    return path.with_name(path.name.removesuffix(REFUSED) + REFUSED)


def _answers(store: Store) -> bool:
    try:
        store.records(())
    except Exception:
        return False
    return True


def _unforeseen(error: Exception) -> str:
    return f"{type(error).__name__}: {reason(error)}"
