"""Runs of TensorBoard: a folder with event files is a run, its tags are columns with curves."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.recording.bundle.others.sources.base import Run, Runs, columns_of, digest
from trainers.attempt.command.event_files import EventFile

SOURCE = "a folder of event files, a folder below it for each run"
MOST_FILES = 10_000


def read(source: str, *, experiment: str | None = None) -> Runs:
    """The runs below a folder; a step of theirs is an epoch here.

    Columns are `run`, the path from the folder, NAME of each NAME=VALUE in it, and every tag.

    Raises:
        UsageError: there is no event file, or one is damaged or cut off.
    """
    if experiment is not None:
        raise UsageError(f"--experiment {experiment}: event files have no experiments; leave it out")
    top = Path(source)
    if not top.is_dir():
        raise UsageError(f"{source}: is no folder; expected one with event files below it")
    files = sorted(path for path in top.rglob("*tfevents*") if path.is_file())
    if not files:
        raise UsageError(f"{source}: has no event files, whose names have tfevents in them")
    if len(files) > MOST_FILES:
        raise UsageError(f"{source}: has more than {MOST_FILES} event files; import it in parts")
    by_run: dict[str, list[Path]] = {}
    for path in files:
        by_run.setdefault(path.parent.relative_to(top).as_posix(), []).append(path)
    rows = tuple(_run(top, name, paths) for name, paths in by_run.items())
    whole = digest(part for path in files for part in _named(path, top))
    return Runs(top.resolve().name, whole, columns_of(rows), rows)


def _run(top: Path, name: str, paths: list[Path]) -> Run:
    scalars: dict[str, dict[int, float]] = {}
    for path in paths:
        events = EventFile(path)
        try:
            for step, tag, value in events.new():
                scalars.setdefault(tag, {})[step] = value
            size = path.stat().st_size
        except (OSError, ValueError) as error:
            raise UsageError(f"{path}: cannot be read: {error}; copy it again, or leave it out") from None
        if events.read_to < size:
            raise UsageError(
                f"{path}: is cut off: byte {events.read_to} of {size} begins what has no end; copy it "
                "again, or leave the run out"
            )
    curves = {tag: tuple(sorted(pairs.items())) for tag, pairs in scalars.items()}
    values: dict[str, str | float] = {"run": name}
    for part in name.replace(",", "/").split("/"):
        key, sign, word = part.partition("=")
        if sign:
            values[key.strip()] = word.strip()
    for tag, pairs in curves.items():
        values.setdefault(tag, pairs[-1][1] if pairs else math.nan)
    return Run(str(top / name), values, lambda tag: curves.get(tag, ()))


def _named(path: Path, top: Path) -> Iterator[bytes]:
    yield path.relative_to(top).as_posix().encode()
    with path.open("rb") as file:
        yield hashlib.file_digest(file, "sha256").digest()
