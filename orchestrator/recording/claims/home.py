"""Who trains which trial, among drivers that share a home folder: each trial is one driver's at a time.

A driver holds a lock on a file of its own for as long as it lives and lists its trials in it. The operating
system frees the lock however the driver ends, so nothing has to be cleaned up, and no clock is compared.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO

from pydantic import PositiveInt

from orchestrator.errors import UsageError
from orchestrator.process.driver import Owner, lock, this_driver
from trainers.config.base import Frozen

DRIVERS = "drivers"
"""In the folder of what belongs together: a home, or a store's own."""


class _Claim(Frozen):
    """What a driver's file says."""

    host: str
    machine: str = ""
    pid: PositiveInt
    command: str
    trials: list[str]


class Claims:
    """The trials of this driver, and what it knows of the others'."""

    def __init__(self, home: Path, *, command: str) -> None:
        """A driver with no trials yet; `command` tells others who it is."""
        self.folder, self.command = home / DRIVERS, command
        self._own: IO[str] | None = None

    def take(self, trial_ids: Collection[str]) -> dict[str, Owner]:
        """Claim these trials; those that another living driver has are not, and are returned with it.

        What was claimed before and is not asked for any more is given back.

        Raises:
            UsageError: the folder cannot be written.
        """
        with self._alone():
            others = dict(self._others())
            self._write([trial_id for trial_id in trial_ids if trial_id not in others])
        return {trial_id: others[trial_id] for trial_id in trial_ids if trial_id in others}

    def held(self, trial_ids: Collection[str]) -> dict[str, Owner]:
        """Which of these trials another living driver has. Claims nothing, and changes no file.

        Raises:
            UsageError: the claims cannot be read.
        """
        try:
            with (self.folder / "lock").open() as file:
                lock(file, fcntl.LOCK_SH)
                others = dict(self._others(tidies=False))
        except (FileNotFoundError, NotADirectoryError):  # no driver was here, or the last one is going
            return {}
        except OSError as error:
            raise self._unusable(error) from None
        return {trial_id: others[trial_id] for trial_id in trial_ids if trial_id in others}

    def ask_to_stop(self, trial_ids: Collection[str]) -> tuple[list[Owner], list[Owner]]:
        """Send SIGTERM to the drivers of this machine that have some of these trials.

        Returns those that were asked, and those of other machines.
        """
        owners = sorted(set(self.held(trial_ids).values()))
        here = [owner for owner in owners if owner.is_here]
        for owner in here:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(owner.pid, signal.SIGTERM)
        return here, [owner for owner in owners if owner not in here]

    def release(self) -> None:
        """Give everything back."""
        if self._own is not None:
            with contextlib.suppress(OSError, UsageError), self._alone():
                Path(self._own.name).unlink()
            with contextlib.suppress(OSError):  # on a full disk it tries to write once more
                self._own.close()
            self._own = None

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One driver at a time reads and changes the claims.

        Raises:
            UsageError: the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / "lock").open("w") as file:
                lock(file)
                yield
        except OSError as error:
            raise self._unusable(error) from None

    def _unusable(self, error: OSError) -> UsageError:
        return UsageError(f"{self.folder}: {error.strerror}; choose another folder with --home")

    def _others(self, *, tidies: bool = True) -> Iterator[tuple[str, Owner]]:
        """What other living drivers claim; `tidies`: files of those that are gone are removed."""
        own = None if self._own is None else Path(self._own.name)
        for path in sorted(self.folder.glob("*.json")):
            if path == own:
                continue
            with path.open() as file:
                try:
                    lock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    with contextlib.suppress(ValueError):  # the disk was full when it was written
                        found = _Claim.model_validate_json(file.read())
                        owner = Owner(found.host, found.pid, found.command, found.machine)
                        if not owner.is_gone:
                            yield from [(trial_id, owner) for trial_id in found.trials]
                        elif tidies:  # a process that a library has forked off it keeps the lock
                            path.unlink()
                else:
                    if tidies:
                        path.unlink()  # its driver is gone

    def _write(self, trial_ids: list[str]) -> None:
        if self._own is None:
            self._own = (self.folder / f"{uuid.uuid4().hex}.json").open("w")
            lock(self._own)
        me = this_driver(self.command)
        claim = _Claim(host=me.host, machine=me.machine, pid=me.pid, command=me.command, trials=trial_ids)
        self._own.seek(0)
        self._own.truncate()
        self._own.write(claim.model_dump_json())
        self._own.flush()
