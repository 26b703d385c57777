"""Runs a sweep for a program: in lines of text, with Python's own interrupt, and without a table."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.answer import explain
from orchestrator.errors import Interrupted
from orchestrator.events import Event
from orchestrator.execution import drive
from orchestrator.execution.options import Options as Options
from orchestrator.execution.publishing import Answer
from orchestrator.execution.screen import LineDisplay, Listening
from orchestrator.planning.expand import Expansion
from orchestrator.planning.plan import Plan
from orchestrator.process.streams import to_stderr
from orchestrator.recording.workspace import Workspace


def run(
    expansion: Expansion,
    space: Workspace,
    options: Options,
    *,
    say: Callable[[str], None] | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Answer:
    """What a sweep came to, completed; `say` (or standard error) is told what a person should know.

    `on_event` is told what happens.

    Raises:
        KeyboardInterrupt: on a second Ctrl-C.
        OrchError: the sweep cannot be run.
    """
    told = say or to_stderr

    def screen(plan: Plan) -> Listening:
        return Listening(LineDisplay(plan, say=told), on_event)

    try:
        prepared = drive.prepare(expansion, space, options, say=told)
        answers: list[Answer] = []
        result = drive.sweep(prepared, say=told, show=answers.append, screen=screen)
    except Interrupted:
        raise KeyboardInterrupt from None
    for line in explain.failed(answers[-1].expansion.trials, result.records):
        told(line)
    if result.hopeless:
        told(f"stopped: {result.hopeless}; remove the cause, or go on with keep_going=True")
    return answers[-1]._replace(result=result)
