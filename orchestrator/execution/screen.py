"""Where somebody sees what happens to trials: what a driver asks of it, and lines of text."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Protocol

from orchestrator.answer.marks import MARKS
from orchestrator.events import Deferred, Event, Finished, Progressed, Started
from orchestrator.planning.plan import Plan
from orchestrator.planning.trials import TrialSpec
from orchestrator.process.words import duration

SETTLED_S = 60.0  # after which epochs alone make a forecast
LINE_EVERY_S = 30.0  # a log gets a line about what is running at most so often


class Screen(Protocol):
    """Where a person, or a program, sees what happens to trials."""

    def on_event(self, event: Event) -> None:
        """Something happened to a trial."""

    def tell(self, event: Event, note: str) -> None:
        """A person should know this of `event`."""

    def close(self) -> None:
        """Nothing follows."""


class Listening:
    """A screen beside which somebody else hears of events, too."""

    def __init__(self, shown: Screen, on_event: Callable[[Event], None] | None = None) -> None:
        """Pass events on to `on_event`, then to `shown`."""
        self._shown, self._on_event = shown, on_event
        self.tell, self.close = shown.tell, shown.close

    def on_event(self, event: Event) -> None:
        """Something happened to a trial."""
        if self._on_event is not None:
            self._on_event(event)
        self._shown.on_event(event)


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
        self.shown: dict[str, bool] = of_tables | {
            "probe/top1": True,
            "knn/top1": True,
            "evaluation/top1": True,
        }
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
                begun, attempt, last = self.running.get(event.trial_id, (time.monotonic(), 1, None))
                self.running[event.trial_id] = (begun, attempt, event)
                is_new = last is None or event.report.epoch > last.report.epoch
                if is_new and not event.report.replayed and event.report.epoch > 0 and event.report.epochs:
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
        return min(1.0, last.report.epoch / last.report.epochs) if last and last.report.epochs else 0.0


class LineDisplay:
    """One line per finished trial and now and then one about those that run."""

    def __init__(self, plan: Plan, *, say: Callable[[str], None]) -> None:
        """Tell `say` each line."""
        self.progress, self._say = Progress(plan), say
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
                f"{t.label} {_stage(p)}" + (f", {duration(left)} left" if left else "")
                for t, _, p, left in self.progress.rows()
            )
            self._write(f"running: {running}")

    def tell(self, event: Event, note: str) -> None:
        """Write `note` as a line of its own."""
        self._write(f"{self.progress.trials[event.trial_id].label}: {note}")

    def close(self) -> None:
        """There is nothing to end."""

    def _write(self, line: str) -> None:
        self._say(line)
        self._last_line = time.monotonic()


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


def _stage(last: Progressed | None) -> str:
    return f"epoch {epochs_of(last)}" if last else "starts"


def epochs_of(last: Progressed | None) -> str:
    """How far a trial is, in epochs."""
    return last.report.stage if last else "starts"
