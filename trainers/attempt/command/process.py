"""The process of a command: started, listened to, and ended with all that it has started."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from trainers.attempt.command.output import Output

GRACE_S = 10.0
"""Between SIGTERM, which asks a command to end, and SIGKILL, which ends it."""
REPORT_LOOK_S = 0.2  # between two looks at what it has reported
PIECE = 1 << 16
DRAIN_S = 2.0  # in which what it has printed last must have been read
_KEEPER = Path(__file__).with_name("keeper.py")


class Ending(NamedTuple):
    """How a command ended."""

    code: int = 0
    """Its exit code; negative: the number of the signal that ended it."""
    error: str = ""
    """Why it could not be run; empty: it was."""
    late: bool = False
    """Whether it ran longer than it may."""


def run(
    words: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
    output: Output,
    look: Callable[[], None],
    temporary: Path | None = None,
    limit_s: float | None = None,
    grace_s: float = GRACE_S,
) -> Ending:
    """Run a command to its end; nothing that it has started lives longer, nor than this process.

    Args:
        words: the command.
        environment: all of its variables.
        folder: its working folder.
        output: is given what it prints.
        look: is called again and again; what it raises ends the command first.
        temporary: a folder that is removed if this process is killed.
        limit_s: seconds after which it is ended.
        grace_s: between SIGTERM and SIGKILL.
    """
    keeper = subprocess.Popen(
        [sys.executable, "-I", "-S", str(_KEEPER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,  # neither a terminal's Ctrl-C nor the end of a session of Ray's reaches it
    )
    with _Talk(keeper, output) as talk:
        job: dict[str, object] = {
            "words": list(words),
            "environment": dict(environment),
            "folder": str(folder),
        }
        job |= {"grace_s": grace_s, "temporary": str(temporary) if temporary else None}
        talk.say(json.dumps(job).encode() + b"\n")
        deadline = time.monotonic() + limit_s if limit_s is not None else float("inf")
        late, next_look = False, 0.0
        try:
            while talk.ending is None:
                talk.listen(REPORT_LOOK_S)
                if time.monotonic() > next_look:
                    next_look = time.monotonic() + REPORT_LOOK_S
                    look()
                if not late and time.monotonic() > deadline:
                    late = True
                    talk.say(b"stop")
                if time.monotonic() > deadline + grace_s + DRAIN_S:  # a keeper that is stopped ends nothing
                    talk.kill()
            talk.drain()
        except Exception:
            talk.stop(grace_s)
            raise
        except BaseException as error:  # a schedule's end is orderly, Ctrl-C is not
            talk.stop(0.0 if isinstance(error, KeyboardInterrupt) else grace_s)
            raise
        return talk.ending._replace(late=late)


class _Talk:
    """What is said to a keeper, and heard of it."""

    def __init__(self, keeper: subprocess.Popen[bytes], output: Output) -> None:
        assert keeper.stdin and keeper.stdout and keeper.stderr
        self.keeper, self.output = keeper, output
        self.ending: Ending | None = None
        self._told, self._printed = keeper.stdout.fileno(), keeper.stderr.fileno()
        self._heard = b""
        self._pid: int | None = None
        self._selector = selectors.DefaultSelector()
        for number in (self._told, self._printed):
            self._selector.register(number, selectors.EVENT_READ)

    def __enter__(self) -> _Talk:
        return self

    def __exit__(self, *_: object) -> None:
        """A keeper whose pipe is closed ends the command, and then itself."""
        for stream in (self.keeper.stdin, self.keeper.stdout, self.keeper.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._selector.close()
        try:
            self.keeper.wait(5 * DRAIN_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def say(self, line: bytes) -> None:
        """Tell the keeper; one that is dead is heard of by `listen`."""
        assert self.keeper.stdin
        with contextlib.suppress(BrokenPipeError):
            self.keeper.stdin.write(line)

    def listen(self, wait_s: float) -> None:
        """Take in what is there within `wait_s`."""
        for key, _ in self._selector.select(wait_s):
            piece = os.read(key.fd, PIECE)
            if not piece:
                self._selector.unregister(key.fd)
            elif key.fd == self._printed:
                self.output.take(piece)
            else:
                self._heard += piece
            if key.fd == self._told:
                self._understand(is_over=not piece)

    def drain(self) -> None:
        """Take in what the command has printed last."""
        deadline = time.monotonic() + DRAIN_S
        while self._printed in self._selector.get_map() and time.monotonic() < deadline:
            self.listen(REPORT_LOOK_S)

    def stop(self, grace_s: float) -> None:
        """Ask the command to end, and end it."""
        if self.ending is None and grace_s:
            self.say(b"stop")
            deadline = time.monotonic() + grace_s + DRAIN_S
            while self.ending is None and time.monotonic() < deadline:
                self.listen(REPORT_LOOK_S)
        if self.ending is not None:
            self.drain()

    def kill(self) -> None:
        """End the keeper and the command's group of processes at once."""
        self.keeper.kill()
        self.keeper.wait()
        if self._pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, signal.SIGKILL)
        self.ending = self.ending or Ending(error="what keeps its process did not answer, and was killed")

    def _understand(self, *, is_over: bool) -> None:
        *lines, self._heard = self._heard.split(b"\n")
        for line in lines:
            told = json.loads(line)
            if "pid" in told:
                self._pid = told["pid"]
            elif "code" in told:
                self.ending = Ending(code=told["code"])
            elif "error" in told:
                self.ending = Ending(error=told["error"])
        if is_over and self.ending is None:
            self.ending = Ending(error="what keeps its process was killed")
            self.kill()


def signal_name(number: int) -> str:
    """A signal's name."""
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
