"""Where somebody sees what happens to trials: what a driver asks of it, and lines of text."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from orchestrator.answer.marks import MARKS
from orchestrator.events import Deferred, Event, Finished, Progressed, Started
from orchestrator.planning.plan import Plan
from orchestrator.planning.trials import TrialSpec
from orchestrator.process.words import counted, duration
from orchestrator.records import Provenance, record_of, unequal_metrics
from trainers.attempt.folders import Folder

SETTLED_S = 60.0  # after which epochs alone make a forecast
NEWS = 1.2  # times what is told: a forecast that grew by less goes on falling instead
RANKS = ("F/rankme", "embedding/rankme")
"""How many directions carry the embeddings, by the name that a trainer has for it."""
LINE_EVERY_S = 30.0  # a log gets a line about what is running at most so often


class Screen(Protocol):
    """Where a person, or a program, sees what happens to trials."""

    def on_event(self, event: Event) -> None:
        """Something happened to a trial."""

    def tell(self, event: Event, note: str) -> None:
        """A person should know this of `event`."""

    def close(self) -> None:
        """Nothing follows."""


Make = Callable[[Plan], Screen]
"""Makes what shows how the trials of a plan go."""


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


class Running(NamedTuple):
    """A trial that runs: since when, in which attempt, and what it told last."""

    begun: float
    attempt: int
    heard: float
    last: Progressed | None = None

    @property
    def share(self) -> float:
        """How much of it is trained, from 0 to 1."""
        report = self.last.report if self.last else None
        return min(1.0, report.epoch / report.epochs) if report and report.epochs else 0.0

    def left_s(self) -> float | None:
        """Seconds until its last epoch, by the pace of those before; None before there is one."""
        if not self.share:
            return None
        then = (self.heard - self.begun) * (1 - self.share) / self.share
        return max(0.0, then - (time.monotonic() - self.heard))


class Progress:
    """The state of a running sweep, in numbers; each display writes it in its own way."""

    def __init__(self, plan: Plan) -> None:
        """The state before the first event."""
        self.trials: dict[str, TrialSpec] = {trial.id: trial for trial in plan.todo}
        self.total, self.before, self.later = len(plan.expansion.trials), len(plan.done), plan.later
        self._started: float | None = None
        self.running: dict[str, Running] = {}
        self.ends: dict[str, str] = {}
        """How trials ended, in the words of marks, by trial id."""
        self.ranks: dict[str, list[float]] = {}
        """Ranks by epoch of those that run, by trial id."""
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
        self._told: tuple[float, float] | None = None
        """When a forecast was made, and its seconds."""

    def take(self, event: Event) -> None:
        """Move on by one event."""
        now = time.monotonic()
        match event:
            case Started():
                self._started = (
                    now if self._started is None else self._started
                )  # not before: Ray takes a while to start
                self.running[event.trial_id] = Running(now, event.attempt, now)
                self.ranks[event.trial_id] = []
            case Progressed():
                before = self.running.get(event.trial_id, Running(now, 1, now))
                self.running[event.trial_id] = before._replace(heard=now, last=event)
                report, last = event.report, before.last
                rank = next((report.metrics[name] for name in RANKS if name in report.metrics), None)
                if rank is not None:
                    self.ranks.setdefault(event.trial_id, []).append(rank)
                is_new = last is None or report.epoch > last.report.epoch
                if is_new and not report.replayed and report.epoch > 0 and report.epochs:
                    self._share_done += 1 / report.epochs
            case Deferred():
                self._forget(event.trial_id)
            case Finished():
                self._forget(event.trial_id)
                self.ends[event.trial_id] = mark_of(event)
                self.ended += 1
        self._foretell(now)

    def forecast_s(self) -> float | None:
        """Seconds until the sweep is done, from the pace so far; None before there is one.

        It falls with the clock, and grows only where trials turn out to be slower by more than a little.
        """
        if self._told is None:
            return None
        then, seconds = self._told
        return max(0.0, seconds - (time.monotonic() - then))

    def rows(self) -> Iterator[tuple[TrialSpec, Running]]:
        """Each running trial, and how it goes."""
        for trial_id, running in self.running.items():
            yield self.trials[trial_id], running

    def _forget(self, trial_id: str) -> None:
        self.running.pop(trial_id, None)
        self.ranks.pop(trial_id, None)

    def _foretell(self, now: float) -> None:
        done = max(self._share_done, float(self.ended))
        left = len(self.trials) + self.later - self.ended - sum(one.share for one in self.running.values())
        elapsed = 0.0 if self._started is None else now - self._started
        # First epochs are slow, and what follows the last one is in no epoch: a whole trial knows more.
        if done < 0.2 or left < 0 or not (self.ended or elapsed > SETTLED_S):
            return
        told, seconds = self.forecast_s(), elapsed * left / done
        if told is None or not told < seconds < NEWS * told:
            self._told = (now, seconds)


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
                f"{trial.label} {'epoch ' if one.last else ''}{epochs_of(one.last)}"
                + (f", {duration(left)} left" if left else "")
                for trial, one in self.progress.rows()
                for left in [one.left_s()]
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


def mark_of(event: Finished) -> str:
    """How a trial ended, in the words of marks: its status, or that it collapsed in part."""
    verdict = event.outcome.details.get("collapse", {}).get("verdict")
    partly = event.outcome.status == "completed" and verdict == "dimensional"
    return "dimensional" if partly else event.outcome.status


def finished_line(progress: Progress, trial: TrialSpec, event: Finished) -> str:
    """A finished trial in one line."""
    outcome = event.outcome
    done = progress.before + progress.ended
    count = f"[{done:>{len(str(progress.total))}}/{progress.total}]"
    mark = MARKS.get(mark_of(event), "✓")
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


def epochs_of(last: Progressed | None) -> str:
    """How far a trial is, in epochs."""
    return last.report.stage if last else "starts"


class ResumeNotes:
    """Listens to what is told of trials, and says of each where it goes on.

    Where nodes share no folder a trial may have trained for hours and find nothing where it runs next: its
    numbers are the same, but its user should know.
    """

    def __init__(self, plan: Plan, folder: Folder) -> None:
        """Trials of `plan`, with their checkpoints in `folder`."""
        self.folder = folder
        self._begun = {trial.id for trial in plan.interrupted}
        self._workers: dict[str, str] = {}
        self._repeated: dict[str, int] = {}  # last epoch that came from a checkpoint, until training goes on

    def note(self, event: Event) -> str | None:
        """What `event` tells of where its trial goes on."""
        identity = event.trial_id
        if isinstance(event, Started):
            self._workers[identity] = event.worker
            if event.attempt > 1:
                self._begun.add(identity)
        if not isinstance(event, Progressed):
            return None
        if event.report.replayed:
            self._repeated[identity] = event.report.epoch
            return None
        begun = identity in self._begun
        self._begun.discard(identity)
        where = f"{self.folder / identity}"
        if (epoch := self._repeated.pop(identity, None)) is not None:
            return f"goes on from its checkpoint after epoch {epoch}, in {where}"
        if begun and event.report.epoch == 0:
            return (
                f"starts anew on {self._workers.get(identity, 'its worker')}: no checkpoint there in {where}"
            )
        return None


def another_result(plan: Plan, event: Event, provenance: Provenance) -> str | None:
    """That a trial which was trained anew has another result than before; None if it has not."""
    before = plan.records.get(event.trial_id)
    if event.trial_id not in plan.anew or before is None or not isinstance(event, Finished):
        return None
    now = record_of(event.trial_id, event.outcome, provenance)
    told = [f"{now.status}, before {before.status}"] if now.status != before.status else []
    names = [n for n in unequal_metrics(now, before) if n in now.metrics and n in before.metrics]
    if now.status == before.status and names:
        name = next((one for one in names if one.startswith("probe/")), names[0])
        more = f" and {counted(len(names) - 1, 'more metric')}" if names[1:] else ""
        told = [f"{name} {now.metrics.get(name)}, before {before.metrics.get(name)}{more}"]
    if now.encoder and before.encoder and now.encoder != before.encoder:
        told.append(f"encoder {now.encoder[:12]}, before {before.encoder[:12]}: its evaluations run anew")
    if not told or not (now.is_done and before.is_done):
        return None
    kept = f"; run {before.run}, set aside, has what was before" if before.run else ""
    return f"trained anew with another result: {'; '.join(told)}{kept}"
