"""Laws of a command's process: how it ends, what it may leave, and what is said of one that fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.scripted import heard
from trainers.attempt.command import output, process
from trainers.attempt.command.output import Output

OK = 'import os; open(os.environ["ORCH_REPORT"], "a").write(\'{"epoch": 1, "loss": 1}\\n\')\n'


def gone(pid: int) -> bool:
    """Whether a process ends within moments."""
    for _ in range(100):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def test_an_exit_code_is_a_failure_with_the_last_line() -> None:
    outcome = heard("raise SystemExit('no data at all')").outcome
    assert (outcome.status, outcome.error) == ("failed", "code")
    assert outcome.reason == "exit code 1: no data at all"
    assert outcome.details["output"] == ["no data at all"]


@pytest.mark.slow
def test_a_signal_is_named() -> None:
    outcome = heard("import os; os.kill(os.getpid(), 11)").outcome
    assert outcome.reason == "ended by SIGSEGV, and printed nothing"
    assert "memory is short" in str(heard("import os; os.kill(os.getpid(), 9)").outcome.reason)


def test_a_full_gpu_is_told_from_other_errors() -> None:
    said = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"
    assert heard(f"import sys; sys.exit({said!r})").outcome.error == "memory"


def test_a_command_that_is_not_there_is_one_line() -> None:
    outcome = heard("", run=["no-such-program", "{seed}"]).outcome
    assert outcome.reason == "could not be run: no-such-program: No such file or directory"


@pytest.mark.slow
def test_one_that_never_ends_is_ended_at_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainers.loops.command.GRACE_S", 0.2)
    ignoring = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(99)"
    )
    outcome = heard(ignoring, limit=0.01).outcome
    assert outcome.reason == "ran longer than its limit of 0.01 minutes: up"
    assert outcome.details["wall_s"] < 10


def test_what_it_has_started_ends_with_it_also_in_a_session_of_its_own(tmp_path: Path) -> None:
    forking = OK + (
        "import subprocess\n"
        f"one = subprocess.Popen(['sleep', '99'], start_new_session=True)\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(one.pid))\n"
    )
    found = heard(forking)
    assert found.outcome.status == "completed"
    assert gone(int((tmp_path / "pid").read_text()))


def test_it_ends_with_a_worker_that_is_killed(tmp_path: Path) -> None:
    waiting = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(99)"
    code = f"""
from pathlib import Path
from trainers.attempt.command.output import Output
from trainers.attempt.command.process import run
run([{sys.executable!r}, "-c", {waiting!r}], environment={{}}, folder=Path("."), output=Output(None, None),
    look=lambda: None, temporary=Path({str(tmp_path / "temporary")!r}))
"""
    (tmp_path / "temporary" / "work").mkdir(parents=True)
    root = Path(process.__file__).parents[3]
    worker = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(root)})
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert worker.poll() is None
        time.sleep(0.02)
    worker.kill()
    worker.wait()
    assert gone(int((tmp_path / "pid").read_text()))
    for _ in range(100):
        if not (tmp_path / "temporary").exists():
            break
        time.sleep(0.02)
    assert not (tmp_path / "temporary").exists()


@pytest.mark.slow
def test_a_stop_at_the_end_of_an_epoch_is_asked_for_first(tmp_path: Path) -> None:
    class StopError(BaseException):
        """What a schedule raises."""

    def stop(message: object) -> None:
        raise StopError

    polite = OK + (
        "import signal, sys, time\n"
        f"signal.signal(15, lambda *_: (open({str(tmp_path / 'asked')!r}, 'w').close(), sys.exit()))\n"
        "time.sleep(99)\n"
    )
    with pytest.raises(StopError):
        heard(polite, on=stop)
    assert (tmp_path / "asked").exists()


@pytest.mark.slow
def test_a_second_ctrl_c_ends_it_at_once(tmp_path: Path) -> None:
    def stop(message: object) -> None:
        raise KeyboardInterrupt

    ignoring = OK + (
        "import signal, time\n"
        "signal.signal(15, signal.SIG_IGN)\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
        "time.sleep(99)\n"
    )
    with pytest.raises(KeyboardInterrupt):
        heard(ignoring, on=stop)
    assert gone(int((tmp_path / "pid").read_text()))


def test_output_is_kept_up_to_a_bound_and_its_end_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "KEPT_BYTES", 1000)
    taken = Output(tmp_path / "log", None)
    for _ in range(100):
        taken.take(b"x" * 99 + b"\n")
    taken.take(b"\x1b[31mred\x1b[0m\n10 %\r100 %\n\x00\xff\x1b]0;t\x07end")
    taken.close()
    content = (tmp_path / "log").read_bytes()
    assert len(content) < 1000 + output.TAIL_BYTES + 100
    assert b"more bytes, which end with" in content
    assert taken.tail[-3:] == ["red", "100 %", r"\x00\xff\x1b]0;t\x07end"]


def test_a_line_without_end_is_no_line_to_look_into() -> None:
    lines: list[str] = []
    taken = Output(None, lines.append)
    for _ in range(3):
        taken.take(b"y" * 9_000)
    taken.take(b"\nacc=1\nacc=2")
    taken.close()
    assert lines == ["acc=1", "acc=2"]


def keeper() -> psutil.Process:
    """The one that this process has started."""
    (one,) = (p for p in psutil.Process().children() if "keeper.py" in " ".join(p.cmdline()))
    return one


@pytest.mark.slow
@pytest.mark.parametrize("sign", ["SIGSTOP", "SIGKILL"])
def test_a_keeper_that_is_stopped_or_killed_ends_the_trial_and_leaves_nothing(
    sign: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainers.loops.command.GRACE_S", 0.1)
    monkeypatch.setattr(process, "DRAIN_S", 0.2)
    waiting = (
        OK
        + f"""
import subprocess, time
one = subprocess.Popen(['sleep', '99'])
open({str(tmp_path / "pid")!r}, 'w').write(str(one.pid))
open(os.environ['ORCH_REPORT'], 'a').write('{{"epoch": 2, "loss": 1}}')
open(os.environ['ORCH_REPORT'], 'a').write(chr(10))
time.sleep(99)
"""
    )

    def on(message: Any) -> None:
        if message.epoch == 1:
            keeper().send_signal(getattr(signal, sign))

    outcome = heard(waiting, on=on, limit=0.03).outcome
    assert outcome.status == "failed"
    assert outcome.details["wall_s"] < 10
    assert gone(int((tmp_path / "pid").read_text()))
