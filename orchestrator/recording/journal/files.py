"""Journals on disk: this driver's own, appended to before anything else happens, and what others left.

A driver holds a lock on its journal's header for as long as it lives, so what it writes is its own to
deliver; the operating system frees the lock however the driver ends, and the next writer delivers the rest.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from pydantic_core import PydanticSerializationError

from orchestrator.errors import StoreError
from orchestrator.process.driver import Owner, lock, this_machine
from orchestrator.recording.journal import entries as journal
from orchestrator.recording.journal.entries import Begun, Ended, Entry, Header
from orchestrator.recording.memory import MemoryStore
from orchestrator.recording.stores.sqlite import ARTIFACTS, DATABASE
from orchestrator.records import FINAL
from trainers.attempt.report import Outcome

DIED = Outcome(status="stopped", reason="its driver ended without a word")
IN_HOME = f"sqlite:///{DATABASE}"
"""Stands in a header for the store of the journal's own home, which may be moved, or mounted elsewhere."""
REFUSED, DAMAGED = ".refused", ".damaged"
KEPT = (DAMAGED, REFUSED)  # endings of files that stay, for a person to look at


class OwnJournal:
    """This driver's journal; its folder is made with the first entry."""

    def __init__(self, root: Path, *, store: str, command: str) -> None:
        """A journal below `root` for the store of that name."""
        self.root, self.store, self.command = root, store, command
        self.folder: Path | None = None
        self._lock: IO[str] | None = None
        self._number = 0
        self._files: dict[str, Path] = {}  # of trials that have begun and not ended

    def append(self, entry: Entry) -> Path:
        """Write an entry; returns its file. What ends a trial is on the disk when this returns.

        Raises:
            StoreError: the disk is full or the folder cannot be written.
        """
        try:
            path = self._file(entry)
            content = journal.line(entry)
            with path.open("ab") as file:
                file.write(content)
                if isinstance(entry, Ended):
                    file.flush()
                    os.fsync(file.fileno())
                    _fsync_folder(path.parent)  # its name as well as its content
        except PydanticSerializationError as error:
            raise StoreError(f"journal {self.root}: {' '.join(str(error).split())[:200]}") from None
        except OSError as error:
            raise StoreError(
                f"journal {self.root}: {error.strerror}; make room or choose another folder with --home, "
                "and run the same command again"
            ) from None
        return path

    def close(self) -> None:
        """Free the journal; an empty one is removed."""
        if self.folder is not None and self._lock is not None:
            _remove_if_empty(self.folder)
            self._lock.close()
            self.folder = self._lock = None

    def _file(self, entry: Entry) -> Path:
        identity = entry.trial.trial_id if isinstance(entry, Begun) else getattr(entry, "trial_id", None)
        own = identity in self._files and not isinstance(entry, journal.Attached | journal.EncoderKept)
        if identity is None or not own:
            self._number += 1
            path = self._made() / f"{self._number:06d}-{identity or entry.entry}.jsonl"
            if isinstance(entry, Begun):
                self._files[str(identity)] = path
            return path
        return self._files.pop(identity) if isinstance(entry, Ended) else self._files[identity]

    def _made(self) -> Path:
        if self.folder is None:
            # Locked before it has its name: nobody may take it for what a dead driver left.
            name = f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}"  # what dead drivers left has an order
            new = self.root / f".{name}"
            new.mkdir(parents=True)
            self._lock = (new / journal.HEADER).open("w")
            lock(self._lock)
            header = Header(
                journal=journal.VERSION,
                store=IN_HOME if self.store == own_store(self.root) else self.store,
                host=platform.node(),
                machine=this_machine(),
                pid=os.getpid(),
                command=self.command,
            )
            self._lock.write(header.model_dump_json() + "\n")
            self._lock.flush()
            os.fsync(self._lock.fileno())
            self.folder = new.rename(self.root / name)
            _fsync_folder(self.root)
        return self.folder


def own_store(root: Path) -> str:
    """The address of the store in the home folder whose journals are below `root`."""
    return f"sqlite:///{root.parent / DATABASE}"


def _lay_elsewhere(store: object, root: Path) -> bool:
    """Whether earlier code meant the own store by its address, which is that of the home before it was moved.

    So it is if nothing is there any more, and the store that is here has files of runs from there.
    """
    file = Path(str(store).removeprefix("sqlite:///"))
    if file.name != DATABASE or not file.is_absolute() or file.exists():
        return False
    from orchestrator.recording.mlflow.glance import folders_of_files

    return file.parent / ARTIFACTS in folders_of_files(root.parent / DATABASE)


class Unreadable(Exception):
    """A journal that this version does not understand."""


def header_of(folder: Path) -> Header:
    """Who wrote the journal in `folder`.

    Raises:
        Unreadable: a later version did, or its header is damaged.
    """
    try:
        content = json.loads((folder / journal.HEADER).read_bytes())
        version = int(content["journal"])  # before all else: nobody knows what a later header holds
        if version <= journal.VERSION:
            if content.get("store") == IN_HOME or _lay_elsewhere(content.get("store"), folder.parent):
                content["store"] = own_store(folder.parent)
            return Header.model_validate(content)
    except (OSError, ValueError, TypeError, KeyError, ArithmeticError, RecursionError):
        raise Unreadable(
            f"journal {folder}: no readable {journal.HEADER}; it stays as it is: repair or delete it"
        ) from None
    raise Unreadable(
        f"journal {folder} has version {version}, this orch reads up to {journal.VERSION}; "
        "upgrade orch to deliver it"
    )


def folders(root: Path) -> list[Path]:
    """Every driver's journal below `root`, the oldest first."""
    return sorted(path.parent for path in root.glob(f"[!.]*/{journal.HEADER}"))


def entry_files(folder: Path) -> list[Path]:
    """A journal's files in the order of their first entries, with those that were set aside."""
    try:
        return sorted(folder.glob("[0-9]*.jsonl*"))
    except FileNotFoundError:  # everything in it has just been delivered
        return []


def entries(path: Path, *, reports: bool = True) -> list[Entry]:
    """A file's readable entries; none of a file that does not open with a beginning where it must.

    Reports, with their arrays by far the most of it, can be left out.
    """
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:  # it has just been delivered
        return []
    if not reports:
        lines = [one for one in lines if not one.startswith(_REPORT)]
    found = [at_home(entry, path) for one in lines if (entry := journal.parsed(one)) is not None]
    needs_begin = found and isinstance(found[0], journal.Reported | Ended)
    return [] if needs_begin else found


def at_home(entry: Entry, path: Path) -> Entry:
    """An entry of the file at `path`, in which the folder of an encoder is named from the root."""
    if not isinstance(entry, journal.EncoderKept) or not isinstance(entry.folder, Path):
        return entry
    home = path.parent.parent.parent
    return entry.model_copy(update={"folder": home / entry.folder})  # which an older one named from the root


def is_damaged(path: Path) -> bool:
    """Whether a whole line of the file cannot be read, or it lacks its beginning."""
    lines = path.read_bytes().splitlines(keepends=True)
    broken = any(one.endswith(b"\n") and journal.parsed(one) is None for one in lines)
    return broken or bool(lines and lines[0].endswith(b"\n") and not entries(path))


_REPORT = b'{"entry":"reported",'


def waiting(root: Path, store: str, *, reports: bool = False) -> MemoryStore:
    """What every driver's journal below `root` holds for the store of that name. Changes nothing."""
    found = MemoryStore()
    for folder, header in readable(root):
        if header.store != store:
            continue
        gone = Owner(header.host, header.pid, header.command, header.machine).is_gone
        for path in entry_files(folder):
            told = entries(path, reports=reports)
            if told and (not path.name.endswith(KEPT) or _is_result(told[-1])):
                for entry in [*told, *unsaid(told)] if gone else told:
                    if isinstance(entry, Begun) and entry.instead_of is not None:
                        found.replaced.setdefault(entry.trial.trial_id, set()).add(entry.instead_of)
                        entry = entry.model_copy(update={"instead_of": ""})  # no run has that name here
                    entry.tell(found)
    return found


def files_by_store(root: Path) -> dict[str, list[Path]]:
    """Every file below `root`, also those that were set aside, by the name of the store it is for."""
    found: dict[str, list[Path]] = {}
    for folder, header in readable(root):
        found.setdefault(header.store, []).extend(entry_files(folder))
    return found


def readable(root: Path) -> Iterator[tuple[Path, Header]]:
    """Every driver's journal below `root` that this version understands, the oldest first."""
    for folder in folders(root):
        with contextlib.suppress(Unreadable):
            yield folder, header_of(folder)


def unsaid(told: Sequence[Entry]) -> list[Entry]:
    """What a driver that died could not say any more of the trial it was telling of: that it stopped."""
    if not told or not isinstance(told[0], Begun) or isinstance(told[-1], Ended):
        return []
    return [Ended(trial_id=told[0].trial.trial_id, outcome=DIED, sweep=told[0].sweep)]


@contextlib.contextmanager
def left_behind(folder: Path) -> Iterator[bool]:
    """Whether the journal's driver has ended; inside, nobody else delivers it."""
    try:
        header = (folder / journal.HEADER).open("r+")  # NFS locks only what may be written
    except OSError:
        yield False
        return
    with header:
        try:
            lock(header, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield folder.exists()
        _remove_if_empty(folder)


def _fsync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _is_result(entry: Entry) -> bool:
    # What was set aside never arrives. A result counts all the same; anything else would hide later news.
    return isinstance(entry, Ended) and entry.outcome.status in FINAL


def _remove_if_empty(folder: Path) -> None:
    if not entry_files(folder):
        shutil.rmtree(folder, ignore_errors=True)
