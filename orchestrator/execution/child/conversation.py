"""What a child says, waited for with a bound and a word; and a question to a child of its own."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from orchestrator.errors import ExecutionError, ExecutionLost, Interrupted
from orchestrator.execution.child.messages import Answer, Doing, Ended, FromChild, Job, Said
from orchestrator.execution.child.process import COMMAND, Child, ChildLost
from orchestrator.process.scratch import scratch_folder
from orchestrator.process.signals import stop_signals
from orchestrator.process.waiting import WORD_S

LISTEN_S = 0.5  # at most so long a signal waits for its answer
BEGIN_S = 60.0  # in which a child must have said its first word


class Conversation:
    """What a child says."""

    def __init__(self, child: Child, *, say: Callable[[str], None]) -> None:
        """Listen to `child`; `say` is told what it says to a person, and what is waited for."""
        self.child, self._say = child, say
        self._doing = Doing("starting a process", BEGIN_S)
        self._since, self._silent_s, self._is_told = time.monotonic(), 0.0, False

    def next(self) -> FromChild | None:
        """The next message that is not for a person, or None after a moment.

        Raises:
            ChildLost: the child is dead, or hangs.
        """
        begun = time.monotonic()
        message = self.child.listen(LISTEN_S)
        if message is None:
            # Only waiting counts: a driver that was suspended itself has not waited.
            self._silent_s += min(time.monotonic() - begun, 2 * LISTEN_S)
            if self._silent_s > self._doing.limit_s:
                doing = f" while {self._doing.what}" if self._doing.what else ""
                raise ChildLost(f"it has not said a word for {self._silent_s:.0f} s{doing}")
        else:
            self._silent_s = 0.0
        if isinstance(message, Doing):
            if message.what != self._doing.what:
                self._since, self._is_told = time.monotonic(), False
            self._doing = message
        elif isinstance(message, Said):
            self._say(message.text)
        elif message is not None:
            return message
        if self._doing.what and not self._is_told and time.monotonic() - self._since > WORD_S:
            self._is_told = True
            self._say(f"{self._doing.what} …")
        return None


def ask(job: Job, *, say: Callable[[str], None], command: Sequence[str] = COMMAND) -> object:
    """What a child answers to `job`.

    Args:
        job: what it is asked.
        say: is told what a person should know.
        command: what is started; for tests.

    Raises:
        Interrupted: the user does not want to wait.
        ExecutionError: it cannot be done as asked.
        ExecutionLost: the child died.
    """
    kept = ""
    try:
        with scratch_folder() as scratch:
            log = scratch / "child.log"
            try:
                return _answer(job, log, say, command)
            except (ChildLost, ExecutionLost):
                kept = _kept(log)
                raise
    except (ChildLost, ExecutionLost, OSError) as error:
        raise ExecutionLost(
            f"the process that asks the cluster was lost: {getattr(error, 'reason', error)}{kept}",
            "look whether the cluster is there, and ask again",
        ) from None


def _answer(job: Job, log: Path, say: Callable[[str], None], command: Sequence[str]) -> object:
    with contextlib.ExitStack() as after:
        stop = after.enter_context(stop_signals())
        after.enter_context(stop.polled())
        after.enter_context(stop.answered("stopping; the cluster may still do what it was asked"))
        child = Child(job, log=log, command=command, environment={"TMPDIR": str(log.parent)})
        after.callback(child.end)
        talk, answer = Conversation(child, say=say), None
        while True:
            if stop.requested:
                raise Interrupted
            try:
                message = talk.next()
            except ChildLost:
                if answer is None:
                    raise
                return answer.value
            if isinstance(message, Answer):
                answer = message
            elif isinstance(message, Ended):
                raise_unless_complete(message)
                return None if answer is None else answer.value


def _kept(log: Path) -> str:
    """Where a copy of `log` is, for a person; empty if nothing is in it."""
    if not log.exists() or not log.stat().st_size:
        return ""
    number, name = tempfile.mkstemp(prefix="orch-ray-", suffix=".log")
    with open(number, "wb") as copy:
        copy.write(log.read_bytes())
    return f"; its log: {name}"


def raise_unless_complete(ended: Ended) -> None:
    """Raise what the end of a child means.

    Raises:
        Interrupted: it was asked to stop.
        ExecutionError: it cannot do what it was asked.
        ExecutionLost: what it needs has died.
    """
    match ended.how:
        case "interrupted":
            raise Interrupted
        case "refused":
            raise ExecutionError(ended.reason, ended.next_step)
        case "lost":
            raise ExecutionLost(ended.reason, ended.next_step)
