"""The laws of a store behind a journal: whatever happens on the way, it ends as if nothing had happened."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.errors import StoreAway, StoreError, StoreRefused
from orchestrator.process.secrets import without_secret
from orchestrator.recording.journal import entries as journal
from orchestrator.recording.journal import files as journal_files
from orchestrator.recording.journal.files import DIED
from orchestrator.recording.journal.finished import FinishedTrials
from orchestrator.recording.journal.store import JournaledStore
from orchestrator.recording.memory import MemoryStore
from orchestrator.recording.store_errors import raised
from orchestrator.recording.store_port import Store
from orchestrator.records import Provenance, SweepInfo, TrialFacts
from tests.builders import INFO, outcome, trials
from tests.marks import but_first_slow
from trainers.attempt.folders import Folder, S3Folder
from trainers.attempt.report import EpochReport

GOLDEN = Path(__file__).parent / "golden" / "journal"
NAME = "http://tracker:5000"
TELLING = ("begin", "report", "finish", "adopt", "attach", "publish", "flush")
FIRST, SECOND, THIRD = trials(3)
Fault = Callable[[str], Exception | None]


class Faulty:
    """A store in memory whose answers fail on command, before or after it has done what it was told."""

    def __init__(self, behind: MemoryStore) -> None:
        self.behind = behind
        self.before: Fault = lambda call: None
        self.after: Fault = lambda call: None
        self.told: list[str] = []

    def __getattr__(self, call: str) -> Any:
        def answered(*arguments: Any, **named: Any) -> Any:
            if error := self.before(call):
                raise error
            answer = getattr(self.behind, call)(*arguments, **named)
            if call in TELLING and call != "flush":
                self.told.append(call)
            if error := self.after(call):
                raise error
            return answer

        return answered


class Home:
    """A folder of journals before one store; each `opened` store is a command of its own."""

    def __init__(self, root: Path) -> None:
        self.root, self.behind = root, MemoryStore()
        self.faulty = Faulty(self.behind)
        self.away = False
        self.commands: list[tuple[JournaledStore, Faulty]] = []

    def opened(self, *, known: bool = True, name: str = NAME) -> JournaledStore:
        mine = Faulty(self.behind)
        mine.before = lambda call: self._absent() or self.faulty.before(call)
        mine.after = lambda call: self.faulty.after(call)

        def connect() -> Store:
            if error := mine.before("connect"):
                raise error
            return mine  # type: ignore[return-value]

        folder = FinishedTrials(self.root, store=name) if known else None
        store = JournaledStore(connect, root=self.root, name=name, command="orch sweep", known=folder)
        self.commands.append((store, mine))
        return store

    def kill(self, store: JournaledStore) -> None:
        """End a command as SIGKILL does: nothing is told any more, and its lock is free."""
        mine = next(mine for one, mine in self.commands if one is store)
        mine.before = lambda call: StoreAway("its process is dead")
        if store._carrier is not None:
            store._carrier.stop()
            assert not store._carrier.is_alive()
        if store._journal._lock is not None:
            store._journal._lock.close()

    def synced(self) -> JournaledStore:
        """What `orch sync` does."""
        store = self.opened()
        store.flush()
        store.close()
        return store

    def kept(self, ending: str) -> list[Path]:
        return sorted(self.root.glob(f"*/*{ending}"))

    @property
    def waiting(self) -> list[Path]:
        return sorted(path for path in self.root.glob("*/*") if path.suffix == ".jsonl")

    def _absent(self) -> Exception | None:
        return StoreAway("the tracker does not answer") if self.away else None


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setattr("orchestrator.recording.journal.delivery.PAUSES_S", (0.001,) * 6)
    monkeypatch.setattr("orchestrator.recording.journal.delivery.AWAY_S", 0.3)
    place = Home(tmp_path / "journal")
    yield place
    for store, _ in place.commands:
        store.close()


def full_report(epoch: int) -> EpochReport:
    arrays = {"F": np.arange(3.0) + epoch, "Wp": np.ones((2, 2), np.float32)}
    return EpochReport(epoch=epoch, epochs=2, metrics={"train/loss": -1.0 * epoch}, arrays=arrays)


def tell_one(store: Store, facts: TrialFacts = FIRST.facts, *, value: float = 0.75) -> None:
    store.begin(facts, INFO, worker="node1:7", attempt="a1")
    for epoch in range(3):
        store.report(facts.trial_id, full_report(epoch))
    store.finish(facts.trial_id, outcome(value), INFO)


def content(store: MemoryStore) -> dict[str, Any]:
    """Everything a store in memory holds, as values that can be compared."""
    ids = list(store.asked_for(INFO.name))
    curves = {
        i: (c.metrics, c.spectra_epochs, {name: array.tolist() for name, array in c.spectra.items()})
        for i, c in store.curves(ids).items()
    }
    return {
        "records": store.records(ids),
        "curves": curves,
        "sweeps": store.sweeps,
        "asked for": store.asked_for(INFO.name),
        "attached": store.attached,
        "summaries": store.summaries,
        "published": store.published(INFO),
    }


class Story:
    """A random life of three trials, told to a store behind a journal and to one that nothing can disturb."""

    def __init__(self, home: Home, seed: int) -> None:
        self.home, self.rng = home, random.Random(seed)
        self.plain = MemoryStore()
        self.epochs: dict[str, int | None] = {trial.id: None for trial in (FIRST, SECOND, THIRD)}
        self.facts = {trial.id: trial.facts for trial in (FIRST, SECOND, THIRD)}
        self.number = 0
        self.store = home.opened()

    def run(self) -> None:
        while len(results(self.plain)) < len(self.epochs):
            self._step()
            if self.rng.random() < 0.08:
                self._die()
        self._both("publish", INFO, {"main.md": b"table"}, content="last")

    def _step(self) -> None:
        self.number += 1
        trial_id = self.rng.choice(list(self.epochs))
        epoch, there = self.epochs[trial_id], self.plain.records([trial_id])
        if epoch is not None and (epoch > 2 or self.rng.random() < 0.15):
            status = self.rng.choice(["completed", "completed", "collapsed", "diverged", "failed", "stopped"])
            end = outcome(self.rng.random(), status=status, reason=f"at {epoch}")
            self._both("finish", trial_id, end, INFO)
            self.epochs[trial_id] = None
        elif epoch is not None:
            self._both("report", trial_id, full_report(epoch))
            self.epochs[trial_id] = epoch + 1
        elif there and there[trial_id].is_done and self.rng.random() < 0.3:
            if (run := self.store.records([trial_id])[trial_id].run) is not None:  # it has arrived
                named = {"worker": f"node{self.number}:1", "attempt": f"a{self.number:04}"}
                self._both("begin", self.facts[trial_id], INFO, **named, instead_of=run)
                self.epochs[trial_id] = 0
        elif there and there[trial_id].is_done:
            label = self.facts[trial_id].label
            self.rng.choice(
                [
                    lambda: self._both("adopt", {trial_id: label}, INFO),
                    lambda: self._both("attach", trial_id, {"plot.svg": str(self.number).encode()}),
                    lambda: self._both("publish", INFO, {"main.md": b"x"}, content=str(self.number)),
                ]
            )()
        else:
            worker = f"node{self.number}:1"
            self._both("begin", self.facts[trial_id], INFO, worker=worker, attempt=f"a{self.number:04}")
            self.epochs[trial_id] = 0

    def _die(self) -> None:
        if self.rng.random() < 0.3:
            self.store.flush()
        self.home.kill(self.store)
        for trial_id, epoch in self.epochs.items():
            if epoch is not None:
                self.plain.finish(trial_id, DIED, INFO)
                self.epochs[trial_id] = None
        self.store = self.home.opened()

    def _both(self, call: str, *arguments: Any, **named: Any) -> None:
        getattr(self.store, call)(*arguments, **named)
        getattr(self.plain, call)(*arguments, **named)
        assert results(self.store) == results(self.plain)


def results(store: Store) -> dict[str, dict[str, float]]:
    """What counts as done: known at every moment, whether or not the store answers."""
    records = store.records([trial.id for trial in (FIRST, SECOND, THIRD)])
    return {trial_id: record.metrics for trial_id, record in records.items() if record.is_done}


@pytest.mark.parametrize("seed", but_first_slow(range(30), 8))
def test_a_store_that_fails_and_drivers_that_die_leave_what_an_undisturbed_run_leaves(
    home: Home, seed: int
) -> None:
    dice = random.Random(seed + 1000)

    def sometimes(call: str) -> Exception | None:
        return StoreAway("the connection broke") if dice.random() < 0.2 else None

    home.faulty.before = home.faulty.after = sometimes
    story = Story(home, seed)
    story.run()
    home.kill(story.store)
    home.faulty.before = home.faulty.after = lambda call: None
    home.synced()
    assert content(home.behind) == content(story.plain)
    assert home.waiting == [] and journal_files.folders(home.root) == []


def test_what_two_dead_drivers_left_arrives_in_the_order_in_which_they_wrote(home: Home) -> None:
    home.away = True
    for number in range(8):  # names drawn by chance would be in order now and then
        store = home.opened()
        store.publish(INFO, {"main.md": str(number).encode()}, content=str(number))
        home.kill(store)
    assert home.opened().published(INFO) == "7"
    home.away = False
    home.synced()
    assert home.behind.published(INFO) == "7"


def test_telling_never_waits_for_a_store_that_hangs(home: Home) -> None:
    hanging = threading.Event()

    def hang(call: str) -> None:
        if call != "connect":
            hanging.wait(60)

    home.faulty.before = hang
    store = home.opened()
    tell_one(store)  # would take a minute a call if it waited
    assert not hanging.is_set() and home.faulty.told == []
    assert len(home.waiting) == 1
    hanging.set()
    store.flush()
    assert home.behind.records([FIRST.id])[FIRST.id].is_done


def test_a_store_that_is_absent_at_the_start_gets_everything_from_the_next_command(home: Home) -> None:
    home.away = True
    store = home.opened()
    tell_one(store)
    store.flush()
    store.close()
    assert store.waits and store.away
    assert any("orch sync" in note for note in store.notes)
    home.away = False
    after = home.synced()
    expected = MemoryStore()
    tell_one(expected)
    assert content(home.behind) == content(expected)
    assert (after.carried, after.waits, after.notes) == (5, False, [])


def test_a_store_that_comes_back_gets_everything_from_the_driver_that_still_runs(home: Home) -> None:
    home.away = True
    store = home.opened()
    tell_one(store)
    home.away = False
    tell_one(store, SECOND.facts)
    store.flush()
    assert len(home.behind.records([FIRST.id, SECOND.id])) == 2
    assert not store.waits and home.waiting == []


def test_a_store_that_answers_again_is_not_called_away_where_nothing_waits(home: Home) -> None:
    answers = iter([StoreAway("not yet"), StoreAway("not yet")])  # to the command, and to what delivers
    home.faulty.before = lambda call: next(answers, None)
    store = home.synced()
    assert (store.waits, store.away, store.notes) == (False, None, [])


def test_tables_reach_the_journal_although_the_store_goes_away_before_it_says_what_it_has(home: Home) -> None:
    store = home.opened()
    assert store.published(INFO) is None
    home.away = True
    assert store.published(INFO) is None
    store.publish(INFO, {"main.md": b"x"}, content="c")
    home.away = False
    store.flush()
    assert home.behind.published(INFO) == "c"


def test_an_attempt_told_twice_counts_once(home: Home) -> None:
    lost = iter([StoreAway("the answer was lost")] * 3)
    home.faulty.after = lambda call: next(lost, None) if call == "begin" else None
    store = home.opened()
    tell_one(store)
    store.flush()
    assert home.behind.records([FIRST.id])[FIRST.id].attempts == 1


def test_a_reader_sees_what_waits_and_changes_nothing(home: Home) -> None:
    home.away = True
    store = home.opened()
    tell_one(store)
    store.begin(SECOND.facts, INFO)
    store.adopt({FIRST.id: FIRST.label}, INFO)
    store.publish(INFO, {"main.md": b"x"}, content="c")
    home.kill(store)
    home.away = False

    def state() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in home.root.rglob("*") if path.is_file()}

    before, reader = state(), home.opened(known=False)
    found = reader.records([FIRST.id, SECOND.id])
    assert (found[FIRST.id].metrics, found[SECOND.id].status) == ({"probe/top1": 0.75}, "running")
    assert reader.curves([FIRST.id])[FIRST.id].spectra_epochs == (0, 1, 2)
    assert reader.published(INFO) == "c" and set(reader.asked_for("tiny")) == {FIRST.id, SECOND.id}
    reader.close()
    assert state() == before
    assert content(home.behind) == content(MemoryStore())


def test_a_journal_that_is_delivered_while_it_is_read_is_no_error(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_behind(home, FIRST.facts)
    whole = os.scandir

    def gone(path: Any = ".") -> Any:
        if isinstance(path, Path) and path.parent == home.root:  # removed between two looks at it
            raise FileNotFoundError(path)
        return whole(path)

    reader = home.opened(known=False)
    monkeypatch.setattr(os, "scandir", gone)
    assert reader.records([FIRST.id]) == {}


def test_a_trial_whose_driver_died_is_stopped_and_can_go_on(home: Home) -> None:
    store = home.opened()
    store.begin(FIRST.facts, INFO, attempt="a1")
    home.kill(store)
    home.synced()
    assert home.behind.records([FIRST.id])[FIRST.id].status == "stopped"
    again = home.opened()
    again.begin(FIRST.facts, INFO, attempt="a2")
    again.finish(FIRST.id, outcome(), INFO)
    again.flush()
    record = home.behind.records([FIRST.id])[FIRST.id]
    assert (record.status, record.attempts, record.reason) == ("completed", 2, None)


def test_a_journal_whose_driver_lives_is_left_to_it(home: Home) -> None:
    store = home.opened()
    _, mine = home.commands[0]
    reached, mine.before = mine.before, lambda call: StoreAway("only this driver cannot reach it")
    store.begin(FIRST.facts, INFO, attempt="a1")
    other = home.synced()
    assert (other.carried, len(home.waiting)) == (0, 1)
    mine.before = reached
    store.finish(FIRST.id, outcome(), INFO)
    store.flush()
    assert home.behind.records([FIRST.id])[FIRST.id].status == "completed"


def test_a_journal_for_another_store_is_left_alone(home: Home) -> None:
    home.away = True
    store = home.opened(name="http://other:5000")
    tell_one(store)
    home.kill(store)
    home.away = False
    assert home.opened().records([FIRST.id]) == {}
    home.synced()
    assert home.behind.records([FIRST.id]) == {} and len(home.waiting) == 1


@pytest.mark.parametrize("ended", [False, True], ids=["stopped", "completed"])
@pytest.mark.parametrize("away", [False, True], ids=["there", "away"])
def test_what_waits_of_a_trial_is_not_mixed_with_the_result_that_the_store_has(
    home: Home, ended: bool, away: bool
) -> None:
    home.away = True
    here = home.opened()
    here.begin(FIRST.facts, INFO, worker="here:1", attempt="a1")
    here.report(FIRST.id, full_report(0))
    here.finish(FIRST.id, outcome(0.25) if ended else DIED, INFO)
    home.kill(here)
    tell_one(home.behind, value=0.75)  # in another home
    home.away = False
    record = home.opened().records([FIRST.id])[FIRST.id]
    assert (record.metrics, record.worker) == ({"probe/top1": 0.75}, "node1:7")
    home.away = away  # by now this home knows of it
    reader = home.opened()
    if away:
        with pytest.raises(StoreAway):
            reader.curves([FIRST.id])
        with pytest.raises(StoreAway):
            reader.files([FIRST.id])
        return
    assert reader.curves([FIRST.id])[FIRST.id].spectra_epochs == (0, 1, 2)
    assert reader.files([FIRST.id]) == home.behind.files([FIRST.id])


def test_an_encoder_that_waits_is_not_taken_for_that_of_the_result_that_the_store_has(
    home: Home, tmp_path: Path
) -> None:
    def left(store: Store, content: bytes) -> None:
        digest, folder = hashlib.sha256(content).hexdigest(), tmp_path / content.decode()
        store.begin(FIRST.facts, INFO)
        store.finish(FIRST.id, outcome(details={"encoder": {"sha256": digest}}), INFO)
        folder.mkdir()
        (folder / "encoder.safetensors").write_bytes(content)
        store.keep_encoder(FIRST.id, folder, digest)

    home.away = True
    here = home.opened()
    left(here, b"mine")
    assert home.opened().encoder(FIRST.id) == b"mine"
    home.kill(here)
    left(home.behind, b"theirs")
    home.away = False
    assert home.opened().encoder(FIRST.id) == b"theirs"


@pytest.mark.parametrize("named", [True, False])
def test_a_trial_that_is_trained_anew_is_so_whoever_ends_it_and_whenever_the_store_hears_of_it(
    home: Home, named: bool
) -> None:
    tell_one(home.behind, value=0.25)
    old = home.opened().records([FIRST.id])[FIRST.id]
    run = old.run if named else ""  # as where it was not known when training began
    assert run is not None
    second = home.opened()
    second.adopt({SECOND.id: SECOND.label}, INFO)
    second.flush()
    home.faulty.before = lambda call: StoreAway("it takes nothing") if call in TELLING else None
    first = home.opened()
    first.begin(FIRST.facts, INFO, attempt="b1", instead_of=run)
    home.kill(first)
    reader = home.opened()
    assert reader.records([FIRST.id])[FIRST.id].status == "running"
    assert reader.curves([FIRST.id]) == reader.files([FIRST.id]) == {}  # the old ones are of the old run

    home.away = True
    assert second.records([FIRST.id])[FIRST.id].status == "running"  # it takes over what the other has begun
    second.begin(FIRST.facts, INFO, attempt="b2")
    second.report(FIRST.id, full_report(0))
    second.finish(FIRST.id, outcome(0.75), INFO)
    home.kill(second)  # whose journal is the older one
    assert results(home.opened()) == {FIRST.id: {"probe/top1": 0.75}}
    home.away, home.faulty.before = False, lambda call: None
    for store in (home.opened(), home.synced(), home.behind):
        record = store.records([FIRST.id])[FIRST.id]
        assert (record.metrics, record.run == old.run) == ({"probe/top1": 0.75}, False)
        assert store.curves([FIRST.id])[FIRST.id].spectra_epochs == (0,)


# What a store refuses, and what breaks.


def test_what_a_store_refuses_is_set_aside_and_stops_nothing_behind_it(home: Home) -> None:
    refused = StoreRefused("the tracker takes no such name")
    home.faulty.before = lambda call: refused if call == "attach" else None
    store = home.opened()
    tell_one(store)
    store.attach(FIRST.id, {"plot.svg": b"x"})
    tell_one(store, SECOND.facts)
    store.flush()
    assert len(home.behind.records([FIRST.id, SECOND.id])) == 2
    assert [path.name for path in home.kept(".refused")] == [f"000002-{FIRST.id}.jsonl.refused"]
    assert [note for note in store.notes if "refused" in note] and store.waits
    store.close()
    home.faulty.before = lambda call: None
    assert home.synced().carried == 0  # it was refused for good, and stays for a person to look at
    assert len(home.kept(".refused")) == 1


@pytest.mark.parametrize("left", [False, True], ids=["own", "left behind"])
def test_an_error_that_nobody_foresaw_stops_nothing_behind_it(home: Home, left: bool) -> None:
    def broken(call: str) -> Exception | None:
        return KeyError("run") if call == "attach" else None

    home.away, home.faulty.before = left, broken
    store = home.opened()
    store.begin(FIRST.facts, INFO)
    store.attach(FIRST.id, {"plot.svg": b"x"})
    store.finish(FIRST.id, outcome(), INFO)
    if left:
        home.kill(store)
        home.away = False
        store = home.synced()
    else:
        store.flush()
    assert home.behind.records([FIRST.id])[FIRST.id].is_done
    assert len(home.kept(".refused")) == 1 and "KeyError" in "".join(store.notes)


class CloudError(Exception):
    """What a library that nobody here knows raises while its service is down."""


def test_an_error_of_a_library_that_nobody_knows_is_waited_for(home: Home) -> None:
    failures = iter(range(12))

    def slow(call: str) -> Exception | None:
        return CloudError("slow down") if call in TELLING and next(failures, None) is not None else None

    home.faulty.before = slow
    store = home.opened()
    tell_one(store)
    store.flush()
    home.kill(store)
    home.faulty.before = lambda call: None
    home.synced()
    assert home.behind.records([FIRST.id])[FIRST.id].is_done and not home.kept(".refused")


def test_what_a_store_would_not_take_is_tried_again_by_sync_and_counts_until_then(home: Home) -> None:
    home.faulty.before = lambda call: StoreRefused("no such metric") if call == "finish" else None
    store = home.opened()
    tell_one(store)
    store.flush()
    assert store.waits and "`orch sync` tries them again" in "".join(store.notes)
    home.kill(store)
    home.faulty.before = lambda call: None
    again = home.opened()
    again.carry(refused=True)
    again.flush()
    again.close()
    assert home.behind.records([FIRST.id])[FIRST.id].is_done
    assert not again.waits and not home.kept(".refused")


def test_what_a_dead_driver_left_and_no_store_takes_does_not_stand_before_what_is_new(home: Home) -> None:
    home.away = True
    store = home.opened()
    store.attach(FIRST.id, {"plot.svg": b"x"})
    home.kill(store)
    home.away = False
    home.faulty.before = lambda call: StoreError("401: no") if call == "attach" else None
    store = home.opened()
    store.begin(SECOND.facts, INFO)
    store.finish(SECOND.id, outcome(), INFO)
    deadline = time.monotonic() + 120
    while not home.behind.records([SECOND.id]) and time.monotonic() < deadline:
        store.flush()
    assert home.behind.records([SECOND.id])[SECOND.id].is_done


def test_what_a_server_always_fails_at_holds_up_no_later_command(home: Home) -> None:
    home.faulty.before = lambda call: StoreAway("too many 500") if call == "attach" else None
    store = home.opened()
    store.attach(FIRST.id, {"plot.svg": b"x"})
    store.flush()
    assert store.waits  # of the command that told it
    home.kill(store)
    store = home.opened()
    store.begin(SECOND.facts, INFO)
    store.finish(SECOND.id, outcome(), INFO)
    store.flush()
    assert home.behind.records([SECOND.id])[SECOND.id].is_done
    assert not store.waits and not store.complete and "too many 500" in "".join(store.notes)


def test_one_entry_that_no_store_takes_holds_up_neither_its_file_nor_the_command(home: Home) -> None:
    (path,) = left_behind(home, FIRST.facts)
    for call in ("report", "finish"):
        home.faulty.before = lambda asked, call=call: KeyError("run") if asked == call else None  # type: ignore[misc]
        store = home.opened()
        store.begin(SECOND.facts, INFO)
        begun = time.monotonic()
        store.flush()
        assert time.monotonic() - begun < 20
        assert SECOND.id in home.behind.records([SECOND.id]) and store.waits
        home.kill(store)
        for kept in home.kept(".refused"):
            kept.rename(path)


def test_what_another_driver_leaves_while_this_one_runs_is_delivered_too(home: Home) -> None:
    running, other = home.opened(), home.opened()
    running.begin(SECOND.facts, INFO)
    running.flush()  # it has looked behind, and nothing was there
    home.away = True
    tell_one(other)
    home.kill(other)
    home.away = False
    running.finish(SECOND.id, outcome(), INFO)
    running.flush()
    running.close()
    assert home.behind.records([FIRST.id])[FIRST.id].is_done and not home.waiting


def test_an_attempt_that_is_told_late_neither_stops_nor_hides_a_later_one(home: Home) -> None:
    home.away = True
    first = home.opened()
    first.begin(FIRST.facts, INFO)
    home.kill(first)  # before anything of it arrived
    home.behind.begin(FIRST.facts, INFO, attempt="9", worker="other:1")  # on another machine, later
    home.away = False
    home.synced()
    record = home.behind.records([FIRST.id])[FIRST.id]
    assert (record.status, record.worker, record.attempts) == ("running", "other:1", 2)


@pytest.mark.filterwarnings("default")  # MLflow and SQLAlchemy warn about themselves
@pytest.mark.parametrize("status", ["completed", "failed"])
def test_what_a_dead_driver_left_of_a_trial_does_not_displace_the_attempt_that_goes_on(
    database: Path, tmp_path: Path, status: str
) -> None:
    from orchestrator.recording.mlflow.store import MlflowStore

    shutil.copy(database, tmp_path)

    def connect() -> Store:
        return MlflowStore(f"sqlite:///{tmp_path / 'mlflow.db'}", artifacts=tmp_path)

    dead, living = (JournaledStore(connect, root=tmp_path / "journal", name=NAME) for _ in range(2))
    path = dead._journal.append(journal.Begun(trial=FIRST.facts, sweep=INFO, worker="dead:1", attempt="a1"))
    dead._journal.append(journal.reported(FIRST.id, full_report(0)))
    living.adopt({SECOND.id: SECOND.label}, INFO)
    living.flush()  # it has looked behind while the other lived
    dead.close()
    living.begin(FIRST.facts, INFO, worker="living:2", attempt="b2")
    for epoch in range(3):
        living.report(FIRST.id, full_report(epoch))
    living.flush()  # with the trial open, it looks behind again
    assert not path.exists()
    living.finish(FIRST.id, outcome(0.75, status=status, reason="so"), INFO)
    living.flush()
    living.close()
    record = connect().records([FIRST.id])[FIRST.id]
    assert (record.status, record.attempts, record.worker) == (status, 2, "living:2")
    assert connect().curves([FIRST.id])[FIRST.id].spectra_epochs == (0, 1, 2)


def test_a_text_that_is_no_text_costs_one_line(home: Home) -> None:
    store = home.opened()
    store.begin(FIRST.facts, INFO)
    with pytest.raises(StoreError, match="surrogates not allowed"):
        store.finish(FIRST.id, outcome(status="failed", reason="caf\udce9.png"), INFO)


def test_a_refused_result_is_still_a_result_for_this_home(home: Home) -> None:
    home.faulty.before = lambda call: StoreRefused("no such metric") if call == "finish" else None
    store = home.opened()
    tell_one(store)
    store.flush()
    assert home.kept(".refused") and not home.behind.records([FIRST.id])[FIRST.id].is_done
    assert home.opened().records([FIRST.id])[FIRST.id].is_done


def test_what_was_set_aside_hides_nothing_that_came_later(home: Home) -> None:
    refused = StoreRefused("no")
    home.faulty.before = lambda call: refused if call in ("report", "publish") else None
    store = home.opened()
    store.begin(FIRST.facts, INFO, attempt="a1")
    store.report(FIRST.id, full_report(0))
    store.finish(FIRST.id, outcome(status="stopped", reason="old"), INFO)
    store.publish(INFO, {"main.md": b"old"}, content="old")
    store.flush()
    home.faulty.before = lambda call: None
    store.begin(FIRST.facts, INFO, attempt="a2")
    store.finish(FIRST.id, outcome(status="failed", reason="new"), INFO)
    store.publish(INFO, {"main.md": b"new"}, content="new")
    store.flush()
    assert len(home.kept(".refused")) == 2
    assert home.opened().records([FIRST.id])[FIRST.id].reason == "new"
    assert home.opened().published(INFO) == "new"


def left_behind(home: Home, *facts: TrialFacts) -> list[Path]:
    """Files of finished trials whose driver died before anything arrived."""
    home.away = True
    store = home.opened()
    for one in facts:
        tell_one(store, one)
    home.kill(store)
    home.away = False
    return home.waiting


def test_a_torn_last_line_is_as_if_it_had_never_been_told(home: Home) -> None:
    (path,) = left_behind(home, FIRST.facts)
    path.write_bytes(path.read_bytes()[:-7])
    store = home.synced()
    record = home.behind.records([FIRST.id])[FIRST.id]
    assert (record.status, record.reason) == ("stopped", DIED.reason)
    assert store.notes == [] and not list(home.root.glob("*/*"))


def test_a_damaged_line_costs_only_itself_and_its_file_is_kept(home: Home) -> None:
    path, _ = left_behind(home, FIRST.facts, SECOND.facts)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"\0" * 40 + b"\n", *lines[3:]]))
    store = home.synced()
    assert all(record.is_done for record in home.behind.records([FIRST.id, SECOND.id]).values())
    assert home.behind.curves([FIRST.id])[FIRST.id].spectra_epochs == (0, 2)
    assert [kept.name for kept in home.kept(".damaged")] == [path.name + ".damaged"]
    assert len(store.notes) == 1 and ".damaged may be deleted" in store.notes[0] and home.waiting == []
    assert home.synced().notes == store.notes


def test_a_file_that_lost_its_beginning_is_kept_and_stops_nothing(home: Home) -> None:
    path, _ = left_behind(home, FIRST.facts, SECOND.facts)
    path.write_bytes(b"?" + path.read_bytes())
    home.synced()
    assert set(home.behind.records([FIRST.id, SECOND.id])) == {SECOND.id}
    assert len(home.kept(".damaged")) == 1


@pytest.mark.parametrize("seed", but_first_slow(range(20), 6))
def test_a_journal_with_any_byte_changed_stops_no_reader_and_nothing_behind_it(home: Home, seed: int) -> None:
    rng = random.Random(seed)
    path, _ = left_behind(home, FIRST.facts, SECOND.facts)
    whole = path.read_bytes()
    for _ in range(40):
        at = rng.randrange(len(whole))
        path.write_bytes(whole[:at] + bytes([rng.randrange(256)]) + whole[at + 1 :])
        reader = home.opened(known=False)
        assert reader.records([FIRST.id, SECOND.id])[SECOND.id].is_done
        reader.curves([FIRST.id, SECOND.id])
    store = home.synced()
    assert home.behind.records([SECOND.id])[SECOND.id].is_done
    assert home.waiting == [] and not store.waits


def test_a_report_whose_arrays_are_unlike_the_others_costs_only_its_own(home: Home) -> None:
    store = home.opened()
    store.begin(FIRST.facts, INFO)
    for epoch, name in enumerate("FGFF"):
        arrays = {name: np.full(2, float(epoch))}
        store.report(FIRST.id, EpochReport(epoch=epoch, epochs=3, metrics={}, arrays=arrays))
    store.finish(FIRST.id, outcome(), INFO)
    store.flush()
    curves = home.opened().curves([FIRST.id])[FIRST.id]
    assert (curves.spectra_epochs, curves.spectra["F"].tolist()) == ((0, 2, 3), [[0, 0], [2, 2], [3, 3]])


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [([3], "<f4"), ([4], "<f8"), ([-1], "<f8"), ([-3, -1], "<f8"), ([], "<f8"), ([3], "|O")],
)
def test_an_array_that_is_not_what_it_says_is_no_entry(shape: list[int], dtype: str) -> None:
    def line(shape: list[int], dtype: str) -> bytes:
        array = {"dtype": dtype, "shape": shape, "data": "AAAA" * 8}  # 24 bytes
        told = {"entry": "reported", "trial_id": FIRST.id, "epoch": 0, "epochs": 2, "metrics": {}}
        return json.dumps(told | {"arrays": {"F": array}}).encode() + b"\n"

    assert journal.parsed(line([3], "<f8")) is not None
    assert journal.parsed(line(shape, dtype)) is None


@pytest.mark.parametrize(
    "header", [{"journal": 8, "address": "x"}, {"journal": 7, "store": NAME, "host": "h", "pid": 1}]
)
def test_a_journal_of_a_newer_version_is_left_alone_with_one_line(home: Home, header: dict[str, Any]) -> None:
    (path,) = left_behind(home, FIRST.facts)
    (path.parent / journal.HEADER).write_text(json.dumps(header))
    lost = iter([StoreAway("not yet")] * 3)
    home.faulty.before = lambda call: next(lost, None) if call == "begin" else None
    left_behind(home, SECOND.facts)
    store = home.synced()  # looks at it several times, for the store fails meanwhile
    assert [note for note in store.notes if "upgrade orch" in note] == store.notes and len(store.notes) == 1
    assert f"version {header['journal']}" in store.notes[0]
    assert home.behind.records([FIRST.id]) == {} and home.waiting == [path]
    assert home.opened().records([FIRST.id]) == {}


def test_a_journal_with_a_damaged_header_is_left_alone_with_one_line(home: Home) -> None:
    (path,) = left_behind(home, FIRST.facts)
    (path.parent / journal.HEADER).write_bytes(b"\0\0\0")
    assert len(home.synced().notes) == 1
    assert home.waiting == [path]


@pytest.mark.parametrize("name", ["../up.svg", "/etc/x", "a/b", "..", ".hidden", "a\\b", "a\0b", ""])
def test_no_file_name_in_an_entry_leaves_its_folder(name: str) -> None:
    for told in (
        {"entry": "attached", "trial_id": FIRST.id, "files": {name: "eA=="}},
        {"entry": "published", "sweep": INFO.model_dump(), "files": {name: "eA=="}, "content": "c"},
    ):
        assert journal.parsed(json.dumps(told).encode() + b"\n") is None
        good = json.dumps(told | {"files": {"plot.svg": "eA=="}}).encode() + b"\n"
        assert journal.parsed(good) is not None


@pytest.mark.parametrize(
    "address",
    [
        "http://user:secret@host:5000",
        "http://user:sec@ret@host:5000",
        "postgresql://user:se/cret@host:5000/db",
        "http://secret@host:5000",
    ],
)
def test_no_password_is_in_a_name_or_an_error(address: str) -> None:
    told = str(raised(OSError(f"cannot reach {address}/api: 'x' for {address}"), "MLflow", None))
    for text in (without_secret(address), told):
        assert "host:5000" in text and "@" not in text
        assert not re.search("user|sec|ret@|cret", text)


@pytest.mark.parametrize("key", ["password", "passwd", "token"])
def test_no_password_in_a_query_is_told(key: str) -> None:
    address = f"postgresql://host/db?user=me&{key}=hunter2"
    told = str(raised(OSError(f"cannot reach '{address}' (connection refused)"), "MLflow", None))
    assert "hunter2" not in told + without_secret(address)
    assert without_secret(address) == "postgresql://host/db?..."


@pytest.mark.parametrize(
    "address", ["http://host:5000", "sqlite:////home/me@work/mlflow.db", "sqlite:///a.db"]
)
def test_an_address_without_a_password_is_named_as_it_is(address: str) -> None:
    assert without_secret(address) == address


def test_an_error_that_nobody_foresaw_tells_no_password(home: Home) -> None:
    home.faulty.before = lambda call: ValueError("no http://user:sec@ret@host") if call == "begin" else None
    store = home.opened()
    tell_one(store)
    store.flush()
    assert "//host" in str(store.notes) and "ret" not in str(store.notes).replace(home.root.as_posix(), "")


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (None, "Max retries exceeded with url: /api (Caused by ...)", StoreAway),
        (None, "too many 500 error responses", StoreAway),
        (500, "API request to x failed with exception Content-Length contained 2 values", StoreAway),
        (500, "API request failed with error code 500 != 200. Response body: 'oops'", StoreAway),
        (404, "API request failed with error code 404 != 200. Response body: '<html>'", StoreAway),
        (404, "RESOURCE_DOES_NOT_EXIST: Run with id=1 not found", StoreRefused),
        (400, "INVALID_PARAMETER_VALUE: Invalid value", StoreRefused),
        (413, "API request failed with error code 413 != 200. Response body: 'too large'", StoreRefused),
        (401, "API request failed with error code 401 != 200. Response body: 'no'", StoreError),
    ],
)
def test_an_error_is_waited_for_set_aside_or_shown(
    status: int | None, text: str, kind: type[StoreError]
) -> None:
    # A 404 in HTML is a proxy's before a tracker that is being restarted, not the tracker's own.
    assert type(raised(RuntimeError(text), "MLflow", status)) is kind


# The format. Its trials are literals: a default that changes must not change what an old journal holds.


def literal(number: int) -> TrialFacts:
    identity = {"trainer": "ssl", "epochs": 2, "method": {"name": "byol", "momentum": 0.9}, "seed": number}
    return TrialFacts(
        trial_id=f"{number:012x}",
        cell_id="c" * 12,
        label=f"EMA · seed {number}",
        cell="EMA",
        seed=number,
        levels={"ema": "EMA"},
        identity=identity,
        config=identity | {"root": None},
    )


A, B, C = literal(1), literal(2), literal(3)


def tell_everything(store: Store) -> None:
    """Each kind of entry, with every field that it may have; one trial's driver dies."""
    sweep = SweepInfo(
        name="tiny",
        profile="laptop",
        provenance=Provenance(
            code_version="abc123",
            packages={"torch": "2.11"},
            hardware={"host": "node1", "cores": 2},
            command="orch sweep sweep.yaml",
        ),
        question="Does it need EMA?",
    )
    store.begin(A, sweep, worker="node1:7", attempt="first0")
    store.report(A.trial_id, full_report(0))
    store.begin(B, sweep, worker=None, attempt="second0")
    store.report(A.trial_id, full_report(1))
    details = {"data_fingerprint": "d", "streams_fingerprint": "s", "collapse": {"verdict": "none"}}
    store.finish(A.trial_id, outcome(0.75, details=details), sweep)
    store.report(B.trial_id, EpochReport(epoch=0, epochs=2, metrics={"train/loss": 0.5}))
    store.finish(B.trial_id, outcome(status="failed", reason="ValueError: no", error="code"), sweep)
    store.begin(C, sweep, worker="node1:8", attempt="third0", instead_of="f" * 32)
    store.report(C.trial_id, full_report(0))
    store.attach(A.trial_id, {"plot.svg": b"<svg/>"})
    store.adopt({A.trial_id: A.label}, SweepInfo(name="other", profile=None, provenance=sweep.provenance))
    store.publish(sweep, {"main.md": b"| a |\n"}, content="0123abcd")


def told_directly() -> MemoryStore:
    store = MemoryStore()
    tell_everything(store)
    store.finish(C.trial_id, DIED, INFO)
    return store


@pytest.mark.parametrize("version", sorted(path.name for path in GOLDEN.iterdir()))
def test_a_journal_of_every_version_that_ever_was_is_read_and_delivered(home: Home, version: str) -> None:
    shutil.copytree(GOLDEN / version, home.root)
    reader, ids = home.opened(known=False), [A.trial_id, B.trial_id, C.trial_id]
    assert [record.status for record in reader.records(ids).values()] == ["completed", "failed", "running"]
    store = home.synced()
    assert content(home.behind) == content(told_directly())
    assert store.notes == [] and home.waiting == []


def keys(value: Any) -> Any:
    """The shape of a JSON value: every key, and of what kind its value is."""
    if isinstance(value, dict):
        return {key: keys(one) for key, one in sorted(value.items())}
    return [keys(one) for one in value] if isinstance(value, list) else type(value).__name__


def shapes(root: Path) -> dict[str, Any]:
    """The shape of each line of the one journal below `root`, by file."""
    (folder,) = journal_files.folders(root)
    return {
        path.name: [keys(json.loads(line)) for line in path.read_bytes().splitlines()]
        for path in sorted(folder.iterdir())
    }


def test_what_is_written_today_is_what_this_version_has_always_written(home: Home) -> None:
    home.away = True
    store = home.opened()
    tell_everything(store)
    home.kill(store)
    # Whoever changes the format adds a version and its golden journal; a version itself is never changed.
    assert shapes(home.root) == shapes(GOLDEN / f"v{journal.VERSION}")


def test_a_reader_sees_that_the_driver_of_a_trial_is_gone(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from tests.builders import INFO, trials;"
        "from orchestrator.recording.journal.files import OwnJournal;"
        "from orchestrator.recording.journal.entries import Begun;"
        "own = OwnJournal(Path(sys.argv[1]), store='test', command='orch sweep');"
        "own.append(Begun(trial=trials(1)[0].facts, sweep=INFO, worker=None, attempt='a'));"
        "print('told', flush=True); sys.stdin.read(); os._exit(1)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    pipe = subprocess.PIPE
    driver = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=Path(__file__).parents[2])
    assert driver.stdout is not None and driver.stdout.readline() == "told\n"
    trial_id = trials(1)[0].id
    reader = JournaledStore(MemoryStore, root=tmp_path, name="test")
    assert reader.records([trial_id])[trial_id].status == "running"
    driver.communicate("")
    record = reader.records([trial_id])[trial_id]
    assert (record.status, record.reason) == ("stopped", DIED.reason)
    assert len(list(tmp_path.rglob("*.jsonl"))) == 1  # and has changed nothing


@pytest.mark.parametrize("folder", [Path("/home/x/trials/a"), S3Folder("bucket", "trials/a")])
def test_where_an_encoder_was_left_is_read_back_as_it_was_written(folder: Folder) -> None:
    told = journal.EncoderKept(trial_id="0" * 12, folder=folder, sha256="a" * 64)
    assert journal.parsed(journal.line(told)) == told


def test_an_encoder_that_waits_is_found_where_its_home_was_moved_to(home: Home) -> None:
    home.away = True
    store, left = home.opened(), home.root.parent / "trials" / FIRST.id
    store.begin(FIRST.facts, INFO)
    store.finish(FIRST.id, outcome(details={"encoder": {"sha256": hashlib.sha256(b"it").hexdigest()}}), INFO)
    left.mkdir(parents=True)
    (left / "encoder.safetensors").write_bytes(b"it")
    store.keep_encoder(FIRST.id, left, hashlib.sha256(b"it").hexdigest())
    home.kill(store)
    (home.root.parent / "moved").mkdir()
    for name in ("journal", "trials"):
        (home.root.parent / name).rename(home.root.parent / "moved" / name)
    home.root, home.away = home.root.parent / "moved" / "journal", False
    assert home.opened().encoder(FIRST.id) == b"it"
    home.synced()
    assert home.behind.encoder(FIRST.id) == b"it" and home.waiting == []
