"""Laws of claims through a shared store: one driver per trial, also when they start at once, and no clock."""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pytest

from orchestrator.errors import StoreAway
from orchestrator.process.driver import Owner, this_driver
from orchestrator.recording.claims.home import Claims
from orchestrator.recording.claims.joint import JointClaims
from orchestrator.recording.claims.notes import notes_in
from orchestrator.recording.claims.shared import BEAT_S, STALE_S, SharedClaims
from orchestrator.recording.memory import MemoryRegistry
from orchestrator.recording.store_port import DriverRegistry


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


class Flaky(MemoryRegistry):
    """A board that is away when it is told to be."""

    away = False
    misses = 0
    """So many questions more it does not answer."""
    nonsense = 0
    """So many answers more are no answers."""

    def read(self) -> dict[str, dict[str, str]]:
        self.nonsense -= 1
        if self.nonsense >= 0:
            raise ValueError("Expecting value: line 1 column 1 (char 0)")
        self.misses -= 1
        if self.away or self.misses >= 0:
            raise StoreAway("the tracker does not answer")
        return super().read()


def driver(registry: DriverRegistry, host: str, clock: Clock | None = None) -> SharedClaims:
    clock = clock or Clock()
    me = Owner(host, 1, "orch sweep x.yaml")
    return SharedClaims(registry, me=me, clock=clock, pause=clock.pause)


def watch(reader: SharedClaims, clock: Clock, seconds: float, other: SharedClaims | None = None) -> None:
    """Let time pass in which `reader` looks at the board, and `other` beats."""
    for _ in range(int(seconds / 5)):
        clock.now += 5
        if other is not None:
            other.beat()
        reader.held(["x"])


@pytest.fixture(params=["memory", "mlflow"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DriverRegistry]:
    if request.param == "memory":
        yield MemoryRegistry()
        return
    from orchestrator.recording.mlflow.registry import MlflowRegistry

    shutil.copy(request.getfixturevalue("database"), tmp_path / "mlflow.db")
    yield MlflowRegistry(f"sqlite:///{tmp_path / 'mlflow.db'}")


pytestmark = pytest.mark.filterwarnings("default")  # MLflow and SQLAlchemy warn about themselves


def test_a_trial_is_one_drivers_at_a_time_and_free_when_it_leaves(registry: DriverRegistry) -> None:
    first, second = driver(registry, "a"), driver(registry, "b")
    assert first.take(["x", "y"]) == {}
    assert second.take(["y", "z"]) == {"y": first.me}
    assert first.held(["z", "x"]) == {"z": second.me}
    first.release()
    assert second.held(["y"]) == {} and second.take(["y"]) == {}


def test_more_trials_than_a_tag_holds_are_claimed_and_given_back(registry: DriverRegistry) -> None:
    ids = [f"{number:012x}" for number in range(1000)]
    first, second = driver(registry, "a"), driver(registry, "b")
    first.take(ids)
    assert set(second.take(ids)) == set(ids)
    first.take(ids[:1])
    assert set(second.take(ids)) == set(ids[:1])


def test_a_driver_whose_heart_stops_is_dead_after_a_while_of_the_readers_own_clock() -> None:
    registry, clock = MemoryRegistry(), Clock()
    first, second = driver(registry, "a"), driver(registry, "b", clock)
    first.take(["x"])
    assert second.take(["x", "y"]) == {"x": first.me}
    watch(second, clock, 20 * STALE_S, first)  # it lives as long as its heart beats, however long that is
    assert second.held(["x"]) == {"x": first.me}
    watch(second, clock, STALE_S - 5)
    assert second.held(["x"]) == {"x": first.me}
    watch(second, clock, 10)
    assert second.held(["x"]) == {}
    assert registry.left == {"driver1": True} and registry.marked_stopped == {"x"}
    assert second.take(["x"]) == {}


def test_reaping_tells_the_dead_from_the_living() -> None:
    registry, clock = MemoryRegistry(), Clock()
    dead, alive = driver(registry, "a"), driver(registry, "b")
    dead.take(["x"])
    alive.take(["y"])

    def pause(seconds: float) -> None:
        clock.now += seconds
        alive.beat()

    me = Owner("c", 1, "orch sync --reap")
    assert SharedClaims(registry, me=me, clock=clock, pause=pause).end_dead_drivers() == [dead.me]
    assert registry.marked_stopped == {"x"} and set(registry.read()) == {"driver2"}


@pytest.mark.parametrize("jump", [-1e9, 1e9])
def test_a_jump_of_another_machines_wall_clock_kills_nobody(
    jump: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, clock = MemoryRegistry(), Clock()
    first, second = driver(registry, "a"), driver(registry, "b", clock)
    monkeypatch.setattr("time.time", lambda: 1e9 + jump)
    first.take(["x"])
    monkeypatch.undo()
    assert set(second.take(["x"])) == {"x"}
    watch(second, clock, 2 * STALE_S, first)
    assert set(second.held(["x"])) == {"x"}


def test_time_in_which_the_store_did_not_answer_does_not_count() -> None:
    registry, clock = Flaky(), Clock()
    first, second = driver(registry, "a"), driver(registry, "b", clock)
    first.take(["x"])
    second.take(["x"])
    registry.away = True
    with pytest.raises(StoreAway):
        second.held(["x"])
    clock.now += 10 * STALE_S
    registry.away = False
    assert set(second.held(["x"])) == {"x"}
    watch(second, clock, STALE_S - 10)
    assert set(second.held(["x"])) == {"x"}


def test_a_reader_that_has_not_looked_for_long_watches_before_it_judges() -> None:
    registry, clock = MemoryRegistry(), Clock()
    first, second = driver(registry, "a"), driver(registry, "b", clock)
    first.take(["x"])
    second.take(["x", "y"])
    clock.now += 100 * STALE_S  # training its own
    assert set(second.held(["x"])) == {"x"}


@pytest.mark.parametrize("look_s", [1.0, 14.0, 16.0, 29.0, 90.0])
def test_a_dead_driver_is_taken_over_from_however_long_a_look_takes(look_s: float) -> None:
    registry, clock = MemoryRegistry(), Clock()
    first, second = driver(registry, "a"), driver(registry, "b", clock)
    first.take(["x"])
    second.take(["y"])
    looks = 0
    while second.held(["x"]) and looks < 100:
        clock.now += look_s
        looks += 1
    assert STALE_S < clock.now < STALE_S + 3 * max(look_s, 10) and looks > 2
    assert registry.marked_stopped == {"x"}


@pytest.mark.parametrize("look_s", [16.0, 40.0])
def test_a_living_driver_keeps_its_trials_however_long_a_look_takes(look_s: float) -> None:
    registry, clock = MemoryRegistry(), Clock()
    first, second = driver(registry, "a"), driver(registry, "b", clock)
    first.take(["x"])
    second.take(["y"])
    for _ in range(50):
        clock.now += look_s
        first.beat()
        assert second.held(["x"])


def test_a_driver_whose_claims_ended_is_told_so_once(registry: DriverRegistry) -> None:
    first = driver(registry, "a")
    first.take(["x"])
    assert first.beat() is None and not first.lapsed()
    (note,) = registry.read()
    registry.deregister(note, lost=True)  # another took it for dead, trained everything and left
    assert first.beat() is None
    assert first.lapsed() and not first.lapsed()


def test_a_driver_that_was_suspended_looks_for_its_claims_before_it_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry, told = MemoryRegistry(), list[str]()
    claims = SharedClaims(registry, me=Owner("a", 1, "orch"), on_stop=told.append)  # beats every 10 s
    claims.take(["x"])
    registry.deregister("driver1", lost=True)
    assert not claims.lapsed()  # it has just been heard of
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + 3600)
    assert claims.lapsed()
    claims.release()
    assert registry.read() == {} and told == []


class Hanging(MemoryRegistry):
    """A board that takes a note and never lets go of it."""

    def deregister(self, driver: str, *, lost: bool = False) -> None:
        threading.Event().wait(60)


def test_a_driver_that_ends_waits_for_no_store_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.recording.claims.shared.LEAVE_S", 0.05)
    claims = driver(Hanging(), "a")
    claims.take(["x"])
    claims.release()
    assert not claims.entered


def test_a_store_that_misses_an_answer_while_trials_are_claimed_is_asked_again() -> None:
    registry = Flaky()
    first, second = driver(registry, "a"), driver(registry, "b")
    first.take(["x"])
    registry.misses = 5
    assert set(second.take(["x", "y"])) == {"x"}


def test_a_claim_that_the_stores_absence_left_open_is_settled_with_the_next_heartbeat() -> None:
    registry = Flaky()
    first, second, third = driver(registry, "a"), driver(registry, "b"), driver(registry, "c")
    first.take(["w"])  # so that it has the earliest note
    registry.misses = 10**6
    with pytest.raises(StoreAway):
        second.take(["x"])
    registry.misses = 0
    assert second.beat() is None
    assert third.take(["x"]) == {"x": second.me}
    assert first.take(["x"]) == {"x": second.me}  # and is not kept waiting


class Restarted(Flaky):
    """A board that takes no word while it is away, and whose readers may all see one and the same moment."""

    moment: dict[str, dict[str, str]] | None = None

    def read(self) -> dict[str, dict[str, str]]:
        return super().read() if self.moment is None else self.moment

    def write(self, driver: str, tags: Mapping[str, str]) -> None:
        if self.away or ("holds" in tags.values() and self.deaf):
            raise StoreAway("the tracker does not answer")
        super().write(driver, tags)

    deaf = False
    """Whether it hears no decision."""


def took_while_away(registry: Restarted, *drivers: SharedClaims) -> None:
    """Let each of them take "x" as one claim more, of which the board hears nothing."""
    for number, one in enumerate(drivers):
        one.take([f"w{number}"])
    registry.away = True
    for one in drivers:
        with pytest.raises(StoreAway):
            one.take(["x"])
    registry.away = False


def test_a_later_claim_that_the_stores_absence_left_unsaid_is_said_with_the_next_heartbeat() -> None:
    registry = Restarted()
    first, second = driver(registry, "a"), driver(registry, "b")
    took_while_away(registry, first)
    assert first.beat() is None
    assert second.take(["w0", "x"]) == {"x": first.me}
    assert first.lapsed() and not first.lapsed()  # for others may have had it meanwhile
    assert first.beat() is None and not first.lapsed()


def test_a_driver_stops_where_another_has_what_it_could_not_claim() -> None:
    registry = Restarted()
    first, second = driver(registry, "a"), driver(registry, "b")
    took_while_away(registry, first)
    assert second.take(["x"]) == {}
    assert first.beat() is None  # whether the other lives is not known yet
    assert second.beat() is None
    assert f"{second.me} trains its trials now" in str(first.beat())
    assert second.beat() is None


def test_a_driver_is_stopped_by_none_that_is_long_dead() -> None:
    registry, clock = Restarted(), Clock()
    first, dead = driver(registry, "a", clock), driver(registry, "b")
    dead.take(["x"])
    took_while_away(registry, first)
    for _ in range(20):
        assert first.beat() is None
        clock.now += BEAT_S
    said = [note for note in notes_in(registry.read()).values() if note.owner == first.me]
    assert [(note.holds, note.trials) for note in said] == [(True, {"x"})]


def test_of_drivers_that_say_at_once_what_they_could_not_claim_one_goes_on() -> None:
    registry = Restarted()
    first, second = driver(registry, "a"), driver(registry, "b")
    took_while_away(registry, first, second)
    registry.moment = registry.read()
    assert first.beat() is None and second.beat() is None
    registry.moment = None
    assert first.beat() is None
    assert f"{first.me} trains its trials now" in str(second.beat())
    assert first.beat() is None


def test_a_driver_is_stopped_by_none_that_took_its_trials_and_died_while_it_could_not_look() -> None:
    registry, clock = Restarted(), Clock()
    dead, first = driver(registry, "a", clock), driver(registry, "b", clock)
    took_while_away(registry, dead, first)
    assert dead.beat() is None  # and says that it holds "x"
    assert first.beat() is None
    registry.away = True
    with pytest.raises(StoreAway):
        first.beat()
    registry.away = False
    assert dead.beat() is None  # its last
    for _ in range(20):
        assert first.beat() is None
        clock.now += BEAT_S


def test_a_claim_that_was_decided_counts_though_the_store_does_not_hear_of_it() -> None:
    registry = Restarted()
    first, second = driver(registry, "a"), driver(registry, "b")
    first.take(["x"])
    registry.deaf = True
    assert second.take(["x", "y"]) == {"x": first.me}
    registry.deaf = False
    assert second.beat() is None
    assert driver(registry, "c").take(["x", "y"]) == {"x": first.me, "y": second.me}


def test_a_driver_that_was_taken_for_dead_comes_back_or_stops_if_another_has_its_trials() -> None:
    registry, clock = MemoryRegistry(), Clock()
    first, second = driver(registry, "a"), driver(registry, "b", clock)
    first.take(["x"])
    second.take(["y"])
    watch(second, clock, STALE_S + 10)
    assert first.beat() is None and second.held(["x"]) == {"x": first.me}
    watch(second, clock, STALE_S + 10)
    assert second.take(["x"]) == {}
    assert first.beat() is None and second.beat() is None
    assert f"{second.me} trains its trials now" in str(first.beat())


def test_a_driver_that_found_the_store_away_is_not_stopped_by_the_note_of_a_dead_one() -> None:
    class Unreachable(Flaky):
        def register(self, tags: Mapping[str, str]) -> str:
            if self.away:
                raise StoreAway("the tracker does not answer")
            return super().register(tags)

    registry, clock = Unreachable(), Clock()
    gone = this_driver("orch sweep x.yaml")._replace(pid=2**22 + 1)  # no such process
    SharedClaims(registry, me=gone, clock=clock, pause=clock.pause).take(["x"])
    registry.away = True
    second = driver(registry, "b", clock)
    with pytest.raises(StoreAway):
        second.take(["x"])
    registry.away = False
    assert second.beat() is None and second.entered


def test_equal_names_of_hosts_do_not_make_one_machine() -> None:
    registry = MemoryRegistry()
    here = Owner("node", 2**22 + 1, "orch sweep x.yaml", "this machine")  # no such process
    first = SharedClaims(registry, me=here)
    first.take(["x"])
    assert set(driver(registry, "node").held(["x"])) == {"x"}
    gone = this_driver("orch sweep x.yaml")._replace(pid=2**22 + 1)
    SharedClaims(registry, me=gone).take(["z"])
    assert driver(registry, "other").held(["z"]) == {}


def test_a_driver_that_was_asked_to_stop_lives_until_it_has_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.recording.claims.shared.BEAT_S", 0.01)
    registry, told = MemoryRegistry(), list[str]()
    claims = SharedClaims(registry, me=Owner("a", 1, "orch"), on_stop=told.append)
    claims.take(["x"])
    driver(registry, "b").ask_to_stop(["x"])
    deadline = time.monotonic() + 60
    while not told and time.monotonic() < deadline:
        time.sleep(0.01)
    beats = registry.read()["driver1"]["orch.heartbeat"]
    while registry.read()["driver1"]["orch.heartbeat"] == beats and time.monotonic() < deadline:
        time.sleep(0.01)
    claims.release()
    assert time.monotonic() < deadline and len(told) == 1 and "orch stop" in told[0]


def test_a_looker_changes_nothing() -> None:
    registry = MemoryRegistry()
    driver(registry, "a").take(["x"])
    before = registry.read()
    driver(registry, "b").held(["x"])
    assert registry.read() == before


def test_who_is_asked_to_stop_reads_it_with_a_heartbeat(registry: DriverRegistry) -> None:
    first, other = driver(registry, "a"), driver(registry, "b")
    first.take(["x"])
    other.take(["z"])
    assert first.beat() is None
    assert driver(registry, "c").ask_to_stop(["x", "y"], but_not=[other.me]) == [first.me]
    assert driver(registry, "c").ask_to_stop(["z"], but_not=[other.me]) == []
    assert "orch stop" in str(first.beat()) and other.beat() is None


class Slow(MemoryRegistry):
    """A board whose readers and writers are held up at random."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.rng, self.lock = random.Random(seed), threading.Lock()

    def _hold_up(self) -> None:
        threading.Event().wait(self.rng.random() * 0.004)

    def register(self, tags: Mapping[str, str]) -> str:
        self._hold_up()
        with self.lock:
            return super().register(tags)

    def write(self, driver: str, tags: Mapping[str, str]) -> None:
        self._hold_up()
        with self.lock:
            super().write(driver, tags)

    def read(self) -> dict[str, dict[str, str]]:
        self._hold_up()
        with self.lock:
            found = super().read()
        self._hold_up()
        return found


@pytest.mark.parametrize("seed", range(20))
def test_of_drivers_that_start_at_once_each_trial_goes_to_exactly_one(seed: int) -> None:
    registry, rng = Slow(seed), random.Random(seed)
    trials = [f"t{number}" for number in range(6)]
    asked = [rng.sample(trials, 4) for _ in range(4)]
    got: list[set[str]] = [set() for _ in asked]

    def run(index: int) -> None:
        me = Owner(f"host{index}", 1, "orch sweep")
        claims = SharedClaims(registry, me=me, pause=lambda s: threading.Event().wait(0.002) and None)
        got[index] = set(asked[index]) - claims.take(asked[index]).keys()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(asked))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert not any(thread.is_alive() for thread in threads)
    owners = [trial for mine in got for trial in mine]
    assert sorted(owners) == sorted(set(owners)), got
    assert set(owners) == set().union(*asked)


class Twice(MemoryRegistry):
    """A board whose first answer is lost, so that it is asked again."""

    def register(self, tags: Mapping[str, str]) -> str:
        super().register(tags)
        return super().register(tags)


def test_a_note_that_was_left_twice_stands_in_nobodys_way() -> None:
    registry = Twice()
    first, second = driver(registry, "a"), driver(registry, "b")
    assert first.take(["x"]) == {}
    first.release()
    assert second.take(["x"]) == {}
    second.release()
    assert registry.read() == {}


# Joint claims


def joint(tmp_path: Path, registry: DriverRegistry, host: str, said: list[str]) -> JointClaims:
    local = Claims(tmp_path / host, command="orch sweep")
    return JointClaims(local, driver(registry, host), say=said.append)


def test_while_the_store_is_away_what_others_had_stays_theirs(tmp_path: Path) -> None:
    registry, said = Flaky(), list[str]()
    first, second = joint(tmp_path, registry, "a", said), joint(tmp_path, registry, "b", said)
    first.take(["x"])
    held: Collection[str] = second.take(["x", "y"])
    assert set(held) == {"x"}
    registry.away = True
    assert set(second.held(["x", "y"])) == {"x"}
    registry.away = False
    first.release()
    assert second.held(["x", "y"]) == {}
    second.release()
    assert said == []


def test_a_driver_that_finds_the_store_away_says_so_and_trains(tmp_path: Path) -> None:
    registry, said = Flaky(), list[str]()
    registry.away = True
    claims = joint(tmp_path, registry, "a", said)
    assert claims.take(["x"]) == {}
    assert "another machine trains some of these trials is not known" in said[0]
    claims.release()


def test_a_heartbeat_outlives_an_answer_that_makes_no_sense(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.recording.claims.shared.BEAT_S", 0.01)
    registry = Flaky()
    claims = SharedClaims(registry, me=Owner("one", 1, "orch sweep x.yaml"), on_stop=lambda why: None)
    claims.take(["x"])
    registry.nonsense = 3
    deadline = time.monotonic() + 10
    while registry.nonsense > 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    (note,) = MemoryRegistry.read(registry).values()
    seen = note["orch.heartbeat"]
    while note["orch.heartbeat"] == seen and time.monotonic() < deadline:
        time.sleep(0.01)
        (note,) = MemoryRegistry.read(registry).values()
    assert note["orch.heartbeat"] != seen
    claims.release()


def test_what_is_given_back_before_waiting_is_free_on_the_board_too(tmp_path: Path) -> None:
    registry = MemoryRegistry()
    first, second = (
        JointClaims(Claims(tmp_path / name, command="orch"), driver(registry, name), say=print)
        for name in "ab"
    )
    assert first.take(["x"]) == {}
    assert first.take([]) == {}
    assert second.take(["x"]) == {}
    first.release()
    second.release()
