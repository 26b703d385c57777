"""Watching a sweep that is trained elsewhere: it is shown as it goes, and every watch ends."""

from __future__ import annotations

import io
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from orchestrator.commands.app import app
from orchestrator.commands.request import Request
from orchestrator.commands.screen import watch as watching
from orchestrator.commands.train.drivers import who_trains
from orchestrator.errors import StoreAway
from orchestrator.execution.screen import suggested
from orchestrator.planning.evaluations import evaluations
from orchestrator.planning.plan import make_plan
from orchestrator.recording.claims.notes import trial_tags
from orchestrator.recording.memory import MemoryRegistry, MemoryStore
from orchestrator.recording.workspace import Workspace
from tests.builders import INFO, TINY, expansion, outcome, record, trials, yaml
from tests.place import Place
from tests.planning.test_evaluations import CELLS
from tests.recording.test_bundle import exported, filled


class Elsewhere:
    """A sweep of which each look sees the next of these states."""

    headline, space = "tiny: 8 trials", None

    def __init__(self, *looks: dict[int, str] | Exception, file: str = "tiny.yaml") -> None:
        self.looks, self.expansion, self.file = list(looks), expansion(), file

    def filled(self, line: str) -> str:
        return suggested.typed(self.file, {"home": "there"}).filled(line)

    def look_again(self) -> Any:
        look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(look, Exception):
            raise look
        ids = [trial.id for trial in self.expansion.trials]
        return make_plan(self.expansion, {ids[n]: record(ids[n], status=s) for n, s in look.items()})


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that moves only while somebody sleeps."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


@pytest.fixture(autouse=True)
def driver(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The drivers that live: one, unless a test says otherwise, as long as a trial runs."""
    living = ["somebody"]
    monkeypatch.setattr(watching, "who_trains", lambda request: lambda: tuple(living))
    return living


def watched(*looks: dict[int, str] | Exception) -> list[str]:
    said: list[str] = []
    watching.watch([Elsewhere(*looks)], say=said.append, console=Console(file=io.StringIO()))  # type: ignore[list-item]
    return said


ALL = dict.fromkeys(range(8), "completed")


def test_a_line_is_said_for_each_change_and_the_watch_ends_with_the_sweep(driver: list[str]) -> None:
    half = dict.fromkeys(range(4), "completed") | {4: "running"}
    driver.clear()
    assert watched(half, half, ALL | {7: "failed"}) == [
        "tiny: 4 completed, 1 running, 3 missing",
        "tiny: 7 completed, 1 failed",
        "all trials have ended",
    ]


def test_trials_that_were_stopped_have_not_ended(driver: list[str]) -> None:
    driver.clear()
    way = "`orch sweep tiny.yaml --home there`"
    assert watched(ALL | {7: "stopped"})[-1] == f"1 trial was stopped; {way} goes on with it"
    assert watched(ALL | {0: "stopped", 7: "stopped"})[-1] == (
        f"2 trials were stopped; {way} goes on with them"
    )


def test_of_several_sweeps_those_are_named_that_have_something_left(driver: list[str]) -> None:
    driver.clear()
    said = list[str]()
    stopped = [Elsewhere(ALL | {7: "stopped"}, file=name) for name in ("b.yaml", "c.yaml")]
    sweeps: list[Any] = [Elsewhere(ALL), *stopped]
    watching.watch(sweeps, say=said.append, console=Console(file=io.StringIO()))
    ways = "`orch sweep b.yaml --home there` and `orch sweep c.yaml --home there` go on with them"
    assert said[-1] == f"2 trials were stopped; {ways}"


def test_a_watch_ends_with_a_command_that_can_be_typed_as_it_is(
    place: Place, driver: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.clear()
    monkeypatch.setattr(Workspace, "open_store", lambda space: MemoryStore())
    file, said = place.folder / "sweep.yaml", list[str]()
    request = Request(file, home=Path("there"), seeds="3", changes=["epochs=1"])
    watching.watch([request], say=said.append, console=Console(file=io.StringIO()))
    way = f"`orch sweep {file} --seeds 3 --set epochs=1 --home there` goes on with what is left"
    assert said[-1] == f"nobody has trained for 60 s; {way}"


def test_a_watch_of_a_bundle_names_no_command_that_would_train_into_it(
    place: Place, driver: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.clear()
    whole, said = expansion(), list[str]()
    exported(place.folder / "tiny.orch.zip", filled(whole, trials=4), whole)
    monkeypatch.chdir(place.folder)
    request = Request(Path("tiny.orch.zip"))
    watching.watch([request], say=said.append, console=Console(file=io.StringIO()))
    way = "the command that `orch import tiny.orch.zip` prints goes on with what is left"
    assert said[-1] == f"nobody has trained for 60 s; {way}"


@pytest.mark.parametrize("left", ["running", "stopped"])
def test_a_sweep_whose_driver_is_dead_is_watched_for_a_minute(
    clock: list[float], driver: list[str], left: str
) -> None:
    driver.clear()
    said = watched({0: "completed", 1: left})
    way = "`orch sweep tiny.yaml --home there` goes on with what is left"
    assert said[-1] == f"nobody has trained for 60 s; {way}"
    assert 60 <= clock[0] < 70


def test_a_sweep_whose_workers_start_for_long_is_watched_on(
    clock: list[float], driver: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sleep = time.sleep

    def until_the_driver_ends(seconds: float) -> None:
        sleep(seconds)
        if clock[0] > 300:
            driver.clear()

    monkeypatch.setattr(time, "sleep", until_the_driver_ends)
    assert watched({})[-1].startswith("nobody has trained") and clock[0] > 360


def test_a_store_that_is_away_is_asked_again_for_a_minute(clock: list[float], driver: list[str]) -> None:
    driver.clear()
    away, *_, last = watched(StoreAway("gone"), StoreAway("gone"), ALL)
    assert away.startswith("the store does not answer") and last == "all trials have ended"
    with pytest.raises(StoreAway):
        watched(StoreAway("gone"))
    assert clock[0] < 70


def test_what_is_recorded_while_a_sweep_is_watched_is_shown(
    place: Place, database: Path, driver: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.recording.mlflow.store import MlflowStore

    home, said, sleep, left = place.folder / "runs", list[str](), time.sleep, trials(8)

    def trained_meanwhile(seconds: float) -> None:
        sleep(seconds)
        if left:
            home.mkdir(exist_ok=True)
            if not (home / "mlflow.db").exists():  # a watch may begin before the first trial
                shutil.copy(database, home)
            store = MlflowStore(f"sqlite:///{home / 'mlflow.db'}", artifacts=home)
            for trial in (left.pop(), left.pop()):
                store.begin(trial.facts, INFO)
                store.finish(trial.id, outcome(), INFO)
        else:
            driver.clear()

    monkeypatch.setattr(time, "sleep", trained_meanwhile)
    request = Request(place.folder / "sweep.yaml", home=home)
    watching.watch([request], say=said.append, console=Console(file=io.StringIO()))
    assert said[0] == "tiny: 8 missing" and "tiny: 4 missing, 4 completed" in said
    assert said[-2:] == ["tiny: 8 completed", "all trials have ended"]


def test_a_terminal_shows_cells_and_seeds_in_place(driver: list[str]) -> None:
    driver.clear()
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=30)
    watching.watch([Elsewhere({0: "running"}, ALL)], say=print, console=console)  # type: ignore[list-item]
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "EMA · symmetric" in text
    assert text.rstrip().endswith("\x1b[?25h") and "all trials have ended" in text  # the cursor is back


def test_watching_is_for_people() -> None:
    said = CliRunner().invoke(app, ["status", "orch:smoke", "--watch", "--json"])
    assert said.exit_code == 2


@pytest.fixture
def shared(place: Place) -> tuple[Request, MemoryRegistry]:
    """A sweep whose store drivers of other machines share, and their notes."""
    request, registry = Request(place.folder / "sweep.yaml", home=place.folder / "runs"), MemoryRegistry()
    at = request.space.store_at._replace(registry=lambda: registry)
    request.space = request.space._replace(store_at=at)
    return request, registry


def note(*trial_ids: str) -> dict[str, str]:
    """That of a driver elsewhere which trains these trials."""
    return {"orch.host": "there", "orch.heartbeat": "1"} | trial_tags("holds", trial_ids)


def test_a_driver_on_another_machine_lives_while_its_heartbeat_changes(
    shared: tuple[Request, MemoryRegistry],
) -> None:
    request, registry = shared
    driver = registry.register(note(request.trials[0].id))
    registry.register(note("another sweep's"))
    heard = who_trains(request)
    assert [owner.host for owner in heard()] == ["there"]
    assert not heard()
    registry.write(driver, {"orch.heartbeat": "2"})
    assert heard()


def test_a_driver_that_trains_seeds_which_were_added_meanwhile_is_seen(
    shared: tuple[Request, MemoryRegistry],
) -> None:
    request, registry = shared
    more = expansion(seeds=range(3))
    registry.register(note(*(trial.id for trial in more.trials if trial.seed == 2)))
    heard = who_trains(request)
    assert not heard()
    request.expansion = more
    assert heard()


@pytest.mark.parametrize("name", ["tiny", "evaluations"])
def test_evaluations_are_counted_beside_the_trials_whatever_a_sweep_is_called(name: str) -> None:
    made = expansion(yaml(TINY, CELLS).replace("name: tiny", f"name: {name}"))
    plan = make_plan(made, {})
    line = watching._counts(plan, make_plan(evaluations(made, {}).expansion, {}))
    assert line == f"{name}: 4 missing, evaluations: none yet"


def test_a_watch_for_narrow_intervals_shows_the_seeds_that_were_added_meanwhile(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    monkeypatch.setattr(Workspace, "open_store", lambda space: store)
    request = Request(place.folder / "sweep.yaml", home=place.folder / "runs", precision=1.0)
    assert len(request.look_again().todo) == 8
    for trial in request.trials:
        store.begin(trial.facts, INFO)
        store.finish(trial.id, outcome(), INFO)
    plan = request.look_again()
    assert (len(plan.done), len(plan.todo)) == (8, 4) and request.headline.startswith(
        "tiny: 4 cells × 3 seeds"
    )
