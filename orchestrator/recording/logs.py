"""A log per trial on the driver's machine: attempts, epochs, how it ended, the traceback of an error."""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from orchestrator.events import Deferred, Event, Finished, Progressed, Started
from trainers.attempt.isolation import TRACEBACK
from trainers.attempt.report import EpochReport

BEGUN, ENDED = "begun on ", "ended: "
POLL_S = 0.5
_SHOWN = (
    *("train/loss", "probe/top1", "knn/top1", "evaluation/top1", "F/rankme", "embedding/std"),
    *("Wp/asymmetry_l1", "alignment/mean", "time/epoch_s"),
)
MOST_SHOWN = 6


class TrialLogs:
    """Writes what happens to trials into a file for each."""

    def __init__(self, folder: Path) -> None:
        """Write into `folder`."""
        self.folder = folder

    def on_event(self, event: Event, note: str | None = None) -> None:
        """Add `note` and what `event` tells to its trial's log. One that cannot be written stops nothing."""
        now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            with log_path(self.folder, event.trial_id).open(
                "a", encoding="utf-8", errors="backslashreplace"
            ) as file:
                told = [note] if note else []
                file.writelines(f"{now} {line}\n" for line in (*told, *_lines(event)))


def log_path(folder: Path, trial_id: str) -> Path:
    """A trial's log, whether or not it is there."""
    return folder / f"{trial_id}.log"


def tail(paths: Sequence[tuple[str, Path]], *, lines: int | None) -> Iterator[str]:
    """The last `lines` lines of each log, all of them for None, under its trial's label."""
    for number, (label, path) in enumerate(paths):
        text = path.read_text(encoding="utf-8", errors="replace").splitlines()
        if len(paths) > 1:
            yield ("\n" if number else "") + f"==> {label} <=="
        yield from text if lines is None else text[len(text) - min(lines, len(text)) :]


def follow(paths: Sequence[tuple[str, Path]], *, say: Callable[[str], None]) -> None:
    """Tell every line that is added to these logs, until each tells of an end."""
    places = {path: path.stat().st_size if path.exists() else 0 for _, path in paths}
    while True:
        for label, path in paths:
            for line in _added(path, places):
                say(f"{label}: {line}" if len(paths) > 1 else line)
        if all(has_ended(path) for _, path in paths):
            return
        time.sleep(POLL_S)


def has_ended(path: Path) -> bool:
    """Whether the last attempt that the log tells of has ended."""
    if not path.exists():
        return False
    words = [line.partition(" ")[2] for line in path.read_text("utf-8", "replace").splitlines()]
    last = next((one for one in reversed(words) if one.startswith((ENDED, BEGUN))), "")
    return last.startswith(ENDED)


def epoch_line(report: EpochReport) -> str:
    """What is said of an epoch: how far the trial is, and a few of its numbers."""
    names = [name for name in _SHOWN if name in report.metrics] or list(report.metrics)
    numbers = [f"{name} {report.metrics[name]:.4g}" for name in names[:MOST_SHOWN]]
    return "  ".join([f"epoch {report.stage}", *numbers])


def _added(path: Path, places: dict[Path, int]) -> Iterator[str]:
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(places[path])
        content = file.read()
    whole = content[: content.rfind(b"\n") + 1]
    places[path] += len(whole)
    yield from whole.decode(errors="replace").splitlines()


def _lines(event: Event) -> Iterator[str]:
    match event:
        case Started():
            yield f"{BEGUN}{event.worker}" + (f", again ({event.attempt})" if event.attempt > 1 else "")
        case Progressed() if not event.report.replayed:
            yield epoch_line(event.report)
        case Deferred():
            yield f"deferred: {event.reason}"
        case Finished():
            outcome = event.outcome
            yield from outcome.details.get("warnings", ())
            yield from str(outcome.details.get(TRACEBACK, "")).rstrip().splitlines()
            yield from (f"| {line}" for line in outcome.details.get("output", ()))
            yield f"{ENDED}{outcome.status}" + (f": {outcome.reason}" if outcome.reason else "")
