"""What is seen while a sweep runs: a live table on a terminal, lines in a log, JSON for programs."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.answer.marks import MARKS
from orchestrator.errors import printable
from orchestrator.events import Deferred, Event, Finished, Progressed, Started
from orchestrator.planning.plan import Plan
from orchestrator.planning.trials import TrialSpec
from orchestrator.process.signals import heard
from orchestrator.process.streams import terminal
from orchestrator.process.words import duration

LINE_EVERY_S = 30.0  # a log gets a line about what is running at most so often
SETTLED_S = 60.0  # after which epochs alone make a forecast
_STYLES = {"completed": "green", "collapsed": "yellow", "diverged": "yellow", "failed": "red"}


class Progress:
    """The state of a running sweep, in numbers; each display writes it in its own way."""

    def __init__(self, plan: Plan) -> None:
        """The state before the first event."""
        self.trials: dict[str, TrialSpec] = {trial.id: trial for trial in plan.todo}
        self.total, self.before = len(plan.expansion.trials), len(plan.done)
        self._started: float | None = None
        self.running: dict[str, tuple[float, int, Progressed | None]] = {}
        """(start, attempt, last report) by trial id."""
        # What the sweep's tables ask for first; accuracies also where no table asks for them.
        of_tables = {table.metric: table.in_percent for table in plan.expansion.spec.tables}
        self.shown: dict[str, bool] = of_tables | {"probe/top1": True, "knn/top1": True}
        """Metrics that the line of a finished trial shows, and whether in percent."""
        self.ended = 0
        self._share_done = 0.0

    def take(self, event: Event) -> None:
        """Move on by one event."""
        match event:
            case Started():
                self._started = self._started or time.monotonic()  # not before: Ray takes a while to start
                self.running[event.trial_id] = (time.monotonic(), event.attempt, None)
            case Progressed():
                begun, attempt, _ = self.running.get(event.trial_id, (time.monotonic(), 1, None))
                self.running[event.trial_id] = (begun, attempt, event)
                if not event.report.replayed and event.report.epoch > 0:
                    self._share_done += 1 / event.report.epochs
            case Deferred():
                self.running.pop(event.trial_id, None)
            case Finished():
                self.running.pop(event.trial_id, None)
                self.ended += 1

    def forecast_s(self) -> float | None:
        """Seconds until the sweep is done, from the pace so far; None before there is one."""
        done = max(self._share_done, float(self.ended))
        left = len(self.trials) - self.ended - sum(self._share(i) for i in self.running)
        elapsed = 0.0 if self._started is None else time.monotonic() - self._started
        # First epochs are slow, and what follows the last one is in no epoch: a whole trial knows more.
        if done < 0.2 or left < 0 or not (self.ended or elapsed > SETTLED_S):
            return None
        return elapsed * left / done

    def rows(self) -> Iterator[tuple[TrialSpec, int, Progressed | None, float | None]]:
        """(trial, attempt, last report, seconds left) of each running trial."""
        for trial_id, (begun, attempt, last) in self.running.items():
            share = self._share(trial_id)
            left = (time.monotonic() - begun) * (1 - share) / share if share > 0 else None
            yield self.trials[trial_id], attempt, last, left

    def _share(self, trial_id: str) -> float:
        last = self.running[trial_id][2]
        return last.report.epoch / last.report.epochs if last else 0.0


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


class LineDisplay(QuietDisplay):
    """One line per finished trial and now and then one about those that run."""

    def __init__(self, plan: Plan, *, out: TextIO | None = None) -> None:
        """Write to `out`, stderr by default."""
        self.progress, self.out = Progress(plan), out or sys.stderr
        self._last_line = time.monotonic()

    def on_event(self, event: Event) -> None:
        """Write the line of `event`, if it has one."""
        self.progress.take(event)
        trial = self.progress.trials[event.trial_id]
        if isinstance(event, Finished):
            self._write(finished_line(self.progress, trial, event))
        elif isinstance(event, Deferred):
            self._write(f"{trial.label}: {event.reason}")
        elif time.monotonic() - self._last_line > LINE_EVERY_S:
            running = "; ".join(
                f"{t.label} epoch {_epochs(p)}" + (f", {duration(left)} left" if left else "")
                for t, _, p, left in self.progress.rows()
            )
            self._write(f"running: {running}")

    def tell(self, event: Event, note: str) -> None:
        """Write `note` as a line of its own."""
        self._write(f"{self.progress.trials[event.trial_id].label}: {note}")

    def _write(self, line: str) -> None:
        print(line, file=self.out, flush=True)
        self._last_line = time.monotonic()


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
    """A table that is redrawn in place: a row per running trial, a bar for the sweep."""

    def __init__(self, plan: Plan, *, console: Console) -> None:
        """Draw on `console`."""
        self.progress, self.console = Progress(plan), console
        self._stop = heard()
        self._stop.answers = False  # a line from elsewhere would tear the picture, which says the same
        self._live = Live(self, console=console, refresh_per_second=4, transient=True)
        self._live.start()

    def on_event(self, event: Event) -> None:
        """Move on; a finished trial gets a line of its own above the table."""
        self.progress.take(event)
        if isinstance(event, Finished):
            trial = self.progress.trials[event.trial_id]
            style = _STYLES.get(event.outcome.status, "")
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
        for name in ("trial", "epoch", "loss", "rankme", "left"):
            table.add_column(name, justify="left" if name == "trial" else "right", no_wrap=name != "trial")
        for trial, attempt, last, left in progress.rows():
            metrics = last.report.metrics if last else {}
            again = f" (attempt {attempt})" if attempt > 1 else ""
            table.add_row(
                trial.label + again,
                _epochs(last),
                _metric(metrics, "train/loss", ".3f"),
                _metric(metrics, "F/rankme", ".1f"),
                duration(left) if left is not None else "",
            )
        done = progress.before + progress.ended
        forecast = None if self._stop.requested else progress.forecast_s()
        state = f" {done}/{progress.total} done · {len(progress.running)} running"
        state += f" · about {duration(forecast)} left" if forecast is not None else ""
        bar = Table.grid()
        bar.add_row(ProgressBar(total=progress.total, completed=done, width=30), Text(state))
        return Group(table, bar, *([Text(f" {self._stop.word}")] if self._stop.requested else []))


def finished_line(progress: Progress, trial: TrialSpec, event: Finished) -> str:
    """A finished trial in one line."""
    outcome = event.outcome
    done = progress.before + progress.ended
    count = f"[{done:>{len(str(progress.total))}}/{progress.total}]"
    verdict = outcome.details.get("collapse", {}).get("verdict")
    partly = outcome.status == "completed" and verdict == "dimensional"
    mark = MARKS["dimensional"] if partly else MARKS.get(outcome.status, "✓")
    known = [
        f"{name} {outcome.metrics[name] * 100:.1f} %" if share else f"{name} {outcome.metrics[name]:.4g}"
        for name, share in progress.shown.items()
        if name in outcome.metrics
    ]
    seconds = outcome.details.get("wall_s")
    parts = [
        f"{count} {mark} {trial.label}: {outcome.status}",
        ", ".join(known[:3]),
        outcome.reason or "",
        duration(seconds) if seconds else "",
    ]
    return "  ".join(part for part in parts if part)


def _epochs(last: Progressed | None) -> str:
    return f"{last.report.epoch}/{last.report.epochs}" if last else "starts"


def _metric(metrics: dict[str, float], name: str, form: str) -> str:
    return format(metrics[name], form) if name in metrics else ""


def screen(output: str) -> Callable[[Plan], QuietDisplay]:
    """What shows how trials go: to a "person", to a program ("json"), or to nobody ("quiet")."""

    def of(plan: Plan) -> QuietDisplay:
        if output == "json":
            return JsonDisplay(plan)
        if output == "quiet" or not plan.todo:
            return QuietDisplay(plan)
        console = Console(file=terminal(sys.stderr))
        if console.is_terminal and not console.is_dumb_terminal and os.environ.get("TERM"):
            return LiveDisplay(plan, console=console)
        return LineDisplay(plan, out=sys.stderr)

    return of
