"""Watching a sweep that is trained elsewhere: it is shown as it goes, and every watch ends."""

from __future__ import annotations

import io
import time
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from orchestrator.commands.app import app
from orchestrator.commands.screen import watch as watching
from orchestrator.errors import StoreAway
from orchestrator.planning.plan import make_plan
from tests.builders import expansion, record


class Elsewhere:
    """A sweep of which each look sees the next of these states."""

    headline = "tiny: 8 trials"

    def __init__(self, *looks: dict[int, str] | Exception) -> None:
        self.looks, self.expansion = list(looks), expansion()

    def plan(self) -> Any:
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


def watched(*looks: dict[int, str] | Exception) -> list[str]:
    said: list[str] = []
    watching.watch([Elsewhere(*looks)], say=said.append, console=Console(file=io.StringIO()))  # type: ignore[list-item]
    return said


ALL = dict.fromkeys(range(8), "completed")


def test_a_line_is_said_for_each_change_and_the_watch_ends_with_the_sweep() -> None:
    half = dict.fromkeys(range(4), "completed") | {4: "running"}
    assert watched(half, half, ALL | {7: "failed"}) == [
        "tiny: 4 completed, 1 running, 3 missing",
        "tiny: 7 completed, 1 failed",
        "all trials have ended",
    ]


def test_a_sweep_that_nobody_trains_is_watched_for_a_minute(clock: list[float]) -> None:
    said = watched({0: "completed"})
    assert said[-1] == "nothing has run for 60 s; `orch sweep` trains what is missing"
    assert 60 <= clock[0] < 70


def test_a_store_that_is_away_is_asked_again_for_a_minute(clock: list[float]) -> None:
    assert watched(StoreAway("gone"), ALL)[-1] == "all trials have ended"
    with pytest.raises(StoreAway):
        watched(StoreAway("gone"))
    assert clock[0] < 70


def test_a_terminal_shows_cells_and_seeds_in_place() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=30)
    watching.watch([Elsewhere({0: "running"}, ALL)], say=print, console=console)  # type: ignore[list-item]
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "watching (Ctrl-C ends this, and no trial)" in text and "EMA · symmetric" in text
    assert text.rstrip().endswith("\x1b[?25h") and "all trials have ended" in text  # the cursor is back


def test_watching_is_for_people() -> None:
    said = CliRunner().invoke(app, ["status", "orch:smoke", "--watch", "--json"])
    assert said.exit_code == 2
