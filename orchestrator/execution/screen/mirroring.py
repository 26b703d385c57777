"""Feeds mirrors with trials: written down at once, delivered now and then beside the training, or later.

A mirror is never needed: what goes wrong with one is a line, and the sweep is as it would be without.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from orchestrator.errors import StoreError
from orchestrator.events import Event, Finished, Progressed, Started
from orchestrator.execution.screen.delivering import LATE, Delivery
from orchestrator.execution.screen.lines import Listening, Make, Screen
from orchestrator.execution.screen.mirrors import base
from orchestrator.planning.plan import Plan
from orchestrator.planning.trials import TrialSpec
from orchestrator.process.waiting import said_if_slow
from orchestrator.process.words import counted
from orchestrator.recording.store_port import Store
from orchestrator.records import FINAL, SweepInfo, TrialRecord
from trainers.attempt.report import Outcome

EVERY_S = 30.0
"""Before each delivery while trials run, for it is a process ..."""
SHARE = 10
"""... and so many times as long as the last one took, where that is longer."""
PATIENCE_S = 60.0
"""So long a command waits at its end for what is delivered."""
CATCH_UP_S = 30.0
"""For so long, at the end, results that are older than the mirror are looked up."""
BATCH = 50  # trials whose curves are read at once


class Mirror:
    """One mirror, fed by a driver."""

    def __init__(self, name: str, folder: Path, info: SweepInfo) -> None:
        """The mirror of that name, whose files are in `folder`."""
        self.folder, self.out = folder, Delivery(name, folder)
        self._info, self._trials = info, dict[str, TrialSpec]()
        self._news, self._ending = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def know(self, plan: Plan) -> None:
        """Trials of this plan may be heard of."""
        self._trials |= {trial.id: trial for trial in plan.todo}

    def on_event(self, event: Event) -> None:
        """Something happened to a trial; it is written down, and nothing else is waited for."""
        if self.out.problem or event.trial_id not in self._trials:
            return
        try:
            self._write(event)
        except Exception as error:  # a full disk, say: training goes on
            self.out.give_up(f"{type(error).__name__}: {error}")

    def _write(self, event: Event) -> None:
        part = self._path(event.trial_id, base.PART)
        if isinstance(event, Started):
            part.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(base.head(self._trials[event.trial_id].facts, self._info), encoding="utf-8")
        elif isinstance(event, Progressed) and part.exists():
            _add(part, base.epoch(event.report.epoch, event.report.metrics))
            self._tell()
        elif isinstance(event, Finished) and part.exists():
            if event.outcome.status not in FINAL:
                part.unlink()
                return
            _add(part, base.end(event.outcome))
            self._put(part)

    def add(self, trial: TrialSpec, record: TrialRecord, curves: Mapping[int, Mapping[str, float]]) -> None:
        """Write down a result that was there before."""
        part = self._path(trial.id, base.PART)
        part.parent.mkdir(parents=True, exist_ok=True)
        lines = [base.head(trial.facts, self._info)]
        lines += [base.epoch(number, metrics) for number, metrics in sorted(curves.items())]
        part.write_text("".join([*lines, base.end(_outcome(record))]), encoding="utf-8")
        self._put(part)

    def missing(self, trials: Sequence[TrialSpec], records: Mapping[str, TrialRecord]) -> list[TrialSpec]:
        """Those that have a result which was neither shown nor waits; of one trained anew, the newest."""
        known, found = base.delivered(self.folder), list[TrialSpec]()
        waits = {path.stem: base.read(path) for path in base.waiting(self.folder)}
        known |= {trial_id: run.digest for trial_id, run in waits.items() if run is not None}
        for one in trials:
            if one.id in records and records[one.id].is_done:
                ended = _outcome(records[one.id])
                found += [one] * (known.get(one.id) != base.digest_of(ended.status, ended.metrics))
        return found

    def _path(self, trial_id: str, ending: str) -> Path:
        return self.folder / base.OUTBOX / f"{trial_id}{ending}"

    def _put(self, part: Path) -> None:
        part.replace(part.with_suffix(base.WHOLE))
        self._tell()

    def _tell(self) -> None:
        """Have what was written down delivered, before long."""
        self._news.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"orch-{self.out.name}", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        """Deliver now and then while trials run; a mirror that fails is tried again by the next command."""
        pause = EVERY_S
        while not self._ending.wait(pause) and not self.out.problem:
            if self._news.is_set():
                self._news.clear()
                begun = time.monotonic()
                self.out.deliver()
                pause = max(EVERY_S, SHARE * (time.monotonic() - begun))

    def close(self, *, wait: bool) -> Iterator[str]:
        """End; with `wait` after what waits was shown. What became of it, in a line or two."""
        self._ending.set()
        until = time.monotonic() + (PATIENCE_S if wait else 0.0)
        if (thread := self._thread) is not None:
            thread.join(max(0.0, until - time.monotonic()))
            if wait and thread.is_alive():
                self.out.give_up(LATE)
        if wait:
            self.out.drain(max(until, time.monotonic() + 1.0))
        self.out.end()
        yield from self.out.told([self._info.name])


class Mirrors:
    """Those that a sweep feeds; none, as a rule."""

    def __init__(self, names: Sequence[str], home: Path, info: SweepInfo) -> None:
        """Those of these names, with files in the home folder."""
        self._all = [Mirror(name, folder_of(name, home), info) for name in names]
        self.whole = False
        """Whether the sweep has come to its end, so that what waits is waited for."""

    def beside(self, screen: Make) -> Make:
        """A screen that mirrors hear of, too."""
        if not self._all:
            return screen

        def made(plan: Plan) -> Screen:
            for one in self._all:
                one.know(plan)
            return Listening(screen(plan), self._on_event)

        return made

    def _on_event(self, event: Event) -> None:
        for one in self._all:
            one.on_event(event)

    def catch_up(self, trials: Sequence[TrialSpec], records: Mapping[str, TrialRecord], store: Store) -> None:
        """Write down results that were there before a mirror was asked for, as far as time allows."""
        self.whole = True
        until = time.monotonic() + CATCH_UP_S
        for one in self._all:
            try:
                left = one.missing(trials, records)
                while left and not one.out.problem and time.monotonic() < until:
                    batch, left = left[:BATCH], left[BATCH:]
                    curves = store.curves([trial.id for trial in batch])
                    for trial in batch:
                        by_epoch: dict[int, dict[str, float]] = {}
                        drawn = curves[trial.id].metrics if trial.id in curves else {}
                        for name, pairs in drawn.items():
                            for number, value in pairs:
                                by_epoch.setdefault(number, {})[name] = value
                        one.add(trial, records[trial.id], by_epoch)
                if left:
                    one.out.give_up(f"{counted(len(left), 'older result')} not looked up yet")
            except (StoreError, OSError) as error:
                one.out.give_up(str(error))

    def close(self, *, wait: bool) -> Iterator[str]:
        """End them; a line on each that has something to say."""
        for one in self._all:
            yield from one.close(wait=wait)


@contextlib.contextmanager
def mirrored(
    names: Sequence[str], home: Path, info: SweepInfo, say: Callable[[str], None]
) -> Iterator[Mirrors]:
    """Inside, these mirrors are fed; at the end they are waited for a little, and say what became of it."""
    fed = Mirrors(names, home, info)
    try:
        yield fed
    finally:
        with said_if_slow("mirrors show what has ended", say):
            lines = list(fed.close(wait=fed.whole))
        for line in lines:
            say(line)


def folder_of(name: str, home: Path) -> Path:
    """The files of the mirror of that name."""
    return home / "mirrors" / name


def shown_now(name: str, home: Path) -> Iterator[str]:
    """Show what waits for a mirror, whichever sweeps it is of; what became of it, in a line or two."""
    out = Delivery(name, folder_of(name, home))
    runs = [run for path in base.waiting(out.folder) if (run := base.read(path)) is not None]
    out.drain()
    yield from out.told(dict.fromkeys(run.sweep for run in runs))
    if not runs and not out.problem:
        yield f"nothing waits for mirror {name}"


def _outcome(record: TrialRecord) -> Outcome:
    """A result as it was heard of live: without what evaluations found, which are trials of their own."""
    others = tuple(f"{name}/" for name in record.evaluations)
    own = {name: value for name, value in record.metrics.items() if not name.startswith(others)}
    return Outcome.model_validate({"status": record.status, "metrics": own})


def _add(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(line)
