"""TensorBoard: a folder of event files for each trial, <sweep>/<axis>=<level>,.../seed=<n>."""

from __future__ import annotations

import math
import shlex
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from orchestrator.execution.screen.mirrors.base import MirroredRun

PACKAGE = "tensorboard"
RUNS = "runs"
LONGEST = 120  # bytes of the name of a folder, of which a disk has 255


def refused() -> None:
    """Nothing but the package is needed."""


def where(folder: Path, sweep: str) -> str:
    """The command that shows the runs."""
    del sweep
    return f"`{shlex.join(['tensorboard', '--logdir', str(folder / RUNS)])}`"


def deliver(run: MirroredRun, folder: Path, *, again: bool) -> None:
    """Write a trial's event file; what there was of it is replaced."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    del again
    part = folder / f"part-{run.trial.trial_id}"
    shutil.rmtree(part, ignore_errors=True)
    writer, now = EventFileWriter(str(part), filename_suffix=f".{run.trial.trial_id}"), time.time()
    for step, tag, value in scalars(run):
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
        writer.add_event(Event(wall_time=now, step=step, summary=summary))
    writer.close()
    own = folder / RUNS / place(run)
    shutil.rmtree(own, ignore_errors=True)
    own.parent.mkdir(parents=True, exist_ok=True)
    part.rename(own)


def scalars(run: MirroredRun) -> Iterator[tuple[int, str, float]]:
    """(step, tag, value) of each number; final metrics stand at the last epoch."""
    told = set()
    for step, metrics in run.curves:
        for tag, value in metrics.items():
            if math.isfinite(value):
                told.add((step, tag))
                yield step, tag, value
    for tag, value in run.metrics.items():
        if math.isfinite(value) and (run.last, tag) not in told:
            yield run.last, tag, value


def place(run: MirroredRun) -> Path:
    """The folder of a trial, below that of all."""
    sweep = run.sweep + (f"-{run.profile}" if run.profile else "")
    levels = ",".join(f"{axis}={level}" for axis, level in run.trial.levels.items()) or run.trial.cell
    name = "".join("_" if sign in "/\\" or not sign.isprintable() else sign for sign in levels).lstrip(".")
    if name != levels or len(name.encode()) > LONGEST:  # then two cells could have one name
        name = name.encode()[:LONGEST].decode(errors="ignore") + f" {run.trial.cell_id[:6]}"
    return Path(sweep, name, f"seed={run.trial.seed}")
