"""Who trains which trial, among drivers that share a store and no folder: claims as notes in a registry.

No store that trackers offer can compare and swap, so a driver first writes what it wants and then reads
what the others want and hold. Of two that want the same trial at once the earlier note wins; one with the
earlier note still waits until the later has given way or, if it read too soon to see the other, holds.
Which note is earlier both read in the notes, so it need only be the same for both, not true.

A driver is dead when its heartbeat has not changed for a minute of the reader's own clock, in which the
reader looked again and again and the store answered; how long a look takes makes no difference. One that was
taken for dead and lives finds its note ended: it leaves a new one and asks the store what others have done
meanwhile, or stops if somebody has what it was training.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

from orchestrator.errors import StoreAway, StoreError
from orchestrator.process.driver import Owner
from orchestrator.recording.claims.notes import Note, notes_in, trial_tags
from orchestrator.recording.claims.watch import Watch
from orchestrator.recording.store_port import DriverRegistry

BEAT_S = 10.0
STALE_S = 60.0  # without a heartbeat for so long a driver is dead
GAP_S = STALE_S / 2  # of the time between two looks no more counts: the store may have been away in it
WAKE_S = 5.0  # a driver that was suspended waits so long for a heartbeat, before it begins a trial
PAUSE_S = 0.5
CLAIM_S = 20.0  # a store that does not answer is asked again for so long, where a claim depends on it
LEAVE_S = 5.0  # a driver that ends waits no longer for a store that hangs


_Answer = TypeVar("_Answer")


class SharedClaims:
    """The trials of this driver, told to all that share the store."""

    def __init__(
        self,
        registry: DriverRegistry,
        *,
        me: Owner,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
        on_stop: Callable[[str], None] | None = None,
    ) -> None:
        """A driver with no trials yet.

        Args:
            registry: where the notes are.
            me: what others are told of this driver.
            clock: seconds that only grow, of this machine.
            pause: waits for so many seconds; may raise what ends the waiting.
            on_stop: is told, in another thread, why this driver should stop; None: there is no such thread,
                and whoever made this calls `beat`.
        """
        self.registry, self.me, self._clock, self._pause, self._on_stop = registry, me, clock, pause, on_stop
        self._driver: str | None = None
        self._token = uuid.uuid4().hex
        self._started = ""
        self._beat_number = 0
        self._watch = Watch(stale=STALE_S, gap=GAP_S, clock=clock)
        self._beats_watch = Watch(stale=STALE_S, gap=GAP_S, clock=clock)  # another thread's
        self._doubt = False  # whether it is not yet known if one lives that has what this trains
        self._takes = 0  # odd while one is under way: another thread beats meanwhile
        self._mine: frozenset[str] = frozenset()
        self.lost: list[Owner] = []
        """Drivers that were found dead."""
        self._lapsed = self._ended = False
        self._wake, self._beaten = threading.Event(), threading.Event()
        self._tried = time.time()  # this clock goes on while the machine sleeps

    @property
    def entered(self) -> bool:
        """Whether this driver has left a note."""
        return self._driver is not None

    def take(self, trial_ids: Collection[str]) -> dict[str, Owner]:
        """Claim these trials; those that another living driver has, or wanted first, are returned with it.

        Raises:
            StoreError: the store does not answer, so nothing is known of other machines; these trials are
                this driver's as far as it can tell, and it says so with its next heartbeat that arrives.
        """
        self._takes += 1
        wanted = self._mine = frozenset(trial_ids)
        self._lapsed = False
        try:
            if self._driver is None:
                self._enter(wanted)
            else:
                self._insist(lambda: self._write("wants", wanted))
            theirs = self._decided(wanted)
            self._mine = wanted - theirs.keys()
            with contextlib.suppress(StoreAway):  # a heartbeat says it later
                self._insist(lambda: self._write("holds", self._mine))
        finally:
            self._takes += 1
            self._start_beating()
        return theirs

    def held(self, trial_ids: Collection[str]) -> dict[str, Owner]:
        """Which of these trials another living driver has or wants. Claims nothing."""
        found: dict[str, Owner] = {}
        for note in self._living().values():
            found.update((trial_id, note.owner) for trial_id in note.trials.intersection(trial_ids))
        return found

    def ask_to_stop(self, trial_ids: Collection[str], *, but_not: Collection[Owner] = ()) -> list[Owner]:
        """Leave word for the drivers that have some of these trials; their next heartbeat reads it."""
        told = []
        for driver, note in notes_in(self.registry.read()).items():
            if note.trials.intersection(trial_ids) and note.owner not in but_not:
                self.registry.write(driver, {"orch.stop": "true"})
                told.append(note.owner)
        return told

    def end_dead_drivers(self) -> list[Owner]:
        """Watch the other drivers for as long as it takes to tell the dead from the living; returns the dead.

        Their trials are not called running any more.
        """
        first: dict[str, str] = {}
        while True:
            living = self._living().items()
            if all(note.heartbeat != first.setdefault(driver, note.heartbeat) for driver, note in living):
                return self.lost
            self._pause(BEAT_S / 2)

    def release(self) -> None:
        """Give everything back."""
        self._ended = True
        self._wake.set()
        self._mine = frozenset()
        if self._driver is not None:
            # Not waited for long: a driver whose note stays is found dead.
            ending = threading.Thread(target=self._deregister, args=(self._driver,), daemon=True)
            ending.start()
            ending.join(timeout=LEAVE_S)
            self._driver = None

    def lapsed(self) -> bool:
        """Whether this driver's claims have ended since it took them: others may have done what it wants."""
        if self._on_stop is not None and time.time() - self._tried > STALE_S:  # this process was suspended
            self._beaten.clear()
            self._wake.set()
            self._beaten.wait(timeout=WAKE_S)
        lapsed, self._lapsed = self._lapsed, False
        return lapsed

    def beat(self) -> str | None:
        """Tell the others that this driver lives, and what it trains; why it should stop, if it should."""
        takes, driver, notes = self._takes, self._driver, self._beats_watch.look(self.registry.read)
        if driver is None or driver not in notes:
            return self._late(notes) if self._mine else None
        self._beat_number += 1
        self.registry.write(driver, {"orch.heartbeat": str(self._beat_number)})
        if takes % 2 == 0 and takes == self._takes:  # else the note may be of before, and is being written
            said = trial_tags("holds", self._mine).items() <= notes[driver].items()
            if why := self._overtaken(notes, driver, said=said):
                return why
            if not said and not self._doubt:  # a claim that the store's absence left unsaid or undecided
                self._write("holds", self._mine)
                self._lapsed = True
        return "it was asked to, by `orch stop`" if notes[driver].get("orch.stop") == "true" else None

    def _late(self, notes: Mapping[str, Mapping[str, str]]) -> str | None:
        """Leave the note that could not be left before, or that was ended as a dead driver's."""
        if (why := self._overtaken(notes, None, said=False)) or self._doubt:
            return why
        self._driver = self.registry.register(self._about() | trial_tags("holds", self._mine))
        self._lapsed = True
        return None

    def _overtaken(
        self, notes: Mapping[str, Mapping[str, str]], driver: str | None, *, said: bool
    ) -> str | None:
        """Why others that beat have what this driver trains; `said`: its own note says that it does."""
        there, self._doubt = notes_in(notes), False
        seen = there[driver].trials if driver in there else frozenset()
        for name, note in there.items():
            both = note.trials & self._mine
            # Where two hold a trial, both have said so at once, and one of them goes on.
            holds = note.holds and not (said and (self._started, driver) < note.order)
            # One of this machine whose process is gone trains nothing, though its note still says so.
            if note.token != self._token and (both if holds else both - seen) and not note.owner.is_gone:
                lives = self._beats_watch.lives(name)
                if lives:
                    does = "trains" if note.holds else "wants"
                    return f"the store did not see it for a while, and {note.owner} {does} its trials now"
                self._doubt |= lives is None
        return None

    def _deregister(self, driver: str) -> None:
        with contextlib.suppress(StoreError):
            self.registry.deregister(driver)

    def _decided(self, wanted: frozenset[str]) -> dict[str, Owner]:
        """Those of the wanted trials that are others', once that is clear."""
        begun = self._clock()
        while True:
            theirs: dict[str, Owner] = {}
            undecided: dict[str, Owner] = {}
            for note in self._insist(self._living).values():
                sooner = note.holds or note.order < (self._started, self._driver)
                # Sooner or later it will give way, or it holds because it could not see this driver.
                (theirs if sooner else undecided).update((i, note.owner) for i in wanted & note.trials)
            if not undecided:
                return theirs
            if self._clock() - begun > STALE_S:  # it lives and never decides: let it have them
                return undecided | theirs
            self._pause(PAUSE_S)

    def _insist(self, ask: Callable[[], _Answer]) -> _Answer:
        """The answer, asked for again for a while where the store gives none."""
        begun = self._clock()
        while True:
            try:
                return ask()
            except StoreAway:
                if self._clock() - begun > CLAIM_S:
                    raise
                self._pause(PAUSE_S)

    def _enter(self, wanted: frozenset[str]) -> None:
        self._started = f"{time.time():020.6f}"
        about = self._about() | trial_tags("wants", wanted)
        self._driver = self._insist(lambda: self.registry.register(about))

    def _about(self) -> dict[str, str]:
        return {
            "orch.host": self.me.host,
            "orch.pid": str(self.me.pid),
            "orch.machine": self.me.machine,
            "orch.command": self.me.command,
            "orch.started": self._started,
            "orch.token": self._token,
            "orch.heartbeat": str(self._beat_number),
        }

    def _write(self, state: str, trials: Collection[str]) -> None:
        assert self._driver is not None
        self.registry.write(self._driver, trial_tags(state, trials))

    def _start_beating(self) -> None:
        if self._on_stop is not None and self._beat_number == 0:
            self._beat_number = 1
            threading.Thread(target=self._keep_beating, name="orch-heartbeat", daemon=True).start()

    def _keep_beating(self) -> None:
        """Beat until released: a driver that was asked to stop lives until its epochs are over."""
        told = False
        while True:
            self._wake.wait(BEAT_S)
            self._wake.clear()
            if self._ended:
                return
            try:
                why = self.beat()
            except Exception:  # the store is away, or answers nonsense: the next beat may arrive
                continue
            finally:
                self._tried = time.time()
                self._beaten.set()
            if why is not None and not told and self._on_stop is not None:
                told = True
                self._on_stop(why)

    def _living(self) -> dict[str, Note]:
        """Notes of the other drivers that live; those that do not are ended, and their trials let go."""
        there, found = self._watch.look(self.registry.read), {}
        for driver, note in notes_in(there).items():
            if driver == self._driver:
                continue
            if there[driver].get("orch.token") == self._token:
                self.registry.deregister(driver)  # the answer to `enter` was lost, and it was asked again
                continue
            if self._watch.lives(driver) is False or note.owner.is_gone:
                self.lost.append(note.owner)
                self.registry.deregister(driver, lost=True)
                self.registry.mark_stopped(note.trials if note.holds else ())
            else:
                found[driver] = note
        return found
