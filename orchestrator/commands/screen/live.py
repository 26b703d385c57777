"""What is seen while a sweep runs: a live table on a terminal, lines in a log, JSON for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.commands.screen.board import STYLES, Board, sparkline
from orchestrator.errors import printable
from orchestrator.events import Deferred, Event, Finished, Progressed, Started
from orchestrator.execution.screen.lines import LineDisplay, Progress, Screen, epochs_of, finished_line
from orchestrator.planning.plan import Plan
from orchestrator.process.signals import heard
from orchestrator.process.streams import terminal, to_stderr
from orchestrator.process.words import duration

AROUND = 5  # lines beside cells and running trials


class QuietDisplay:
    """Says nothing."""

    def __init__(self, plan: Plan) -> None:
        """Nothing to prepare."""

    def on_event(self, event: Event) -> None:
        """Ignore `event`."""

    def tell(self, event: Event, note: str) -> None:
        """Ignore what `note` says of the trial of `event`."""

    def close(self) -> None:
        """Nothing to end."""


class JsonDisplay(QuietDisplay):
    """One JSON object per event, for programs."""

    def on_event(self, event: Event) -> None:
        """Write `event` as one line on stdout."""
        record: dict[str, Any] = {"event": event.event, "trial": event.trial_id}
        match event:
            case Started():
                record |= {"attempt": event.attempt, "worker": event.worker}
            case Progressed():
                record |= event.report.model_dump(exclude={"arrays"})
            case Deferred():
                record["reason"] = event.reason
            case Finished():
                record |= event.outcome.model_dump(exclude={"details"})
        print(json.dumps(record), flush=True)


class LiveDisplay(QuietDisplay):
    """Cells against seeds, a row per running trial and a bar for the sweep, redrawn in place."""

    def __init__(self, plan: Plan, *, console: Console) -> None:
        """Draw on `console`."""
        self.progress, self.console = Progress(plan), console
        self._board = Board(plan, self.progress)
        self._stop = heard()
        self._stop.answers = False  # a line from elsewhere would tear the picture, which says the same
        self._live = Live(self, console=console, refresh_per_second=4, transient=True)
        self._live.start()

    def on_event(self, event: Event) -> None:
        """Move on; a finished trial gets a line of its own above the table."""
        self.progress.take(event)
        if isinstance(event, Finished):
            trial = self.progress.trials[event.trial_id]
            style = STYLES.get(event.outcome.status, "")
            self.console.print(Text(printable(finished_line(self.progress, trial, event)), style=style))
        elif isinstance(event, Deferred):
            self.console.print(
                Text(printable(f"{self.progress.trials[event.trial_id].label}: {event.reason}"))
            )

    def tell(self, event: Event, note: str) -> None:
        """Write `note` above the table."""
        self.console.print(Text(printable(f"{self.progress.trials[event.trial_id].label}: {note}")))

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._live.stop()
        self._stop.answers = True

    def __rich__(self) -> Group:
        """The picture at this moment."""
        progress = self.progress
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in ("trial", "epoch", "loss", "rankme", "by epoch", "left"):
            table.add_column(
                name, justify="left" if name in ("trial", "by epoch") else "right", no_wrap=name != "trial"
            )
        for trial, one in progress.rows():
            metrics = one.last.report.metrics if one.last else {}
            again = f" (attempt {one.attempt})" if one.attempt > 1 else ""
            ranks, left = progress.ranks.get(trial.id, []), one.left_s()
            table.add_row(
                trial.label + again,
                epochs_of(one.last),
                _metric(metrics, "train/loss", ".3f"),
                f"{ranks[-1]:.1f}" if ranks else "",
                sparkline(ranks),
                duration(left) if left is not None else "",
            )
        done = progress.before + progress.ended
        forecast = None if self._stop.requested else progress.forecast_s()
        state = f" {done}/{progress.total} done · {len(progress.running)} running"
        if forecast is not None:
            state += f" · about {duration(forecast)} left" if forecast >= 1 else " · nearly done"
        bar = Table.grid()
        bar.add_row(ProgressBar(total=progress.total, completed=done, width=30), Text(state))
        room = self.console.size.height - len(progress.running) - AROUND
        rows = [table] if progress.running else []
        words = [Text(f" {word}")] if (word := self._word()) else []
        return Group(*self._board.lines(room), *rows, bar, *words)

    def _word(self) -> str:
        """What the sweep waits for, where no row says it."""
        if self._stop.requested:
            return self._stop.word
        if self.progress.running:
            return ""
        if self.progress.ended >= len(self.progress.trials):
            if self.progress.later:
                return "these trials have ended; those that start from their encoders come next"
            return "all trials have ended; their last results are being kept"
        if self.progress.ended:
            return "waiting for the next trial to start"
        return "waiting for workers, which start and load torch"


def _metric(metrics: dict[str, float], name: str, form: str) -> str:
    return format(metrics[name], form) if name in metrics else ""


def screen(output: str) -> Callable[[Plan], Screen]:
    """What shows how trials go: to a "person", to a program ("json"), or to nobody ("quiet")."""

    def of(plan: Plan) -> Screen:
        if output == "json":
            return JsonDisplay(plan)
        if output == "quiet" or not plan.todo:
            return QuietDisplay(plan)
        console = Console(file=terminal(sys.stderr))
        if console.is_terminal and not console.is_dumb_terminal and os.environ.get("TERM"):
            return LiveDisplay(plan, console=console)
        return LineDisplay(plan, say=to_stderr)

    return of
