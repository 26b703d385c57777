"""The laws of a driver and its child process: whatever happens to one is an event to the other."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import ExecutionError, ExecutionLost, Interrupted, StoreError
from orchestrator.events import Deferred, Event, Finished, Progressed, Started
from orchestrator.execution.child import conversation, messages
from orchestrator.execution.child import executor as child_executor
from orchestrator.execution.child.conversation import ask
from orchestrator.execution.child.executor import ChildExecutor
from orchestrator.execution.child.messages import (
    Answer,
    Doing,
    Ended,
    Go,
    Said,
    Settings,
    Submit,
)
from orchestrator.execution.child.process import Child
from orchestrator.execution.child.trials import on_the_wire
from orchestrator.language.load import load_sweep
from orchestrator.language.resources import SweepResources
from orchestrator.planning.expand import expand
from orchestrator.planning.trials import trial_id
from orchestrator.process.scratch import LOCK, scratch_folder
from orchestrator.process.signals import EPOCHS_END, NOTHING_RUNS, Stop, stop_from_elsewhere
from tests.builders import expansion, outcome, report, trials
from trainers.config.base import Runtime

ROOT = Path(__file__).parents[2]
SWEEPS = sorted((ROOT / "sweeps").glob("*.yaml"))
PREAMBLE = """
import json, os, signal, sys, time
from pathlib import Path
control, told, driver = map(int, sys.argv[1:])
asked = os.fdopen(control, "rb")
job = json.loads(asked.readline())
number = len(list(Path.cwd().glob("child-*"))) + 1  # which child this is
Path(f"child-{number}").write_text(str(os.getpid()))

def raw(content):
    os.write(told, content)

def say(event, **more):
    raw(json.dumps({"event": event, **more}).encode() + b"\\n")

def started(trial):
    say("started", trial_id=trial, attempt=1, worker=f"node:{os.getpid()}")

def progressed(trial, epoch=1, replayed=False):
    report = {"epoch": epoch, "epochs": 2, "metrics": {"train/loss": 0.5}, "replayed": replayed}
    say("progressed", trial_id=trial, report=report)

def finished(trial):
    say("finished", trial_id=trial, outcome={"status": "completed", "metrics": {"probe/top1": 0.5}})

def whole(trial):
    started(trial), progressed(trial), finished(trial)

def trials():
    return [trial[0] for trial in json.loads(asked.readline())["trials"]["trials"]]
"""


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_executor, "PAUSE_S", 0.0)
    monkeypatch.setattr(conversation, "LISTEN_S", 0.05)


class Acted:
    """What came of trials that children run which do what a script says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[Event] = []
        self.said: list[str] = []

    def by(self, script: str, number: int = 2, hear: Callable[[Event], None] = lambda event: None) -> None:
        settings = Settings(runtime=Runtime(), checkpoints=self.folder / "trials", resources=SweepResources())
        command = (sys.executable, "-c", PREAMBLE + textwrap.dedent(script))
        executor = ChildExecutor(
            "acted", settings, logs=self.folder / "logs", say=self.said.append, command=command
        )

        def on_event(event: Event) -> None:
            self.events.append(event)
            hear(event)

        try:
            executor.run(trials(number), on_event)
        finally:
            executor.close()

    @property
    def finished(self) -> list[str]:
        return [event.trial_id for event in self.events if isinstance(event, Finished)]

    @property
    def children(self) -> list[int]:
        """Process numbers of the children that there were."""
        return [int(path.read_text()) for path in sorted(self.folder.glob("child-*"))]


@pytest.fixture
def acted(tmp_path: Path) -> Acted:
    return Acted(tmp_path)


def lives(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def gone(*pids: int, within_s: float = 5.0) -> bool:
    deadline = time.monotonic() + within_s
    while any(lives(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(lives(pid) for pid in pids)


# What travels


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_a_trial_that_has_travelled_is_the_same_trial(path: Path) -> None:
    spec = load_sweep(path)
    for profile in [*spec.profiles] or [None]:
        sent = expand(spec, profile=profile).trials
        line = messages.FROM_DRIVER.line(Go(trials=on_the_wire(sent)))
        arrived = messages.FROM_DRIVER.read(line)
        assert isinstance(arrived, Go) and line.count(b"\n") == 1
        for before, after in zip(sent, arrived.trials.specs(), strict=True):
            assert (after.id, after.label, after.config) == (before.id, before.label, before.config)
            assert trial_id(after.config) == before.id


def test_a_trial_that_begins_anew_does_so_where_it_arrives() -> None:
    first, second = trials(2)
    line = messages.FROM_DRIVER.line(Go(trials=on_the_wire([first._replace(anew="a mark"), second])))
    arrived = messages.FROM_DRIVER.read(line)
    assert isinstance(arrived, Go)
    assert [one.anew for one in arrived.trials.specs()] == ["a mark", None]


def test_a_trial_that_arrives_as_another_one_is_refused() -> None:
    wire = on_the_wire(trials(1))
    identity, place, seed = wire.trials[0]
    other = wire.model_validate(wire.model_dump() | {"trials": [(identity, place, seed + 1)]})
    with pytest.raises(ExecutionError, match="arrived as another one"):
        other.specs()


@given(st.text(), st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 2**31))
def test_every_message_is_one_line_and_comes_back_equal(text: str, number: float, epoch: int) -> None:
    for message in (
        Started(text, 1, text),
        Progressed(text, report(epoch, loss=number)),
        Deferred(text, text),
        Finished(text, outcome(number, reason=text, details={"text": text, "list": [number]})),
        Doing(text, number),
        Said(text),
        Answer({"any": [text, number, None]}),
        Ended("lost", text),
    ):
        line = messages.FROM_CHILD.line(message)
        assert line.endswith(b"\n") and line.count(b"\n") == 1
        assert messages.FROM_CHILD.read(line) == message


@given(st.binary())
def test_what_is_no_message_is_said_to_be_none(content: bytes) -> None:
    with pytest.raises(messages.GarbledError):
        messages.FROM_CHILD.read(content)


# A child that is lost

LOST = {
    "ends with exit code 1": ("os._exit(1)", "it ended with exit code 1"),
    "ends as if all were done": ("os._exit(0)", "it ended with exit code 0"),
    "is killed": ("os.kill(os.getpid(), signal.SIGKILL)", "it was ended by SIGKILL"),
    "ends in the middle of a word": ('raw(b\'{"event": "sta\'); os._exit(3)', "it ended with exit code 3"),
    "writes nonsense": ('raw(b"core_worker_process.cc:1109\\n"); time.sleep(60)', "wrote what is no message"),
    "names no trial": ('say("finished", outcome={"status": "completed"}); time.sleep(60)', "is no message"),
    "says that it ended too soon": ('say("ended", how="complete")', "it ended before all trials had"),
    "says why it cannot go on": ('say("ended", how="lost", reason="no head")', "no head"),
    "closes its pipe": ("os.close(told); time.sleep(60)", "it closed its pipe"),
    "hangs": ('say("doing", what="", limit_s=0.3); time.sleep(60)', "has not said a word for"),
    "is suspended": (
        'say("doing", what="x", limit_s=0.3); os.kill(os.getpid(), signal.SIGSTOP)',
        "a word for",
    ),
}


@pytest.mark.parametrize("fate", LOST)
def test_trials_of_a_lost_child_go_on_in_a_new_one_and_it_is_said(acted: Acted, fate: str) -> None:
    code, told = LOST[fate]
    acted.by(
        f"""
        first, second = (trials() + [None])[:2]
        print("a library's own words", flush=True)
        if number == 1:
            whole(first), started(second), progressed(second)
            {code}
        started(first), progressed(first, replayed=True), finished(first)
        """
    )
    assert acted.finished == [trial.id for trial in trials(2)]
    second = [event for event in acted.events if event.trial_id == trials(2)[1].id]
    assert [event.attempt for event in second if isinstance(event, Started)] == [1, 2]
    (line,) = acted.said
    assert told in line and "1 trial goes on in a new one" in line
    assert f"its log: {acted.folder / 'logs' / 'acted-'}" in line
    assert gone(*acted.children)


def test_children_that_are_lost_again_and_again_without_an_epoch_end_the_run(acted: Acted) -> None:
    with pytest.raises(ExecutionLost, match=r"exit code 7, 3 times without an epoch in between$"):
        acted.by("first = trials()[0]; started(first); progressed(first, replayed=True); os._exit(7)")
    assert len(acted.children) == 3


def test_what_keeps_a_child_from_starting_is_not_tried_for_ever(acted: Acted) -> None:
    with pytest.raises(ExecutionLost, match="exit code 7, 2 times without an epoch in between"):
        acted.by("os._exit(7)")
    assert len(acted.children) == 2


def test_epochs_that_were_trained_before_are_no_progress(acted: Acted) -> None:
    """A checkpoint that nobody can read lets each child begin at the first epoch: that must end."""
    with pytest.raises(ExecutionLost, match="3 times without an epoch in between"):
        acted.by("first = trials()[0]; started(first), progressed(first, 1), os._exit(7)")
    assert len(acted.children) == 3


def test_a_child_that_somebody_else_interrupts_is_lost_and_not_a_wish_to_stop(acted: Acted) -> None:
    acted.by(
        """
        for trial in trials():
            if number == 1:
                say("ended", how="interrupted"); time.sleep(60)
            whole(trial)
        """
    )
    assert acted.finished == [trial.id for trial in trials(2)]
    assert "somebody else interrupted it" in acted.said[0]


def test_a_child_that_was_prepared_and_is_not_needed_is_not_waited_for(tmp_path: Path) -> None:
    settings = Settings(
        runtime=Runtime(), checkpoints=tmp_path, resources=SweepResources(), address="10.0.0.1:6379"
    )
    command = (sys.executable, "-c", "import time; time.sleep(60)")
    executor = ChildExecutor("acted", settings, logs=tmp_path, command=command)
    executor.prepare(certain=False)
    begun = time.monotonic()
    executor.close()
    assert time.monotonic() - begun < child_executor.GRACE_S / 2


def test_a_lost_child_costs_nothing_while_trials_go_forward(acted: Acted) -> None:
    acted.by(
        """
        first = trials()[0]
        started(first), progressed(first, replayed=True)
        if number < 8:
            progressed(first, number)
            os._exit(1)
        finished(first)
        """,
        number=1,
    )
    assert len(acted.children) == 8
    assert [event.attempt for event in acted.events if isinstance(event, Started)] == [*range(1, 9)]


def test_a_trial_that_has_had_its_end_has_no_other(acted: Acted) -> None:
    acted.by(
        """
        first, second = trials()
        whole(first), whole(first)
        say("deferred", trial_id=first, reason="late")
        whole(second)
        """
    )
    assert acted.finished == [trial.id for trial in trials(2)]
    assert len(acted.events) == 6


def test_trials_that_nobody_asked_for_are_nobodys(acted: Acted) -> None:
    acted.by('whole("0" * 12); [whole(trial) for trial in trials()]')
    assert acted.finished == [trial.id for trial in trials(2)]


def test_what_cannot_be_done_as_asked_is_raised_at_once(acted: Acted) -> None:
    with pytest.raises(ExecutionError, match=r"^too large$") as raised:
        acted.by('trials(); say("ended", how="refused", reason="too large")')
    assert not isinstance(raised.value, ExecutionLost) and len(acted.children) == 1


def test_a_cluster_that_refuses_after_it_was_lost_is_lost(acted: Acted) -> None:
    with pytest.raises(ExecutionLost, match="no Ray there"):
        acted.by(
            """
            first = trials()[0]
            if number > 1:
                say("ended", how="refused", reason="no Ray there"); time.sleep(60)
            started(first), os._exit(1)
            """
        )


def test_what_a_person_may_do_is_not_said_where_trials_go_on_by_themselves(acted: Acted) -> None:
    lost = 'say("ended", how="lost", reason="no Ray here", next_step="or run it serially")'
    acted.by(
        f"trials = trials(); number == 1 and ({lost}, time.sleep(60)); [whole(trial) for trial in trials]"
    )
    assert acted.said[0].partition("; its log")[0].endswith("lost: no Ray here; 2 trials go on in a new one")
    with pytest.raises(ExecutionLost, match=r"no Ray here, 2 times without .*; or run it serially$"):
        acted.by(f"{lost}; time.sleep(60)")


def test_a_first_signal_is_answered_with_epochs_only_while_some_run(acted: Acted) -> None:
    with stop_from_elsewhere() as stop:
        words = [stop.word]
        acted.by("[whole(trial) for trial in trials()]", number=1, hear=lambda event: words.append(stop.word))
    none, started, progressed, finished = words
    assert none == started == stop.word == NOTHING_RUNS and "epochs" not in NOTHING_RUNS
    assert progressed == finished == EPOCHS_END


def test_an_error_of_the_listener_ends_the_child_and_is_raised_as_it_is(acted: Acted) -> None:
    def full(event: Event) -> None:
        raise StoreError("the disk is full")

    with pytest.raises(StoreError, match=r"^the disk is full$"):
        acted.by("started(trials()[0]); time.sleep(60)", hear=full)
    assert gone(*acted.children)


def test_a_child_ends_with_everything_that_it_has_started(acted: Acted) -> None:
    acted.by(
        """
        import subprocess
        words = [sys.executable, "-c", "import time; time.sleep(60)"]
        others = [subprocess.Popen(words).pid, subprocess.Popen(words, process_group=0).pid]
        Path("others").write_text(json.dumps(others))
        for trial in trials(): whole(trial)
        time.sleep(60)
        """
    )
    assert gone(*acted.children, *json.loads((acted.folder / "others").read_text()))


def test_a_child_that_reads_nothing_holds_nobody_up(acted: Acted) -> None:
    many = expansion(seeds=range(4000)).trials
    line = messages.FROM_DRIVER.line(Go(trials=on_the_wire(many)))
    assert len(line) > 200_000  # more than a pipe takes
    job = Submit(name="x", files={}, command=(), address="x")
    child = Child(job, log=None, command=(sys.executable, "-c", "import time; time.sleep(60)"))
    begun = time.monotonic()
    child.tell(Go(trials=on_the_wire(many)))
    assert child.listen(0.1) is None
    child.end()
    assert time.monotonic() - begun < 5


def test_a_child_has_a_working_folder_though_its_drivers_was_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    told = (
        'import os, sys; os.write(int(sys.argv[2]), b\'{"event": "said", "text": "%s"}\\n\' % os.getcwdb())'
    )
    child = Child(JOB, log=None, command=(sys.executable, "-c", told))
    assert child.listen(30) == Said("/")
    child.end()


# What a person is told


def test_what_is_waited_for_is_said_once_after_a_while(acted: Acted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "WORD_S", 0.3)
    acted.by(
        """
        for _ in range(10):
            say("doing", what="starting Ray", limit_s=60)
            time.sleep(0.1)
        say("doing", what="quick", limit_s=60)
        say("said", text="a node is blind")
        for trial in trials(): whole(trial)
        """
    )
    assert acted.said == ["starting Ray …", "a node is blind"]


def test_a_cluster_that_is_left_slowly_is_left_within_bounds_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.process.waiting.WORD_S", 0.1)
    monkeypatch.setattr(child_executor, "GRACE_S", 0.5)
    settings = Settings(runtime=Runtime(), checkpoints=None, resources=SweepResources(), address="head:6379")
    command = (sys.executable, "-c", f"{PREAMBLE}\n[whole(trial) for trial in trials()]; time.sleep(60)")
    said: list[str] = []
    executor = ChildExecutor("acted", settings, logs=tmp_path, say=said.append, command=command)
    executor.run(trials(1), lambda event: None)
    begun = time.monotonic()
    executor.close()
    assert said == ["leaving the cluster …"] and time.monotonic() - begun < 5


@pytest.mark.slow
def test_a_driver_that_was_suspended_does_not_take_its_child_for_silent(acted: Acted) -> None:
    def sleep(event: Event) -> None:
        if isinstance(event, Started):
            time.sleep(1.0)  # as in a suspended process: it does not listen

    acted.by('say("doing", what="", limit_s=0.5); [whole(trial) for trial in trials()]', hear=sleep)
    assert acted.said == [] and len(acted.children) == 1


def test_what_a_library_writes_goes_to_the_log_and_an_empty_log_is_no_log(acted: Acted) -> None:
    acted.by("[whole(trial) for trial in trials()]")
    assert list((acted.folder / "logs").iterdir()) == []
    acted.by("print('raylet says', flush=True); [whole(trial) for trial in trials()]")
    (log,) = (acted.folder / "logs").iterdir()
    assert log.read_text() == "raylet says\n"


# Stopping

TRAINING = """
first = trials()[0]
started(first)
for epoch in range(1, 3):
    progressed(first, epoch)
if json.loads(asked.readline())["ask"] == "stop":
    say("ended", how="interrupted")
"""


def test_a_child_is_asked_to_stop_once_and_answers(acted: Acted) -> None:
    with stop_from_elsewhere() as stop, pytest.raises(Interrupted):
        acted.by(TRAINING, hear=lambda event: setattr(stop, "requested", True))
    assert acted.finished == [] and gone(*acted.children)


def test_a_child_that_trains_nothing_yet_is_not_asked(acted: Acted) -> None:
    with stop_from_elsewhere() as stop, pytest.raises(Interrupted):
        stop.requested = True
        acted.by("time.sleep(60)")
    assert gone(*acted.children)


def test_at_once_means_whatever_the_child_does(acted: Acted) -> None:
    def at_once(event: Event) -> None:
        stop.requested = stop.at_once = True

    begun = time.monotonic()
    with stop_from_elsewhere() as stop, pytest.raises(Interrupted):
        acted.by("started(trials()[0]); signal.signal(15, signal.SIG_IGN); time.sleep(60)", hear=at_once)
    assert time.monotonic() - begun < 5 and gone(*acted.children)


def test_a_child_that_is_lost_while_it_stops_is_not_replaced(acted: Acted) -> None:
    with stop_from_elsewhere() as stop, pytest.raises(Interrupted):
        acted.by(
            "started(trials()[0]); asked.readline(); os._exit(1)",
            hear=lambda event: setattr(stop, "requested", True),
        )
    assert len(acted.children) == 1


@pytest.mark.parametrize(
    ("signals", "polled", "expected"),
    [
        ([signal.SIGTERM], True, (True, False, False)),
        ([signal.SIGTERM, signal.SIGTERM], True, (True, False, False)),  # `timeout` sends each twice
        ([signal.SIGINT, None, signal.SIGINT], True, (True, True, False)),
        ([signal.SIGTERM, None, signal.SIGINT], True, (True, True, False)),
        ([signal.SIGINT, None, signal.SIGINT, signal.SIGINT], True, (True, True, True)),
        ([signal.SIGHUP], True, (True, True, False)),
        ([signal.SIGHUP], False, (True, True, True)),
        ([signal.SIGINT, None, signal.SIGTERM], False, (True, True, True)),
    ],
)
def test_a_first_signal_asks_and_a_second_or_a_closed_terminal_ends_at_once(
    monkeypatch: pytest.MonkeyPatch,
    signals: list[signal.Signals | None],
    polled: bool,
    expected: tuple[bool, bool, bool],
) -> None:
    now = [0.0]
    monkeypatch.setattr("orchestrator.process.signals.time.monotonic", lambda: now[0])
    monkeypatch.setattr("orchestrator.process.signals.os.write", lambda number, text: None)
    stop, broken = Stop(), False
    with stop.polled() if polled else contextlib.nullcontext():
        for number in signals:
            if number is None:
                now[0] += 1.0
                continue
            try:
                stop.take(number)
            except KeyboardInterrupt:
                broken = True
    assert (stop.requested, stop.at_once, broken) == expected


# A driver that is lost

DRIVER = """
import sys
from pathlib import Path
from orchestrator.execution.child.executor import ChildExecutor
from orchestrator.execution.child.messages import Settings
from orchestrator.language.resources import SweepResources
from tests.builders import expansion
from trainers.config.base import Runtime
settings = Settings(runtime=Runtime(), checkpoints=Path("trials"), resources=SweepResources())
long = expansion(Path("long.yaml").read_text()).trials
def hear(event):
    print(event.worker if event.event == "started" else event.event, flush=True)
ChildExecutor("serial", settings, logs=Path("logs")).run(long, hear)
"""


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A driver whose child trains for ever; its first line names the child's process."""
    from tests.builders import TINY, yaml

    text = yaml(TINY).replace("epochs: 2\n  probe", "epochs: 100000\n  probe")
    (tmp_path / "long.yaml").write_text(text)
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as process:
        yield process
        process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("suspended", [False, True], ids=["running", "suspended"])
def test_a_child_ends_within_seconds_of_its_killed_driver(
    driver: subprocess.Popen[str], tmp_path: Path, suspended: bool
) -> None:
    assert driver.stdout is not None
    child = int(driver.stdout.readline().rpartition(":")[2])
    assert driver.stdout.readline() == "progressed\n"
    if suspended and sys.platform == "linux":
        os.kill(child, signal.SIGSTOP)
    driver.kill()
    assert gone(child)


FORKED = """
import os, time
from pathlib import Path
from orchestrator.execution.child.messages import Doing, Settings, Train
from orchestrator.execution.child.process import Child
from orchestrator.language.resources import SweepResources
from trainers.config.base import Runtime
settings = Settings(runtime=Runtime(), checkpoints=Path("trials"), resources=SweepResources())
job = Train(executor="serial", settings=settings, scratch=Path("scratch").absolute(), certain=True)
child = Child(job, log=None)
while child.listen(1.0) is None:
    pass
fork = os.fork()
if fork == 0:
    os.close(1), os.close(2)
    time.sleep(60)
    os._exit(0)
print(child.pid, fork, flush=True)
time.sleep(60)
"""


def test_a_child_ends_with_its_driver_though_a_fork_of_that_lives_on(tmp_path: Path) -> None:
    words = [sys.executable, "-c", FORKED]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=environment) as driver:
        assert driver.stdout is not None
        child, fork = map(int, driver.stdout.readline().split())
        driver.kill()
    try:
        assert lives(fork) and gone(child)
    finally:
        os.kill(fork, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="only its kernel resumes a process whose parent has died")
def test_a_child_that_is_suspended_before_it_has_imported_anything_ends_with_its_driver(
    tmp_path: Path,
) -> None:
    (tmp_path / "pydantic.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\n")
    code = (
        "import time; from orchestrator.execution.child.messages import Submit;"
        "from orchestrator.execution.child.process import Child;"
        "job = Submit(name='x', files={}, command=(), address='x');"
        f"child = Child(job, log=None, environment={{'PYTHONPATH': '{tmp_path}:{ROOT}'}});"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        child = int(driver.stdout.readline())
        while psutil.Process(child).status() != psutil.STATUS_STOPPED:
            time.sleep(0.02)
        driver.kill()
    assert gone(child)


def test_a_child_is_not_in_the_group_or_session_of_its_driver(driver: subprocess.Popen[str]) -> None:
    assert driver.stdout is not None
    child = int(driver.stdout.readline().rpartition(":")[2])
    assert os.getsid(child) == os.getpgid(child) == child


def test_a_child_that_nobody_has_started_says_so() -> None:
    words = [sys.executable, "-m", "orchestrator.execution.child", "0", "1", "2"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 1 and done.stderr.startswith("orch: this is started by `orch sweep`")


# Other jobs than trials


JOB = Submit(name="x", files={"x.yaml": ""}, command=("orch",), address="http://127.0.0.1:9")


def asked_of(script: str, said: list[str]) -> object:
    command = (sys.executable, "-c", PREAMBLE + textwrap.dedent(script))
    return ask(JOB, say=said.append, command=command)


def test_a_question_is_answered_and_what_is_said_meanwhile_is_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    answer = 'say("said", text="looking"); say("answer", value={"nodes": [1, 2]})'
    assert asked_of(f'{answer}; say("ended", how="complete")', said) == {"nodes": [1, 2]}
    assert asked_of(f"{answer}; os._exit(1)", said) == {"nodes": [1, 2]}  # it has said all there is to say
    assert said == ["looking", "looking"]


@pytest.mark.parametrize(
    ("script", "error", "words"),
    [
        ('say("ended", how="refused", reason="too large")', ExecutionError, r"^too large$"),
        (
            'say("ended", how="lost", reason="no head")',
            ExecutionLost,
            "was lost: no head; look whether .* ask again$",
        ),
        (
            "print('a core', flush=True); os._exit(1)",
            ExecutionLost,
            r"exit code 1; its log: .*orch-ray-.*log; look",
        ),
        ('say("doing", what="x", limit_s=0.2); time.sleep(60)', ExecutionLost, "said a word for .* x; "),
        ("raw(b'nonsense\\n'); time.sleep(60)", ExecutionLost, "is no message"),
    ],
)
def test_a_question_that_is_refused_or_lost_says_so_in_a_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    error: type[ExecutionError],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(error, match=words) as raised:
        asked_of(script, [])
    assert type(raised.value) is error
    assert gone(*(int(path.read_text()) for path in tmp_path.glob("child-*")))


def test_a_dashboard_that_is_not_there_is_said_to_be_missing() -> None:
    with pytest.raises(
        ExecutionError, match=r"^no Ray dashboard at http://127.0.0.1:9: .*expected its address"
    ):
        ask(JOB.model_copy(update={"address": "http://u:pw@127.0.0.1:9"}), say=lambda line: None)


# Folders for what may be forgotten


def test_a_folder_that_was_given_up_while_it_was_made_is_nobodys_to_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setattr("orchestrator.process.scratch.fits_sockets", lambda folder: True)
    (tmp_path / "orch-experiment").mkdir()  # a user's own
    (tmp_path / "orch-linked").symlink_to(tmp_path)
    with scratch_folder() as own:
        assert own.parent == tmp_path
    assert sorted(path.name for path in tmp_path.iterdir()) == ["orch-experiment", "orch-linked"]


def test_a_scratch_folder_goes_with_its_driver_and_a_killed_drivers_with_the_next() -> None:
    code = (
        "import sys, time; from orchestrator.process import scratch; folder = scratch.scratch_folder();"
        "print(folder.__enter__(), flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT) as other:
        assert other.stdout is not None
        left = Path(other.stdout.readline().strip())
        with scratch_folder() as own:
            assert (own / LOCK).exists() and left.exists()  # its driver lives
        assert not own.exists()
        other.kill()
    assert left.exists()
    with scratch_folder():
        assert not left.exists()


def test_what_a_killed_command_left_is_removed_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import sys; from tests.contracts.test_child import JOB, ask;"
        "script = 'import time; print(1, flush=True); time.sleep(60)';"
        "ask(JOB, say=print, command=(sys.executable, '-c', script))"
    )
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        monkeypatch.setenv("RAY_TMPDIR", short)
        monkeypatch.setenv("TMPDIR", short)
        with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) as other:
            deadline = time.monotonic() + 30
            while not any(path.stat().st_size for path in Path(short).glob("orch-*/*.log")):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            other.kill()
        with scratch_folder() as own:
            assert list(Path(short).iterdir()) == [own]
