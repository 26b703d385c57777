"""A webhook hears of the end and of the first failure; it stops no sweep, and nobody hears of its address."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator import Sweep
from orchestrator.commands.screen.live import QuietDisplay
from orchestrator.errors import ExecutionLost, UsageError
from orchestrator.events import Finished
from orchestrator.execution import drive
from orchestrator.execution.publishing import answered
from orchestrator.execution.run import SweepResult, plan_sweep
from orchestrator.execution.screen import notify
from orchestrator.process import command
from orchestrator.recording.memory import MemoryStore
from tests.builders import expansion, outcome, record

SECRET = "T0/s3cr3t"


class Hook(ThreadingHTTPServer):
    """A webhook on this machine."""

    daemon_threads = True

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.status, self.pause_s = 200, 0.0
        super().__init__(("127.0.0.1", 0), Answer)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{SECRET}?token={SECRET}"


class Answer(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append(json.loads(body) | {"path": self.path})
        time.sleep(self.server.pause_s)
        self.send_response(self.server.status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *given: Any) -> None:
        """Say nothing."""


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


def run(address: str | None, *failures: str, error: Exception | None = None, done: bool = False) -> list[str]:
    """What is said while a sweep of the tiny kind is told of, which is all done in the end."""
    said: list[str] = []
    store = MemoryStore()
    plan = plan_sweep(expansion(), store)
    grown = expansion(seeds=range(3))  # by seeds that intervals asked for, and one that is excluded
    records = {trial.id: record(trial.id) for trial in (*grown.trials, *expansion(seeds=[9]).trials)}
    with notify.told(address, plan, QuietDisplay, say=said.append, trains=not done) as (screen, ended):
        shown = screen(plan)
        for number, reason in enumerate(failures):
            failed = outcome(status="failed", reason=reason, error="code", metrics={})
            shown.on_event(Finished(plan.todo[number].id, failed))
        if error is not None:
            raise error
        ended(SweepResult(Counter(completed=2, failed=len(failures)), records, interrupted=False), grown)
    return said


def test_the_end_is_told_with_what_was_trained(hook: Hook) -> None:
    assert run(hook.address) == ["notified 127.0.0.1"]
    (body,) = hook.heard
    assert body["path"] == f"/{SECRET}?token={SECRET}"
    assert (body["event"], body["sweep"], body["trained"]["completed"]) == ("end", "tiny", 2)
    assert body["text"] == "tiny: 2 completed, 0 failed; 12 of 12 trials done"


def test_the_first_failure_is_told_and_no_other(hook: Hook) -> None:
    run(hook.address, "division by zero", "another")
    (told,) = [body for body in hook.heard if body["event"] == "failure"]
    assert told["text"] == "tiny: EMA · symmetric · seed 0 failed: division by zero"
    assert told["trained"] == {"failed": 1}


def test_a_sweep_that_dies_is_told_as_stopped(hook: Hook) -> None:
    with pytest.raises(ExecutionLost):
        run(hook.address, "no", "none", error=ExecutionLost("Ray has died"))
    told = {body["event"]: (body["text"], body["trained"]) for body in hook.heard}  # each has its own thread
    assert told.keys() == {"failure", "stopped"} and len(hook.heard) == 2
    assert told["stopped"] == ("tiny: Ray has died", {"failed": 2})


def test_where_nothing_is_trained_nobody_is_told(hook: Hook) -> None:
    assert run(hook.address, done=True) == []
    assert run(None) == []
    assert hook.heard == []


@pytest.mark.parametrize(
    ("status", "told"), [(404, "it answered 404"), (500, "it answered 500"), (302, "302")]
)
def test_an_answer_that_refuses_is_one_line_without_the_address(hook: Hook, status: int, told: str) -> None:
    hook.status = status
    (line,) = run(hook.address)
    assert line.startswith("orch: 127.0.0.1 was not notified: ")
    assert told in line
    assert SECRET not in line
    assert len(hook.heard) == 1


def test_a_webhook_that_hangs_is_waited_for_a_little(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "QUIET_S", 0.05)
    hook.pause_s = 0.5
    (line,) = run(hook.address)
    assert "was not notified: it said nothing for long" in line
    monkeypatch.setattr(notify, "QUIET_S", 5)
    monkeypatch.setattr(notify, "WEBHOOK_S", 0.05)
    begun = time.monotonic()
    (line,) = run(hook.address)
    assert "was not notified: did not answer within 0.05 s" in line
    assert time.monotonic() - begun < 0.4


def test_a_webhook_that_hangs_twice_is_waited_for_no_longer(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "WEBHOOK_S", 0.5)
    hook.pause_s = 2.0
    begun = time.monotonic()
    (line,) = run(hook.address, "division by zero")
    assert "did not answer within 0.5 s" in line and 0.5 <= time.monotonic() - begun < 0.95


def test_a_webhook_that_is_not_there_is_one_line() -> None:
    (line,) = run("http://127.0.0.1:9/" + SECRET)
    assert line == "orch: 127.0.0.1 was not notified: Connection refused; the sweep is as it would be without"


@pytest.mark.parametrize(
    "address", ["", "hooks/x", "ftp://host/s3", "http:///s3", "http://h:x/s3", "http://h/s 3"]
)
def test_what_is_no_address_is_told_without_it(address: str) -> None:
    with pytest.raises(UsageError, match=r"--notify: expected the address of a webhook, .* \(not shown\)"):
        notify.address_from(address)


def test_what_is_started_does_not_inherit_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCH_NOTIFY", "https://hooks.example.org/s3")
    assert notify.address_from(None) == "https://hooks.example.org/s3"
    assert "ORCH_NOTIFY" not in os.environ
    monkeypatch.setenv("ORCH_NOTIFY", "https://hooks.example.org/s3")
    assert notify.address_from("https://other.example.org") == "https://other.example.org"
    assert "ORCH_NOTIFY" not in os.environ


@pytest.mark.parametrize("words", [["--notify", f"https://h/{SECRET}"], [f"--notify=https://h/{SECRET}"]])
def test_the_typed_command_keeps_no_address(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    monkeypatch.setattr(command, "_typed", True)
    monkeypatch.setattr(sys, "argv", ["orch", "sweep", "a.yaml", *words, "--seeds", "3"])
    typed = command.typed_command()
    assert SECRET not in typed
    assert typed.endswith("--seeds 3")


def ran_in_python(monkeypatch: pytest.MonkeyPatch, **how: Any) -> list[str]:
    """What is said while `Sweep.run` runs a sweep whose trials come out as they like, and one fails."""
    plan, said = plan_sweep(expansion(), MemoryStore()), list[str]()

    def sweep(prepared: Any, *, screen: Any, show: Any, say: Any) -> SweepResult:
        assert "ORCH_NOTIFY" not in os.environ
        failed = outcome(status="failed", reason="out of luck", error="code", metrics={})
        screen(plan).on_event(Finished(plan.todo[0].id, failed))
        result = SweepResult(Counter(failed=1), {}, interrupted=False)
        show(answered(plan.expansion, result))
        return result

    prepared = SimpleNamespace(plan=plan, trains=True)
    monkeypatch.setattr(drive, "prepare", lambda expansion, space, options, say: prepared)
    monkeypatch.setattr(drive, "sweep", sweep)
    Sweep(plan.expansion.spec).run("serial", say=said.append, **how)
    return said


def test_a_sweep_in_python_tells_a_webhook_as_the_command_does(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCH_NOTIFY", "http://127.0.0.1:9/another")
    said = ran_in_python(monkeypatch, notify=hook.address)
    assert {body["event"] for body in hook.heard} == {"failure", "end"}
    assert "notified 127.0.0.1" in said and not any(SECRET in line for line in said)
    assert os.environ["ORCH_NOTIFY"] == "http://127.0.0.1:9/another"  # for the next sweep


def test_a_sweep_in_python_takes_the_webhook_of_the_environment(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCH_NOTIFY", hook.address)
    ran_in_python(monkeypatch)
    assert len(hook.heard) == 2
    with pytest.raises(UsageError, match=r"^notify: expected the address of a webhook, .* \(not shown\)"):
        ran_in_python(monkeypatch, notify="hooks/x")


def test_a_failed_evaluation_is_told_by_its_label(hook: Hook) -> None:
    plan = plan_sweep(expansion(), MemoryStore())
    none = plan._replace(todo=())
    with notify.told(hook.address, none, QuietDisplay, say=print, trains=True) as (screen, _):
        failed = outcome(status="failed", reason="no", error="code", metrics={})
        screen(plan).on_event(Finished(plan.todo[1].id, failed))
    assert [body["text"] for body in hook.heard] == [f"tiny: {plan.todo[1].label} failed: no"]
