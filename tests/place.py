"""A folder with a sweep file, where commands run as a user types them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from typer.testing import CliRunner

from orchestrator.commands.app import app
from orchestrator.events import Event, Progressed, Started
from orchestrator.process.signals import STOPPING
from tests.builders import table_yaml

FIGURES = "figures:\n  - {kind: eigenspace}\n"


class Done(NamedTuple):
    """What a command said."""

    stdout: str
    stderr: str


class Place:
    """A folder with a sweep file, where commands run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write(table_yaml() + FIGURES)

    def write(self, text: str, name: str = "sweep.yaml") -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def orch(self, *words: str, code: int = 0, **environment: str) -> Done:
        """A command in this process: importing torch, MLflow and matplotlib anew takes seconds."""
        with contextlib.chdir(self.folder), warnings.catch_warnings(), own_signals():
            warnings.simplefilter("default")  # as in a process of its own
            done = CliRunner().invoke(app, words, env=environment, prog_name="orch")
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
        assert done.exit_code == code, done.output
        assert "Traceback" not in done.stderr
        return Done(done.stdout, done.stderr)

    def process(self, *words: str, code: int = 0, **environment: str) -> Done:
        """A command in a process of its own."""
        done = subprocess.run(
            typed(*words),
            cwd=self.folder,
            capture_output=True,
            text=True,
            env=os.environ | environment,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return Done(done.stdout, done.stderr)


def typed(*words: str) -> list[str]:
    """The command line of `orch` in a process of its own."""
    return [sys.executable, "-m", "orchestrator", *words]


@contextlib.contextmanager
def own_signals() -> Iterator[None]:
    """Inside, a command may do with this process's signals as it likes, as one that ends does."""
    before = {number: signal.getsignal(number) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def losing_the_first_worker(file: Path) -> tuple[list[Started], Callable[[Event], None]]:
    """The attempts that are heard of by what is returned with them, which kills the first one's worker.

    That is after its third epoch; `file` is removed before, for what trains has all that it needs.
    """
    attempts = list[Started]()

    def hear(event: Event) -> None:
        file.unlink(missing_ok=True)
        if isinstance(event, Started):
            attempts.append(event)
        if isinstance(event, Progressed) and event.report.epoch == 3 and len(attempts) == 1:
            os.kill(int(str(attempts[0].worker).rpartition(":")[2]), signal.SIGKILL)

    return attempts, hear
