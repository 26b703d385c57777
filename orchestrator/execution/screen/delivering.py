"""Delivers what waits for one mirror: a process each time, and what it tells.

A result that the mirror does not take holds up no other: it is tried last, a few times, and then waits for
the next command.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from orchestrator.execution.screen import mirrors
from orchestrator.execution.screen.mirrors import base
from orchestrator.process.secrets import passed_on
from orchestrator.process.words import counted

QUIET_S = 120.0
"""A delivery that shows nothing for so long is ended."""
ROW = 3
"""The mirror itself is given up for now when it has not taken so many trials, and none between them."""

LATE = "it did not end in time"


class Delivery:
    """What waits for one mirror, on its way."""

    def __init__(self, name: str, folder: Path) -> None:
        """The mirror of that name, whose files are in `folder`."""
        self.name, self.folder = name, folder
        self.problem = ""
        """Why nothing is delivered any more, for now."""
        self.shown = 0
        """How many results were shown."""
        self._why = dict[str, str]()  # of what was not taken, by trial
        self._tries, self._row, self._signs, self._trying = Counter[str](), set[str](), 0, ""
        self._child: subprocess.Popen[bytes] | None = None

    def give_up(self, why: str) -> None:
        """Deliver nothing any more, for now; the first reason is the one that is told."""
        self.problem = self.problem or why

    def deliver(self, until: float = math.inf) -> None:
        """Show what waits, in a process of its own, which is ended when the clock has come to `until`."""
        try:
            self._deliver(until)
        except OSError as error:  # a full disk, say, or no room for a process
            self.give_up(f"{type(error).__name__}: {error}")

    def drain(self, until: float = math.inf) -> None:
        """Show what waits until everything was tried, or the clock has come to `until`."""
        while not self.problem and base.waiting(self.folder):
            signs = self._signs
            self.deliver(until)
            untried = [path for path in base.waiting(self.folder) if path.stem not in self._tries]
            if not untried or self._signs == signs:  # such as when another driver's process does it
                return

    def end(self) -> None:
        """End a delivery that still runs."""
        if self._child is not None:
            _ended(self._child)

    def told(self, sweeps: Iterable[str]) -> Iterator[str]:
        """What became of it, in a line or two; `sweeps` are those whose results it is about."""
        if self.shown:
            found = {mirrors.load(self.name).where(self.folder, sweep): None for sweep in sweeps}
            yield f"mirrored {counted(self.shown, 'trial')} in {self.name}: {' and '.join(found)}"
        left = base.waiting(self.folder)
        if self.problem or left:
            ids = [path.stem for path in left]
            faults = [f"trial {one}: {self._why[one]}" for one in ids if one in self._why]
            why = " ".join((self.problem or next(iter(faults), "stopped")).split())[:300]
            waits = f"{counted(len(left), 'result')} wait{'s' * (len(left) == 1)} in {self.folder}"
            yield f"orch: mirror {self.name}: {why}; {waits}, for the same command"

    def _deliver(self, until: float) -> None:
        words = [sys.executable, "-P", "-m", mirrors.__name__, self.name, str(self.folder)]
        with contextlib.ExitStack() as after:
            log = after.enter_context((self.folder / "log.txt").open("ab"))
            self._child = child = subprocess.Popen(
                [*words, json.dumps(self._tries)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                env=passed_on(),
            )
            heard = threading.Thread(target=self._hear, args=(child,), daemon=True)
            after.callback(heard.join, 5.0)
            after.callback(_ended, child)  # first, for that ends what is heard
            heard.start()
            signs, since = self._signs, time.monotonic()
            while heard.is_alive():
                heard.join(0.1)
                if self._signs > signs:
                    signs, since = self._signs, time.monotonic()
                if self.problem:
                    return
                if time.monotonic() > until:
                    self.problem = LATE
                    return
                if time.monotonic() - since > QUIET_S:
                    self._not_taken(f"it shows nothing for {QUIET_S:.0f} s")
                    return
            with contextlib.suppress(subprocess.TimeoutExpired):
                if child.wait(5.0) and not self.problem:
                    self._not_taken(f"its process ended with {child.returncode}")

    def _hear(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdout is not None
        with child.stdout:
            for line in child.stdout:
                with contextlib.suppress(ValueError):
                    self._take(json.loads(line))

    def _take(self, told: Any) -> None:
        """What the process says of a trial, or of the mirror."""
        self._signs += 1
        match told:
            case {"trying": str(trial)}:
                self._trying = trial
            case {"shown": str()}:
                self.shown += 1
                self._row, self._trying = set(), ""
            case {"going": str()}:
                self._row, self._trying = set(), ""
            case {"failed": str(why)}:
                self._not_taken(why)
            case {"error": str(why)}:
                self.problem = why

    def _not_taken(self, why: str) -> None:
        """What was just tried was not shown, or nothing can be."""
        trial, self._trying = self._trying, ""
        if trial:
            self._why[trial] = why
            self._tries[trial] += 1
            self._row.add(trial)
        if not trial or len(self._row) >= ROW:
            self.problem = why


def _ended(child: subprocess.Popen[bytes]) -> None:
    """End a process with everything that it has started."""
    if child.poll() is None:
        with contextlib.suppress(OSError):
            os.killpg(child.pid, signal.SIGKILL)
    child.wait()
