"""What a mirror shows of a trial, and the files in which that waits to be delivered.

A mirror's folder has an outbox, a file for each trial: a line of what the trial is, one for each epoch, and
when it ended one of that; and, of trials that train, the last epoch that was shown. `delivered.jsonl` has a
line for each result that was shown; the rest is what the mirror itself writes. Nothing in it is needed by
anything else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.records import MEASURED, SweepInfo, TrialFacts
from trainers.attempt.report import Outcome
from trainers.config.base import canonical

OUTBOX, DELIVERED, WHOLE, PART, EPOCHS = "outbox", "delivered.jsonl", ".jsonl", ".part", ".epochs"
UNFINISHED = "unfinished"
"""Status of what is shown of a trial that trains; it stays where no result comes of it."""
TRIES = 3
"""A result that the mirror has not taken so often waits for the next command."""


class MirroredRun(NamedTuple):
    """A trial, as a mirror shows it."""

    trial: TrialFacts
    sweep: str
    profile: str | None
    curves: tuple[tuple[int, Mapping[str, float]], ...]
    """Metrics by epoch, in order."""
    status: str
    metrics: Mapping[str, float]
    """Final ones."""

    @property
    def digest(self) -> str:
        """What tells this result of the trial from another."""
        return digest_of(self.status, self.metrics)

    @property
    def last(self) -> int:
        """Its last epoch."""
        return max((epoch for epoch, _ in self.curves), default=0)


def digest_of(status: str, metrics: Mapping[str, float]) -> str:
    """The same of a result that ended so, whether it was heard of live or is read from the store."""
    final = metrics if status in MEASURED else {}
    lasting = {n: value for n, value in final.items() if not n.startswith("time/") and math.isfinite(value)}
    return hashlib.sha256(canonical([status, lasting]).encode()).hexdigest()[:12]


def head(trial: TrialFacts, sweep: SweepInfo) -> str:
    """The line of what a trial is."""
    return _line({"trial": trial.model_dump(mode="json"), "sweep": sweep.name, "profile": sweep.profile})


def epoch(number: int, metrics: Mapping[str, float]) -> str:
    """The line of an epoch."""
    return _line({"epoch": number, "metrics": dict(metrics)})


def end(outcome: Outcome) -> str:
    """The line of how it ended."""
    return _line({"status": outcome.status, "metrics": outcome.metrics})


def _line(value: Any) -> str:
    return json.dumps(value, separators=(",", ":")) + "\n"


def read(path: Path, *, ended: bool = True) -> MirroredRun | None:
    """What a file of an outbox holds, of a trial that has `ended`, or trains; None if it is not whole."""
    try:
        text = path.read_text(encoding="utf-8")
        first, *rest = map(json.loads, text[: text.rfind("\n") + 1].splitlines())  # a line may be on its way
        end: dict[str, Any] = rest.pop() if ended else {"status": UNFINISHED, "metrics": {}}
        by_epoch = {int(one["epoch"]): one["metrics"] for one in rest}
        facts = TrialFacts.model_validate(first["trial"])
        curves = tuple(sorted(by_epoch.items()))
        return MirroredRun(
            facts, first["sweep"], first["profile"], curves, end["status"], dict(end["metrics"])
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def waiting(folder: Path) -> list[Path]:
    """The files of what waits to be delivered, the oldest first."""
    found = dict[Path, float]()
    for path in (folder / OUTBOX).glob(f"*{WHOLE}"):
        with contextlib.suppress(OSError):  # another driver's process has delivered it just now
            found[path] = path.stat().st_mtime
    return sorted(found, key=lambda path: found[path])


def going(folder: Path) -> list[Path]:
    """The files of trials that train, or whose drivers died."""
    return sorted((folder / OUTBOX).glob(f"*{PART}"))


def last_shown(folder: Path, trial_id: str) -> int:
    """The last epoch that was shown of a trial that trains; -1: none."""
    try:
        return int(_epochs(folder, trial_id).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return -1


def note_shown(folder: Path, run: MirroredRun) -> None:
    """Write down how far a trial is shown that trains."""
    _epochs(folder, run.trial.trial_id).write_text(str(run.last), encoding="utf-8")


def _epochs(folder: Path, trial_id: str) -> Path:
    return folder / OUTBOX / f"{trial_id}{EPOCHS}"


def delivered(folder: Path) -> dict[str, str]:
    """The digest of the newest result that was shown, by trial id."""
    return dict(_shown(folder / DELIVERED))


def _shown(path: Path) -> Iterator[tuple[str, str]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        try:
            one = json.loads(line)
            yield str(one["trial"]), str(one["digest"])
        except (ValueError, KeyError, TypeError):  # torn when somebody was killed
            continue


def note_delivered(folder: Path, run: MirroredRun) -> None:
    """Write down that this result is shown."""
    _epochs(folder, run.trial.trial_id).unlink(missing_ok=True)
    with (folder / DELIVERED).open("a", encoding="utf-8") as file:
        file.write("\n" + _line({"trial": run.trial.trial_id, "digest": run.digest}))
