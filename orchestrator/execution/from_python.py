"""Runs a sweep for a program: in lines of text, with Python's own interrupt, and without a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator.errors import Interrupted, reworded
from orchestrator.events import Event
from orchestrator.execution import drive
from orchestrator.execution.options import Options
from orchestrator.execution.publishing import Answer
from orchestrator.execution.screen import notify as webhook
from orchestrator.execution.screen import suggested
from orchestrator.execution.screen.lines import LineDisplay, Listening
from orchestrator.planning.expand import Expansion
from orchestrator.planning.plan import Plan
from orchestrator.process.streams import to_stderr
from orchestrator.recording.workspace import Workspace


def run(
    expansion: Expansion,
    space: Workspace,
    typed: suggested.Typed | None = None,
    *,
    say: Callable[[str], None] | None = None,
    on_event: Callable[[Event], None] | None = None,
    notify: str | None = None,
    **how: Any,
) -> Answer:
    """What a sweep came to, completed as `Options` of these fields say.

    Told what a person should know is `say` (or standard error), what happens to trials `on_event`, and the
    end, or the first failure, the webhook `notify`. Commands that are suggested are as `typed` about the
    sweep's file; None: it was built in Python.

    Raises:
        KeyboardInterrupt: on a second Ctrl-C.
        OrchError: the sweep cannot be run.
    """
    uri = space.store_at.text if space.store_from == "--tracking-uri" else None
    about = typed or suggested.typed("", {"home": space.home, "tracking_uri": uri})

    def filled(line: str) -> str:
        return about.filled(line, seeds=expansion.every_seed)

    def told(line: str) -> None:
        (say or to_stderr)(filled(line))

    def screen(plan: Plan) -> Listening:
        return Listening(LineDisplay(plan, say=told), on_event)

    try:
        with reworded(filled), webhook.withheld(notify) as address:
            prepared = drive.prepare(expansion, space, Options(**how), say=told)
            answers: list[Answer] = []
            hook = webhook.told(address, prepared.plan, screen, say=told, trains=prepared.trains)
            with hook as (shown, ended):
                result = drive.sweep(prepared, say=told, show=answers.append, screen=shown)
                result = ended(result, answers[-1].expansion)
    except Interrupted:
        raise KeyboardInterrupt from None
    for line in answers[-1].failures:
        told(line)
    if result.hopeless:
        told(f"stopped: {result.hopeless}; remove the cause, or go on with keep_going=True")
    return answers[-1]._replace(result=result)
