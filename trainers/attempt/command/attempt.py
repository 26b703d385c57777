"""The folders, words and variables of one attempt at a command."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.attempt.checkpoint import STATE
from trainers.attempt.command.csv_file import Csv
from trainers.attempt.command.numbers import Reader, ReportError
from trainers.attempt.command.readers import EventFiles, JsonLines, Printed, Tracked
from trainers.attempt.command.words import ALL, filled, one_word
from trainers.attempt.folders import Folder, StorageError
from trainers.config.base import Runtime, flat

if TYPE_CHECKING:
    from trainers.loops.command import Config

OUT, LOG = "out", "output.log"
"""Names in a trial's folder: of what {folder} is, and of the file of what was printed."""
PYTHON = ("python", "python3")


class Attempt:
    """Where and how a command is run this time; inside, its folders are there.

    `working` has its files, and goes when the attempt ends. `folder` and `checkpoints` stay for the next
    attempt; the checkpoints go when the trial has a result, as those of any trainer do. On S3, nothing of
    them is kept.
    """

    def __init__(self, config: Config, runtime: Runtime, folder: Folder | None) -> None:
        self.config, self.runtime = config, runtime
        self._given = folder.absolute() if isinstance(folder, Path) else None
        self._after = contextlib.ExitStack()

    def __enter__(self) -> Attempt:
        """Make the folders.

        Raises:
            StorageError: the disk is full, or they cannot be written.
        """
        try:
            made = tempfile.TemporaryDirectory(prefix="orch-command-", ignore_cleanup_errors=True)
            self.temporary = Path(self._after.enter_context(made))
            trial = self._given or self.temporary
            state = trial / STATE
            self.folder, self.checkpoints = trial / OUT, state / "checkpoints"
            self._state, self.log = state, trial / LOG
            self.number = _number(state / "attempts")
            # Kept beside the checkpoints: a script that goes on from one has reported what was before it.
            self.report, self.history = self._told(self.number)
            if (
                self.number == 1
            ):  # what is there is of a trial that was trained before, and is to be trained anew
                for former in (state, self.folder):
                    shutil.rmtree(former, ignore_errors=True)
                self.log.unlink(missing_ok=True)
            self.working = self.temporary / "work" / "files"
            for own in (self.folder, self.checkpoints, self.working):
                own.mkdir(parents=True, exist_ok=True)
            counted = state / "attempts.part"  # whole or not there, also when the disk is full
            counted.write_text(str(self.number), encoding="ascii")
            counted.replace(state / "attempts")
            self.config.files.lay_out(self.working)
        except OSError as error:
            self._after.close()
            raise StorageError(
                f"{error.filename or self._given}: {error.strerror or error}; free some space"
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing that is empty."""
        with contextlib.suppress(OSError):
            if self.log.exists() and not self.log.stat().st_size:
                self.log.unlink()
            self.folder.rmdir()
        self._after.close()

    def past(self) -> dict[int, dict[str, float]]:
        """Numbers by epoch that former attempts have told; each replaces those from its first epoch on."""
        past: dict[int, dict[str, float]] = {}
        for number in range(1, self.number):
            own: dict[int, dict[str, float]] = {}
            for path in reversed(self._told(number)):
                with contextlib.suppress(ReportError, OSError):
                    for epoch, numbers in JsonLines(path).new(is_over=True):
                        if epoch is not None:
                            finite = {name: value for name, value in numbers.items() if math.isfinite(value)}
                            own[epoch] = own.get(epoch, {}) | finite
            if own:
                past = {epoch: past[epoch] for epoch in past if epoch < min(own)} | own
        return past

    def _told(self, number: int) -> tuple[Path, Path]:
        """What an attempt reported itself, and all that was taken in of it."""
        return self._state / f"report-{number}.jsonl", self._state / f"history-{number}.jsonl"

    @property
    def words(self) -> list[str]:
        """The command."""
        first, *others = filled(self.config.run, self._values)
        return [sys.executable if first in PYTHON else first, *others]

    @property
    def environment(self) -> dict[str, str]:
        """Its variables: those of this process, and what it should know."""
        own = {
            "ORCH_REPORT": str(self.report),
            "ORCH_FOLDER": str(self.folder),
            "ORCH_CHECKPOINTS": str(self.checkpoints),
            "ORCH_ATTEMPT": str(self.number),
            "ORCH_SEED": str(self.config.seed),
            "ORCH_DEVICE": self.runtime.device,
            "OMP_NUM_THREADS": str(self.runtime.threads),
            "PYTHONUNBUFFERED": "1",  # what it prints is read while it runs
            "PATH": search_path(),
            "PYTHONPATH": _python_path(),
        }
        if self.config.limit is not None:
            own["ORCH_DEADLINE"] = f"{time.time() + 60 * self.config.limit:.0f}"
        if self.runtime.device == "cpu":
            own["CUDA_VISIBLE_DEVICES"] = ""
        if self.config.reads.mlflow:
            own["MLFLOW_TRACKING_URI"] = f"sqlite:///{self._tracked}"
        given = {name: one_word(word, self._values) for name, word in self.config.env.items()}
        around = {name: value for name, value in os.environ.items() if name != "ORCH_DEADLINE"}  # another's
        return {**around, **own, **{name: word for name, word in given.items() if word is not None}}

    def readers(self) -> tuple[list[Reader], Callable[[str], None] | None]:
        """What reads its numbers, and what is told each line that it prints."""
        reads = self.config.reads
        found: list[Reader] = [JsonLines(self.report)]
        printed = Printed(reads.stdout) if reads.stdout else None
        if printed:
            found.append(printed)
        if reads.csv:
            found.append(Csv(self._path(reads.csv)))
        if reads.tensorboard:
            found.append(EventFiles(self._path(reads.tensorboard)))
        if reads.mlflow:
            found.append(Tracked(self._tracked))
        return found, printed.take if printed else None

    @property
    def _tracked(self) -> Path:
        return self.temporary / "mlflow.db"

    def _path(self, text: str) -> Path:
        return self.working / (one_word(text, self._values) or "")

    @property
    def _values(self) -> dict[str, Any]:
        config, runtime = self.config, self.runtime
        data = runtime.data_root or Path(os.environ.get("ORCH_DATA", "data"))
        return {
            **dict(flat(config.params)),
            ALL: config.params,
            "seed": config.seed,
            "epochs": config.epochs,
            "folder": str(self.folder),
            "checkpoints": str(self.checkpoints),
            "data": str(data.absolute()),
            "device": runtime.device,
            "gpus": _gpus(runtime),
            "threads": runtime.threads,
        }


def search_path() -> str:
    """Where its program is looked for: first beside this Python."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


def _number(counter: Path) -> int:
    """Of this attempt: one more than were made before."""
    try:
        return int(counter.read_text(encoding="ascii")) + 1
    except FileNotFoundError:
        return 1
    except (OSError, ValueError):  # it is damaged, and its checkpoints are not
        told = (path.stem.rpartition("-")[2] for path in counter.parent.glob("report-*.jsonl"))
        return 1 + max((int(number) for number in told if number.isdecimal()), default=1)


def _gpus(runtime: Runtime) -> int:
    """GPUs that the command has: those that are shown to it, as far as they are counted."""
    if runtime.device == "cpu":
        return 0
    return max(1, int(runtime.gpus))


def _python_path() -> str:
    """Python's own, and where this package lies if it is not installed, for scripts that import it."""
    root, there = Path(__file__).parents[3], os.environ.get("PYTHONPATH", "")
    if root.name in ("site-packages", "dist-packages"):
        return there
    return os.pathsep.join(filter(None, (there, str(root))))
