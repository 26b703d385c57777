"""A mirror shows each finished trial once, sooner or later, and is nothing that a sweep needs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator import Sweep
from orchestrator.commands.screen.live import QuietDisplay
from orchestrator.errors import UsageError
from orchestrator.events import Finished, Progressed, Started
from orchestrator.execution.run import plan_sweep
from orchestrator.execution.screen import mirroring, mirrors
from orchestrator.execution.screen.mirrors import __main__ as child
from orchestrator.execution.screen.mirrors import base, tensorboard
from orchestrator.execution.screen.mirrors.base import MirroredRun
from orchestrator.planning.trials import TrialSpec
from orchestrator.recording.memory import MemoryStore
from tests.builders import INFO, TINY, expansion, outcome, report, sweep, trials, yaml
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


def fed(folder: Path, *ended: TrialSpec, status: str = "completed", value: float = 0.5) -> mirroring.Mirror:
    """A mirror that has heard of these trials, and has delivered nothing."""
    made = mirroring.Mirror("tensorboard", folder, INFO)
    made._thread = SimpleNamespace(join=lambda seconds: None, is_alive=lambda: False)  # type: ignore[assignment]
    made._trials = {trial.id: trial for trial in ended}
    for trial in ended:
        made.on_event(Started(trial.id, 1, "here:1"))
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


def test_who_is_killed_between_showing_and_noting_shows_the_same_run_again(tmp_path: Path) -> None:
    (trial,) = trials(1)
    fed(tmp_path, trial)
    mirror: Any = Shown()
    stopped = child.deliver(mirror, tmp_path)
    note = base.note_delivered
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(base, "note_delivered", lambda folder, run: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            next(stopped)
    assert note is base.note_delivered and len(base.waiting(tmp_path)) == 1
    list(child.deliver(mirror, tmp_path))
    assert [run.trial.trial_id for run in mirror.runs] == [trial.id] * 2 and mirror.again == [False, False]


def test_what_fails_waits_and_what_came_before_it_is_not_shown_again(tmp_path: Path) -> None:
    first, second = trials(2)
    fed(tmp_path, first)
    fed(tmp_path, second)
    os.utime(base.waiting(tmp_path)[0], (1, 1))
    order = [path.stem for path in base.waiting(tmp_path)]
    mirror: Any = Shown(order[1])
    with pytest.raises(OSError, match="no network"):
        list(child.deliver(mirror, tmp_path))
    assert [path.stem for path in base.waiting(tmp_path)] == order[1:]
    mirror.faulty.clear()
    assert list(child.deliver(mirror, tmp_path)) == order[1:] and len(mirror.runs) == 2


def test_two_drivers_of_one_home_do_not_deliver_at_once(tmp_path: Path) -> None:
    (trial,) = trials(1)
    fed(tmp_path, trial)
    mirror: Any = Shown()
    first = child.deliver(mirror, tmp_path)
    next(first)
    assert list(child.deliver(mirror, tmp_path)) == [] and len(mirror.runs) == 1


def test_a_disk_that_takes_nothing_stops_no_trial(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    made = fed(tmp_path / "file", *trials(1))
    assert "Error" in made.problem
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
    (line,) = made.close(wait=True)
    assert line.startswith("orch: mirror tensorboard: it did not end within 1 s; 1 result waits in ")
    assert 0 < made.shown < 9


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
        monkeypatch.setattr(mirroring, "QUIET_S", 1.0)
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
    monkeypatch.setattr(mirroring, "QUIET_S", 120.0)
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
def test_every_mirror_has_what_mirrors_have(name: str, tmp_path: Path) -> None:
    found = mirrors.load(name)
    assert isinstance(found.PACKAGE, str) and str(found.where(tmp_path, "tiny"))
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
    monkeypatch.setattr(mirroring.subprocess, "Popen", popen)
    made = fed(tmp_path, *trials(1))
    made.deliver(1.0)
    assert given[0]["OTHER"] == "told" and "ORCH_NOTIFY" not in given[0] and "no room" in made.problem
