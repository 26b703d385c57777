"""Signals end whatever is waited for: a first one soon, a second one always."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from orchestrator.errors import Interrupted
from orchestrator.process import command, signals
from orchestrator.process.signals import ignore_signals, stop_signals


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "AT_ONCE_S", 0.2)
    monkeypatch.setattr(signals, "SAME_S", 0.0)


def press(times: int) -> None:
    """Ctrl-C, so many times."""
    for _ in range(times):
        time.sleep(0.01)
        signal.raise_signal(signal.SIGINT)


def blocked_for_ever() -> None:
    read, write = os.pipe()
    try:
        os.read(read, 1)
    finally:
        os.close(read)
        os.close(write)


def test_a_second_signal_breaks_off_a_wait_that_never_looks_whether_there_was_one() -> None:
    begun = time.monotonic()
    with pytest.raises(Interrupted), stop_signals() as stop, stop.polled():
        press(2)
        assert stop.at_once
        blocked_for_ever()
    assert time.monotonic() - begun < 2
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_what_ends_in_time_after_a_second_signal_is_not_broken_off() -> None:
    with stop_signals() as stop, stop.polled():
        press(2)
    time.sleep(0.3)
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL  # which would have ended this process


def test_a_first_signal_is_taken_though_nobody_reads_what_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(write, b"x" * 4096)
    os.set_blocking(write, True)
    own = os.dup(2)
    free = threading.Timer(5.0, os.close, [read])  # else what is tested would wait for ever
    free.start()
    os.dup2(write, 2)
    try:
        begun = time.monotonic()
        with stop_signals() as stop:
            press(1)
            assert stop.requested
        assert time.monotonic() - begun < 4
    finally:
        os.dup2(own, 2)
        free.cancel()
        for number in (own, read, write):
            os.close(number)


HANGS = """
import os, signal, sys, time
from orchestrator.process import command, signals
signals.AT_ONCE_S = signals.SAME_S = 0.2
command.is_orch()
def hang():
    while True:
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            pass
if sys.argv[1] == "while it trains":
    with signals.stop_signals() as stop, stop.polled():
        print(flush=True)
        hang()
else:
    signals.ignore_signals()
    time.sleep(0.5)
    print(flush=True)
    hang()
"""


@pytest.mark.parametrize("when", ["while it trains", "when its exit code is known"])
def test_a_command_that_answers_no_signal_ends_all_the_same(when: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HANGS, when], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        time.sleep(0.3)
        if process.poll() is None:
            process.terminate()
        try:
            assert process.wait(timeout=5) == 130
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_what_a_batch_system_warns_with_asks_a_command_to_stop_and_never_at_once(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setattr(command, "_typed", True)
    before = signal.getsignal(number)
    with stop_signals() as stop:
        for _ in range(3):
            time.sleep(0.01)
            signal.raise_signal(number)
        assert stop.requested and not stop.at_once
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP])
def test_a_signal_that_whoever_started_the_command_ignores_stays_ignored(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setattr(command, "_typed", True)
    signal.signal(number, signal.SIG_IGN)
    with stop_signals() as stop:
        signal.raise_signal(number)
        assert not stop.requested


def test_a_program_that_uses_orch_keeps_its_own_meaning_of_sigusr1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_typed", False)
    heard: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
    with stop_signals() as stop:
        signal.raise_signal(signal.SIGUSR1)
        assert heard and not stop.requested


def test_once_its_exit_code_is_known_no_signal_changes_how_a_command_ends() -> None:
    ignore_signals()
    press(3)
