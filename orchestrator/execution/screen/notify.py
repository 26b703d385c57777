"""Tells a webhook that a sweep has ended, or that its first trial has failed; waited for at the end alone.

Whoever has the address may write there, so it is a secret: said is its host alone, and nothing keeps it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import SplitResult, urlsplit

from orchestrator.errors import ExecutionLost, StoreError, UsageError, printable
from orchestrator.events import Event, Finished
from orchestrator.execution.run import SweepResult
from orchestrator.execution.screen.lines import Listening, Make, Screen
from orchestrator.planning.expand import Expansion
from orchestrator.planning.plan import Plan
from orchestrator.process.secrets import WEBHOOK, without_secret
from orchestrator.process.words import counted

QUIET_S = 5.0
"""A webhook that says nothing for so long is given up ..."""
WEBHOOK_S = 10.0
"""... and one that says little after so long."""
Ended = Callable[[SweepResult, Expansion], SweepResult]


def address_from(given: str | None, source: str = "--notify") -> str | None:
    """The webhook that is given, or that the environment names; workers and scripts do not inherit it.

    Args:
        given: what a flag or an argument says; None: the environment counts.
        source: what that is called in messages.

    Raises:
        UsageError: it is no address of HTTP.
    """
    named = os.environ.pop(WEBHOOK, "").strip()
    source = WEBHOOK if given is None else source
    address = named if given is None else str(given).strip()
    if not address and given is None:
        return None
    parts = _parts(address)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or not address.isascii():
        raise UsageError(
            f"{source}: expected the address of a webhook, http://... or https://... (not shown)"
        )
    return address


@contextlib.contextmanager
def withheld(given: str | None) -> Iterator[str | None]:
    """The webhook that an argument `notify`, or the environment, names; inside, the environment is without.

    Raises:
        UsageError: it is no address of HTTP.
    """
    named = os.environ.get(WEBHOOK)
    try:
        yield address_from(given, "notify")
    finally:
        if named is not None:  # the next sweep of this process has it again
            os.environ[WEBHOOK] = named


def _parts(address: str) -> SplitResult | None:
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        return None
    return None if any(sign <= " " for sign in address) else parts


@contextlib.contextmanager
def told(
    address: str | None, plan: Plan, screen: Make, *, say: Callable[[str], None], trains: bool
) -> Iterator[tuple[Make, Ended]]:
    """Tell a webhook of the first failure, and of the end; of nothing unless the sweep `trains` or evaluates.

    Yields a screen that hears of failures, and what is given the result, and what the sweep asks for by
    then. What goes wrong is a line.
    """
    if address is None or not trains:
        yield screen, lambda result, asked: result
        return
    hook = _Webhook(address, plan, say)

    def ended(result: SweepResult, asked: Expansion) -> SweepResult:
        hook.end(result, asked)
        return result

    def made(some: Plan) -> Screen:
        hook.know(some)
        return Listening(screen(some), hook.on_event)

    try:
        yield made, ended
    except (StoreError, ExecutionLost) as error:
        hook.post("stopped", without_secret(str(error))[:300])
        raise
    finally:
        hook.close()


class _Webhook:
    """Posts in threads of its own."""

    def __init__(self, address: str, plan: Plan, say: Callable[[str], None]) -> None:
        self._address, self._plan, self._say = address, plan, say
        self._host = str(urlsplit(address).hostname)
        self._labels: dict[str, str] = {}
        self._posting: list[tuple[threading.Thread, list[str]]] = []
        self._trained = Counter[str]()

    def know(self, plan: Plan) -> None:
        """What is trained of a plan has these labels."""
        self._labels |= {trial.id: trial.label for trial in plan.todo}

    def on_event(self, event: Event) -> None:
        """Something happened to a trial."""
        if not isinstance(event, Finished):
            return
        self._trained[event.outcome.status] += 1
        if event.outcome.status == "failed" and self._trained["failed"] == 1:
            label, reason = self._labels.get(event.trial_id, event.trial_id), event.outcome.reason
            self.post("failure", f"{label} failed: {reason}", trial=event.trial_id)

    def end(self, result: SweepResult, asked: Expansion) -> None:
        """Nothing more is trained."""
        self._trained = result.trained
        states = sorted(result.trained.items())
        trained = ", ".join(f"{number} {status}" for status, number in states) or "nothing trained"
        search, there = asked.spec.searches, result.records
        done = sum(one.id in there and there[one.id].counts(search=search) for one in asked.trials)
        kind = "stopped" if result.interrupted or result.hopeless else "end"
        text = f"{trained}; {done} of {counted(len(asked.trials), 'trial')} done"
        self.post(kind, text, hopeless=result.hopeless)

    def post(self, kind: str, text: str, **more: Any) -> None:
        """Send it, in a thread of its own."""
        spec, profile = self._plan.expansion.spec, self._plan.expansion.setting
        words = printable(f"{spec.name}: {text}")
        trained = dict(sorted(self._trained.items()))
        body = {"event": kind, "sweep": spec.name, "profile": profile, "text": words}
        body |= {"trained": trained} | more
        answer: list[str] = []
        thread = threading.Thread(
            target=_post,
            args=(self._address, json.dumps(body).encode(), answer),
            daemon=True,
            name="orch-notify",
        )
        thread.start()
        self._posting.append((thread, answer))

    def close(self) -> None:
        """Wait a little for what was sent, and say what became of it."""
        until = time.monotonic() + WEBHOOK_S
        for thread, _ in self._posting:
            thread.join(max(0.0, until - time.monotonic()))
        answers = [
            answer[0] if answer else f"did not answer within {WEBHOOK_S:g} s" for _, answer in self._posting
        ]
        if wrong := next((one for one in answers if one), None):
            self._say(f"orch: {self._host} was not notified: {wrong}; the sweep is as it would be without")
        elif answers:
            self._say(f"notified {self._host}")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Another address is another secret, and nobody has given us that."""

    def redirect_request(self, *given: Any) -> None:
        """Go nowhere else."""


def _post(address: str, body: bytes, answer: list[str]) -> None:
    """Post it; why that failed, or nothing, is added to `answer`, without a word of the address."""
    try:
        head = {"Content-Type": "application/json", "User-Agent": "orch"}
        request = urllib.request.Request(address, body, head, method="POST")
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=QUIET_S):
            answer.append("")
    except urllib.error.HTTPError as error:
        answer.append(f"it answered {error.code}")
    except urllib.error.URLError as error:
        cause = error.reason
        answer.append(str(getattr(cause, "strerror", None) or type(cause).__name__))
    except (OSError, http.client.HTTPException, ValueError) as error:
        answer.append("it said nothing for long" if isinstance(error, TimeoutError) else type(error).__name__)
