"""A mirror shows each trial once, as far as it has come, and is nothing that a sweep needs."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import time
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from orchestrator import Sweep
from orchestrator.commands.screen.live import QuietDisplay
from orchestrator.errors import UsageError
from orchestrator.events import Finished, Progressed, Started
from orchestrator.execution.run import plan_sweep
from orchestrator.execution.screen import delivering, mirroring, mirrors
from orchestrator.execution.screen.mirrors import __main__ as child
from orchestrator.execution.screen.mirrors import base, tensorboard
from orchestrator.execution.screen.mirrors.base import MirroredRun
from orchestrator.planning.trials import TrialSpec
from orchestrator.recording.memory import MemoryStore
from orchestrator.records import Origin
from tests.builders import INFO, TINY, expansion, outcome, record, report, sweep, trials, yaml
from tests.place import Place

STUB = """
import json, os, pathlib
print("hello from the library")
class Settings:
    def __init__(self, **how): self.how = how
class Run:
    def __init__(self, how):
        self.how, self.rows, self.summary = how, [], {}
    def define_metric(self, *names, **how): pass
    def log(self, values, step): self.rows.append(step)
    def finish(self, exit_code):
        with open(os.environ["STUB"], "a") as file:
            how = {key: self.how[key] for key in ("id", "group", "project", "name")}
            file.write(json.dumps(how | {"steps": self.rows, "summary": self.summary}) + "\\n")
def init(**how):
    if fault := os.environ.get("STUB_FAULT"): exec(fault)
    return Run(how)
"""


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """What a stand-in for the package wandb was told, run by run; here and in other processes."""
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "wandb.py").write_text(STUB)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    paths = [str(tmp_path / "packages"), str(Path(__file__).parents[2])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setenv("STUB", str(tmp_path / "shown.jsonl"))
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    yield lambda: [json.loads(line) for line in (tmp_path / "shown.jsonl").read_text().splitlines()]
    sys.modules.pop("wandb", None)


def begun(folder: Path, *started: TrialSpec) -> mirroring.Mirror:
    """A mirror that has heard that these trials began, and delivers nothing by itself."""
    made = mirroring.Mirror("tensorboard", folder, INFO)
    made._thread = SimpleNamespace(join=lambda seconds: None, is_alive=lambda: False)  # type: ignore[assignment]
    made._trials = {trial.id: trial for trial in started}
    for trial in started:
        made.on_event(Started(trial.id, 1, "here:1"))
    return made


def fed(folder: Path, *ended: TrialSpec, status: str = "completed", value: float = 0.5) -> mirroring.Mirror:
    """A mirror that has heard of these trials, and has delivered nothing."""
    made = begun(folder, *ended)
    for trial in ended:
        for epoch in (0, 1, 2):
            made.on_event(Progressed(trial.id, report(epoch)))
        made.on_event(Finished(trial.id, outcome(value, status)))
    return made


def test_what_is_heard_of_a_trial_waits_on_the_disk_when_it_ends(tmp_path: Path) -> None:
    first, second = trials(2)
    fed(tmp_path, first)
    fed(tmp_path, second, status="failed")
    (path,) = base.waiting(tmp_path)
    run = base.read(path)
    assert run is not None and run.trial == first.facts and run.status == "completed"
    assert [epoch for epoch, _ in run.curves] == [0, 1, 2] and run.metrics == {"probe/top1": 0.5}
    assert [path.name for path in (tmp_path / base.OUTBOX).iterdir()] == [f"{first.id}.jsonl"]


def test_a_trial_that_begins_again_is_written_anew(tmp_path: Path) -> None:
    (trial,) = trials(1)
    made = fed(tmp_path)
    made._trials = {trial.id: trial}
    made.on_event(Started(trial.id, 1, "here:1"))
    made.on_event(Progressed(trial.id, report(1)))
    fed(tmp_path, trial)
    (path,) = base.waiting(tmp_path)
    assert len(path.read_text().splitlines()) == 5


class Shown:
    """A mirror that remembers, and fails where it is told to."""

    def __init__(self, *faulty: str) -> None:
        self.runs, self.again, self.faulty = list[MirroredRun](), list[bool](), set(faulty)

    def deliver(self, run: MirroredRun, folder: Path, *, again: bool) -> None:
        if run.trial.trial_id in self.faulty:
            raise OSError("no network")
        self.runs.append(run)
        self.again.append(again)


def test_a_result_is_shown_once_however_often_it_waits_and_another_result_again(tmp_path: Path) -> None:
    (trial,) = trials(1)
    mirror: Any = Shown()
    for value in (0.5, 0.5, 0.7):
        fed(tmp_path, trial, value=value)
        list(child.deliver(mirror, tmp_path))
        assert base.waiting(tmp_path) == []
    assert [run.metrics["probe/top1"] for run in mirror.runs] == [0.5, 0.7] and mirror.again == [False, True]


@pytest.mark.parametrize(
    ("value", "others", "again"),
    [
        (0.5, {"time/wall_s": 9.0}, False),
        (0.5, {"probe_2/top1": 0.9}, False),  # which an evaluation has found, a trial of its own
        (0.7, {}, True),
        (0.7, {"probe_2/top1": 0.9}, True),
    ],
)
def test_a_result_of_training_anew_that_a_mirror_missed_is_shown_by_another_command(
    value: float, others: dict[str, float], again: bool, tmp_path: Path
) -> None:
    (trial,) = trials(1)
    mirror: Any = Shown()
    known = record(trial.id, value)
    origins = {"probe_2": Origin.model_validate({})} if "probe_2/top1" in others else {}
    known = known.model_copy(update={"metrics": known.metrics | others, "evaluations": origins})
    fed(tmp_path, trial)
    list(child.deliver(mirror, tmp_path))
    for _ in range(2):
        every = mirroring.Mirrors([], tmp_path, INFO)
        every._all = [begun(tmp_path)]
        every.catch_up([trial], {trial.id: known}, MemoryStore())
        every.catch_up([trial], {trial.id: known}, MemoryStore())
        list(child.deliver(mirror, tmp_path))
    assert [run.metrics["probe/top1"] for run in mirror.runs] == [0.5, *[0.7] * again]
    assert all("probe_2/top1" not in run.metrics for run in mirror.runs)


def shown_by(told: Iterator[dict[str, str]]) -> list[str]:
    """The results that a delivery says it has shown."""
    return [one["shown"] for one in told if "shown" in one]


def test_who_is_killed_between_showing_and_noting_shows_the_same_run_again(tmp_path: Path) -> None:
    (trial,) = trials(1)
    fed(tmp_path, trial)
    mirror: Any = Shown()
    stopped = child.deliver(mirror, tmp_path)
    note = base.note_delivered
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(base, "note_delivered", lambda folder, run: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            list(stopped)
    assert note is base.note_delivered and len(base.waiting(tmp_path)) == 1
    list(child.deliver(mirror, tmp_path))
    assert [run.trial.trial_id for run in mirror.runs] == [trial.id] * 2 and mirror.again == [False, False]


def test_a_result_that_is_never_taken_holds_up_no_other_and_is_left_after_a_few_tries(tmp_path: Path) -> None:
    ended = trials(4)
    fed(tmp_path, *ended)
    order = [path.stem for path in base.waiting(tmp_path)]
    mirror: Any = Shown(order[0])
    told = list(child.deliver(mirror, tmp_path))
    assert told[:2] == [{"trying": order[0]}, {"failed": "OSError: no network"}]
    assert shown_by(iter(told)) == order[1:]
    assert [path.stem for path in base.waiting(tmp_path)] == order[:1]
    assert list(child.deliver(mirror, tmp_path, {order[0]: base.TRIES})) == []
    mirror.faulty.clear()
    assert shown_by(child.deliver(mirror, tmp_path, {order[0]: base.TRIES - 1})) == order[:1]
    assert len(mirror.runs) == 4


def test_what_was_not_taken_before_comes_last(tmp_path: Path) -> None:
    fed(tmp_path, *trials(3))
    first, *others = [path.stem for path in base.waiting(tmp_path)]
    mirror: Any = Shown()
    assert shown_by(child.deliver(mirror, tmp_path, {first: 1})) == [*others, first]


def test_a_result_on_which_the_delivery_dies_holds_up_no_other_and_is_named_in_a_line(
    shown: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed(tmp_path, *trials(2))
    poison, other = (path.stem for path in base.waiting(tmp_path))
    monkeypatch.setenv("STUB_FAULT", f"if how['id'] == '{poison}': os._exit(3)")
    out = delivering.Delivery("wandb", tmp_path)
    out.drain()
    mirrored, line = out.told(["tiny"])
    assert [one["id"] for one in shown()] == [other] and mirrored == "mirrored 1 trial in wandb: project tiny"
    assert line.startswith(
        f"orch: mirror wandb: trial {poison}: its process ended with 3; 1 result waits in "
    )


def test_a_mirror_that_takes_nothing_is_given_up_for_now(tmp_path: Path) -> None:
    out = delivering.Delivery("wandb", tmp_path)
    for number in range(delivering.ROW):
        assert not out.problem
        out._take({"trying": str(number)})
        out._take({"failed": "OSError: no network"})
    assert out.problem == "OSError: no network"


def test_a_few_that_are_never_taken_do_not_give_a_mirror_up_that_takes_others(tmp_path: Path) -> None:
    out = delivering.Delivery("wandb", tmp_path)
    for trial in ("first", "second") * base.TRIES:  # between two deliveries nothing else may have ended
        out._take({"trying": trial})
        out._take({"failed": "ValueError: not this one"})
    assert out.problem == ""


def progressed(made: mirroring.Mirror, trial: TrialSpec, *epochs: int) -> None:
    for epoch in epochs:
        made.on_event(Progressed(trial.id, report(epoch)))


def test_a_result_that_is_tried_no_more_holds_up_no_trial_that_trains(tmp_path: Path) -> None:
    ended, trains = trials(2)
    fed(tmp_path, ended)
    progressed(begun(tmp_path, trains), trains, 0)
    mirror: Any = Shown(ended.id)
    told = list(child.deliver(mirror, tmp_path, {ended.id: base.TRIES}))
    assert told == [{"trying": trains.id}, {"going": trains.id}]


def test_a_trial_that_trains_is_shown_as_far_as_it_has_come_and_never_less(tmp_path: Path) -> None:
    (trial,) = trials(1)
    made, mirror = begun(tmp_path, trial), cast(Any, Shown())
    assert list(child.deliver(mirror, tmp_path)) == []  # no epoch yet
    progressed(made, trial, 0, 1)
    assert list(child.deliver(mirror, tmp_path)) == [{"trying": trial.id}, {"going": trial.id}]
    assert list(child.deliver(mirror, tmp_path)) == []  # nothing new
    made.on_event(Started(trial.id, 2, "here:2"))  # it lost its worker, and goes on from a checkpoint
    progressed(made, trial, 0)
    assert list(child.deliver(mirror, tmp_path)) == []
    progressed(made, trial, 1, 2)
    list(child.deliver(mirror, tmp_path))
    made.on_event(Finished(trial.id, outcome(0.5)))
    assert shown_by(child.deliver(mirror, tmp_path)) == [trial.id]
    assert [[epoch for epoch, _ in run.curves] for run in mirror.runs] == [[0, 1], [0, 1, 2], [0, 1, 2]]
    assert [run.status for run in mirror.runs] == ["unfinished", "unfinished", "completed"]
    assert mirror.again == [False] * 3 and not list((tmp_path / base.OUTBOX).iterdir())


def test_a_trial_that_comes_to_no_result_stays_unfinished_as_far_as_it_was_shown(tmp_path: Path) -> None:
    (trial,) = trials(1)
    made, mirror = begun(tmp_path, trial), cast(Any, Shown())
    progressed(made, trial, 0, 1)
    list(child.deliver(mirror, tmp_path))
    made.on_event(Finished(trial.id, outcome(0.5, "failed")))
    assert list(child.deliver(mirror, tmp_path)) == [] and base.waiting(tmp_path) == []
    fed(tmp_path, trial)
    assert shown_by(child.deliver(mirror, tmp_path)) == [trial.id] and mirror.again == [False, False]


def test_a_trial_that_trains_anew_is_shown_again_when_it_ends_and_not_before(tmp_path: Path) -> None:
    (trial,) = trials(1)
    fed(tmp_path, trial)
    mirror: Any = Shown()
    list(child.deliver(mirror, tmp_path))
    progressed(begun(tmp_path, trial), trial, 0, 1)
    assert list(child.deliver(mirror, tmp_path)) == []


def test_an_epoch_that_is_just_being_written_is_shown_the_next_time(tmp_path: Path) -> None:
    (trial,) = trials(1)
    made, mirror = begun(tmp_path, trial), cast(Any, Shown())
    progressed(made, trial, 0, 1)
    (part,) = base.going(tmp_path)
    with part.open("a") as file:
        file.write('{"epoch":2,"metr')
    list(child.deliver(mirror, tmp_path))
    assert [epoch for epoch, _ in mirror.runs[0].curves] == [0, 1]


def test_epochs_are_delivered_while_a_trial_trains_and_not_more_often_than_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[float] = []

    def deliver(self: delivering.Delivery) -> None:
        began.append(time.monotonic())
        time.sleep(0.05)

    monkeypatch.setattr(mirroring, "EVERY_S", 0.01)
    monkeypatch.setattr(delivering.Delivery, "deliver", deliver)
    (trial,) = trials(1)
    made = mirroring.Mirror("tensorboard", tmp_path, INFO)
    made._trials = {trial.id: trial}
    made.on_event(Started(trial.id, 1, "here:1"))
    until = time.monotonic() + 1.3
    while time.monotonic() < until:
        progressed(made, trial, 1)
        time.sleep(0.01)
    list(made.close(wait=False))
    assert 2 <= len(began) <= 3  # ten times as long as one takes lies between two


def test_two_drivers_of_one_home_do_not_deliver_at_once(tmp_path: Path) -> None:
    (trial,) = trials(1)
    fed(tmp_path, trial)
    mirror: Any = Shown()
    first = child.deliver(mirror, tmp_path)
    next(first), next(first)
    assert list(child.deliver(mirror, tmp_path)) == [] and len(mirror.runs) == 1


def test_a_disk_that_takes_nothing_stops_no_trial(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    made = fed(tmp_path / "file", *trials(1))
    assert "Error" in made.out.problem
    (line,) = made.close(wait=True)
    assert line.startswith("orch: mirror tensorboard: NotADirectoryError")


def test_a_delivery_that_cannot_be_begun_is_a_line_too(tmp_path: Path) -> None:
    made = fed(tmp_path, *trials(1))
    (tmp_path / "log.txt").mkdir()
    (line,) = made.close(wait=True)
    assert line.startswith("orch: mirror tensorboard: IsADirectoryError") and "1 result waits" in line


def test_a_command_waits_at_its_end_no_longer_than_it_says_however_much_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, busy = fed(tmp_path, *trials(1)), tmp_path / "busy"
    shows = """for one in 1 2 3 4 5 6 7 8 9; do echo '{"shown": "it"}'; sleep 0.4; done"""
    busy.write_text(f"#!/bin/sh\n{shows}\n")
    busy.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(busy))
    monkeypatch.setattr(mirroring, "PATIENCE_S", 1.0)
    mirrored, line = made.close(wait=True)
    assert line.startswith("orch: mirror tensorboard: it did not end in time; 1 result waits in ")
    assert 0 < made.out.shown < 9 and mirrored.startswith(f"mirrored {made.out.shown} trial")


@pytest.mark.parametrize("look", [1, 2])
def test_what_another_driver_delivers_just_now_does_not_wait_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: int
) -> None:
    fed(tmp_path, *trials(1))
    (path,), looks, stat = base.waiting(tmp_path), list[Path](), Path.stat

    def gone(self: Path, **how: Any) -> os.stat_result:
        looks.extend([self] if self == path else [])
        if len(looks) == look:
            path.unlink(missing_ok=True)
        return stat(self, **how)

    monkeypatch.setattr(Path, "stat", gone)
    assert set(base.waiting(tmp_path)) <= {path}


def small(seeds: int = 2) -> Any:
    return sweep(yaml(TINY, f"seeds: {seeds}\n"))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_sweep_is_mirrored_and_an_older_result_is_shown_late_and_none_twice(
    shown: Any, ready: Place
) -> None:
    said: list[str] = []
    store = {"home": ready.folder / "runs"}
    Sweep(small(1), **store).run("serial", say=said.append)  # type: ignore[arg-type]
    made = Sweep(small(2), **store)  # type: ignore[arg-type]
    made.run("serial", mirror=["wandb"], say=said.append)
    runs = {one["id"]: one for one in shown()}
    assert set(runs) == {trial.id for trial in made.trials} and len(shown()) == 2
    assert {one["group"] for one in runs.values()} == {"tiny/base"}
    assert all(one["project"] == "tiny" and one["steps"] == [0, 1, 2] for one in runs.values())
    assert all("probe/top1" in one["summary"] for one in runs.values())
    assert "mirrored 2 trials in wandb: project tiny" in said
    made.run("serial", mirror=["wandb"], say=said.append)
    assert len(shown()) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("raise OSError('no network at //me:secret@host')", "OSError: no network at //host; 1 result waits"),
        ("os._exit(3)", "its process ended with 3; 1 result waits"),
        ("import time; time.sleep(60)", "it shows nothing for 1 s; 1 result waits"),
    ],
)
def test_a_mirror_that_fails_is_a_line_and_the_sweep_is_as_without(
    shown: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, says: str
) -> None:
    (trial,), said = trials(1), list[str]()
    if "sleep" in fault:
        monkeypatch.setattr(delivering, "QUIET_S", 1.0)
    monkeypatch.setenv("STUB_FAULT", fault)
    plan = plan_sweep(expansion(), MemoryStore())

    def once() -> None:
        with mirroring.mirrored(["wandb"], tmp_path, INFO, said.append) as fed:
            screen = fed.beside(QuietDisplay)(plan)
            for event in (
                Started(trial.id, 1, "here:1"),
                Progressed(trial.id, report(1)),
                Finished(trial.id, outcome()),
            ):
                screen.on_event(event)
            fed.catch_up([], {}, MemoryStore())

    once()
    assert any(says in line for line in said), said
    assert "secret" not in "".join(said) + "".join(p.read_text() for p in tmp_path.rglob("*.txt"))
    monkeypatch.delenv("STUB_FAULT")
    monkeypatch.setattr(delivering, "QUIET_S", 120.0)
    once()
    assert [one["id"] for one in shown()] == [trial.id]


def test_what_cannot_be_mirrored_is_told_before_training(
    shown: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert mirrors.checked(["wandb", "wandb"]) == ("wandb",)
    with pytest.raises(UsageError, match="--mirror wb: no such mirror; known: tensorboard, wandb"):
        mirrors.checked(["wb"])
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with pytest.raises(UsageError, match="--mirror wandb shows nothing under WANDB_MODE=disabled"):
        mirrors.checked(["wandb"])
    (tmp_path / "folder" / "wandb").mkdir(parents=True)  # as W&B makes one where it is called
    for there in (None, PathFinder.find_spec("wandb", [str(tmp_path / "folder")])):
        monkeypatch.setattr(mirrors.importlib.util, "find_spec", lambda name, there=there: there)
        with pytest.raises(
            UsageError, match=r"needs the package wandb, .* `pip install 'orch-ssl\[wandb\]'`"
        ):
            mirrors.checked(["wandb"])


@pytest.mark.parametrize("name", mirrors.names())
def test_every_mirror_has_what_mirrors_have(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    found = mirrors.load(name)
    assert isinstance(found.PACKAGE, str) and str(found.where(tmp_path, "tiny"))
    for command in re.findall("`(.+)`", found.where(tmp_path / "my runs", "tiny")):
        assert any("my runs" in word for word in shlex.split(command))
    assert callable(found.deliver) and callable(found.refused)


def test_cells_have_folders_of_their_own_whatever_they_are_called(tmp_path: Path) -> None:
    fed(tmp_path, *trials(1))
    run = base.read(base.waiting(tmp_path)[0])
    assert run is not None
    assert tensorboard.place(run) == Path("tiny", "ema=EMA,predictor=symmetric", "seed=0")
    facts = run.trial.model_copy(update={"levels": {"a": "../../x" * 40}})
    odd = tensorboard.place(run._replace(trial=facts, profile="laptop"))
    assert odd.parts[0] == "tiny-laptop" and len(odd.parts) == 3 and odd.parts[1].endswith(facts.cell_id[:6])


def test_tensorboard_has_each_number_once_and_a_trial_replaces_what_there_was_of_it(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from orchestrator.recording.bundle.others.sources import read

    (trial,) = trials(1)
    for value in (0.5, 0.7):
        fed(tmp_path, trial, value=value)
        list(child.deliver(mirrors.load("tensorboard"), tmp_path))
    (run,) = read("tensorboard", str(tmp_path / "runs")).rows
    assert run.values["ema"] == "EMA" and run.values["seed"] == "0"
    assert run.values["probe/top1"] == pytest.approx(0.7)
    assert [step for step, _ in run.curve("train/loss")] == [0, 1, 2]
    assert len(list((tmp_path / "runs").rglob("*tfevents*"))) == 1


def test_what_delivers_is_not_given_the_webhook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, str]] = []

    def popen(words: list[str], *, env: dict[str, str], **options: object) -> None:
        given.append(env)
        raise OSError("no room for a process")

    monkeypatch.setenv("ORCH_NOTIFY", "https://hooks.example.org/s3cr3t")
    monkeypatch.setenv("OTHER", "told")
    monkeypatch.setattr(delivering.subprocess, "Popen", popen)
    made = fed(tmp_path, *trials(1))
    made.out.deliver()
    assert given[0]["OTHER"] == "told" and "ORCH_NOTIFY" not in given[0] and "no room" in made.out.problem


@pytest.mark.filterwarnings("default")
def test_what_waits_for_a_mirror_is_delivered_without_a_sweep(shown: Any, ready: Place) -> None:
    fed(mirroring.folder_of("wandb", ready.folder / "runs"), *trials(1))
    told = ready.orch("sync", "--mirror", "wandb").stderr
    assert "mirrored 1 trial in wandb: project tiny" in told and len(shown()) == 1
    assert "nothing waits for mirror wandb" in ready.orch("sync", "--mirror", "wandb").stderr
    assert "no such mirror" in ready.orch("sync", "--mirror", "wb", code=2).stderr
    assert "no such mirror" in ready.orch("retry", "sweep.yaml", "--mirror", "wb", code=2).stderr
