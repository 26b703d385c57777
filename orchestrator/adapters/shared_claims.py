"""Who trains which trial, among drivers that share a store and no folder: claims as notes on a board.

No store that trackers offer can compare and swap, so a driver first writes what it wants and then reads
what the others want and hold. Of two that want the same trial at once the earlier note wins; one with the
earlier note still waits until the later has given way or, if it read too soon to see the other, holds.
A driver is dead when its heartbeat has not changed for a minute of the reader's own clock: no two machines'
clocks are compared, and time in which the store did not answer does not count.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from orchestrator.adapters.claims import Claims, Owner
from orchestrator.errors import StoreAway, StoreError
from orchestrator.ports import Board

BEAT_S = 10.0
STALE_S = 60.0  # without a heartbeat for so long a driver is dead
PAUSE_S = 0.5
PER_TAG = 300  # trial ids; a tag holds 5000 characters


class _Note(NamedTuple):
    """What another driver says of itself."""

    owner: Owner
    order: tuple[str, str]
    holds: bool
    trials: frozenset[str]
    heartbeat: str


class SharedClaims:
    """The trials of this driver, told to all that share the store."""

    def __init__(
        self,
        board: Board,
        *,
        me: Owner,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
        beats: bool = True,
    ) -> None:
        """A driver with no trials yet.

        Args:
            board: where the notes are.
            me: what others are told of this driver.
            clock: seconds that only grow, of this machine.
            pause: waits for so many seconds.
            beats: whether a thread keeps the heartbeat going; tests do it themselves.
        """
        self.board, self.me, self._clock, self._pause, self._beats = board, me, clock, pause, beats
        self._driver: str | None = None
        self._token = uuid.uuid4().hex
        self._order = ("", "")
        self._beat_number = 0
        self._seen: dict[str, tuple[str, float]] = {}  # heartbeat, and since when it has been that
        self._blind = False
        self.lost: list[Owner] = []
        """Drivers that were found dead."""
        self._ended = threading.Event()

    def take(self, trial_ids: Collection[str]) -> dict[str, Owner]:
        """Claim these trials; those that another living driver has, or wanted first, are returned with it.

        Raises:
            StoreAway: the store does not answer, so nothing is known of other machines.
        """
        wanted = frozenset(trial_ids)
        if self._driver is None:
            self._enter(wanted)
        else:
            self._write("wants", wanted)
        while True:
            theirs: dict[str, Owner] = {}
            undecided = False
            for note in self._living().values():
                common = wanted & note.trials
                if note.holds or note.order < self._order:
                    theirs.update((trial_id, note.owner) for trial_id in common)
                elif common:
                    undecided = True  # it will give way, or it holds because it could not see this driver
            if not undecided:
                break
            self._pause(PAUSE_S)
        self._write("holds", wanted - theirs.keys())
        return theirs

    def held(self, trial_ids: Collection[str]) -> dict[str, Owner]:
        """Which of these trials another living driver has or wants. Claims nothing."""
        found: dict[str, Owner] = {}
        for note in self._living().values():
            found.update((trial_id, note.owner) for trial_id in note.trials.intersection(trial_ids))
        return found

    def ask_to_stop(self, trial_ids: Collection[str]) -> list[Owner]:
        """Leave word for the drivers that have some of these trials; their next heartbeat reads it."""
        asked = []
        for driver, tags in self.board.read().items():
            note = _note(driver, tags)
            if note.trials.intersection(trial_ids):
                self.board.write(driver, {"orch.stop": "true"})
                asked.append(note.owner)
        return asked

    def reap(self) -> list[Owner]:
        """Watch the other drivers for as long as it takes to tell the dead from the living; returns the dead.

        Their trials are not called running any more.
        """
        begun = self._clock()
        while self._living() and self._clock() - begun <= STALE_S + BEAT_S:
            self._pause(BEAT_S / 2)
        return self.lost

    def release(self) -> None:
        """Give everything back."""
        self._ended.set()
        if self._driver is not None:
            with contextlib.suppress(StoreError):  # then it is found dead
                self.board.leave(self._driver)
            self._driver = None

    def beat(self) -> bool:
        """Tell the others that this driver lives; whether somebody asked it to stop."""
        if self._driver is None:
            return False
        self._beat_number += 1
        self.board.write(self._driver, {"orch.heartbeat": str(self._beat_number)})
        return self.board.read().get(self._driver, {}).get("orch.stop") == "true"

    def _enter(self, wanted: frozenset[str]) -> None:
        started = f"{time.time():020.6f}"
        about = {
            "orch.host": self.me.host,
            "orch.pid": str(self.me.pid),
            "orch.command": self.me.command,
            "orch.started": started,
            "orch.token": self._token,
            "orch.heartbeat": "0",
        }
        self._driver = self.board.enter(about | _trial_tags("wants", wanted))
        self._order = (started, self._driver)
        if self._beats:
            threading.Thread(target=self._keep_beating, name="orch-heartbeat", daemon=True).start()

    def _write(self, state: str, trials: Collection[str]) -> None:
        assert self._driver is not None
        self.board.write(self._driver, _trial_tags(state, trials))

    def _keep_beating(self) -> None:
        while not self._ended.wait(BEAT_S):
            with contextlib.suppress(StoreError):  # the store is away: the next beat may arrive
                if self.beat():
                    os.kill(os.getpid(), signal.SIGTERM)
                    return

    def _living(self) -> dict[str, _Note]:
        """Notes of the other drivers that live; those that do not are ended, and their trials let go."""
        try:
            there = self.board.read()
        except StoreAway:
            self._blind = True
            raise
        now, found = self._clock(), {}
        for driver, tags in there.items():
            if driver == self._driver:
                continue
            if tags.get("orch.token") == self._token:
                self.board.leave(driver)  # the answer to `enter` was lost, and it was asked again
                continue
            note = _note(driver, tags)
            heartbeat, since = self._seen.get(driver, ("", now))
            if note.heartbeat != heartbeat or self._blind:
                since = now
            self._seen[driver] = (note.heartbeat, since)
            if now - since > STALE_S or note.owner.is_gone:
                self.lost.append(note.owner)
                self.board.leave(driver, lost=True)
                self.board.let_go(note.trials if note.holds else ())
            else:
                found[driver] = note
        self._blind = False
        return found


class JointClaims:
    """Claims in this home folder and, where the store is shared with others, in the store."""

    def __init__(self, local: Claims, shared: SharedClaims | None, *, say: Callable[[str], None]) -> None:
        """Use both; `say` is told when the store does not answer."""
        self.local, self.shared, self._say = local, shared, say
        self._elsewhere: dict[str, Owner] = {}

    def take(self, trial_ids: Collection[str]) -> dict[str, Owner]:
        """Claim these trials; those of other living drivers are returned with them."""
        held = self.local.take(trial_ids)
        rest = [trial_id for trial_id in trial_ids if trial_id not in held]
        if self.shared is None or not rest:
            return held
        try:
            self._elsewhere = self.shared.take(rest)
        except StoreError as error:
            self._say(f"{error}; whether another machine trains some of these trials is not known")
            self._elsewhere = {}
        return held | self._elsewhere

    def held(self, trial_ids: Collection[str]) -> dict[str, Owner]:
        """Which of these trials another living driver has; as before while the store does not answer."""
        if self.shared is not None and self._elsewhere:
            with contextlib.suppress(StoreError):
                self._elsewhere = self.shared.held(self._elsewhere)
        elsewhere = {i: owner for i, owner in self._elsewhere.items() if i in trial_ids}
        return self.local.held(trial_ids) | elsewhere

    def release(self) -> None:
        """Give everything back."""
        self.local.release()
        if self.shared is not None:
            self.shared.release()


def _trial_tags(state: str, trials: Collection[str]) -> dict[str, str]:
    ids = sorted(trials)
    parts = [ids[start : start + PER_TAG] for start in range(0, len(ids), PER_TAG)]
    counted = {"orch.state": state, "orch.trials": str(len(parts))}
    return counted | {f"orch.trials.{number}": " ".join(part) for number, part in enumerate(parts)}


def _note(driver: str, tags: Mapping[str, str]) -> _Note:
    number = int(tags.get("orch.trials", "0"))
    ids = (tags.get(f"orch.trials.{index}", "").split() for index in range(number))
    return _Note(
        owner=Owner(
            tags.get("orch.host", "?"), int(tags.get("orch.pid", "0")), tags.get("orch.command", "?")
        ),
        order=(tags.get("orch.started", ""), driver),
        holds=tags.get("orch.state") == "holds",
        trials=frozenset(trial_id for part in ids for trial_id in part),
        heartbeat=tags.get("orch.heartbeat", ""),
    )
