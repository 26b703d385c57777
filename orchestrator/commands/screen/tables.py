"""A sweep's tables and failures on standard output and standard error."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import NamedTuple

from orchestrator.answer import explain, formats
from orchestrator.answer import publish as answer
from orchestrator.commands.request import Request
from orchestrator.process.streams import ignoring_closed_pipes
from orchestrator.records import TrialRecord


class Shown(NamedTuple):
    """What became of a sweep's tables."""

    outside: int
    """Numbers outside their tolerance, or not there."""
    complete: bool
    """Whether every table could be made."""


def tables(
    asked: Request,
    records: Mapping[str, TrialRecord],
    form: str,
    name: str | None,
    *,
    required: bool = False,
) -> Shown:
    """Print the tables in format `form`, and a line for each that cannot be made.

    Raises:
        UsageError: no such format or table, or none at all where one is `required`.
    """
    write = formats.load("json").event if form == "event" else formats.load(form).write
    if not required and not asked.spec.tables:
        return Shown(0, complete=True)
    problems: list[str] = []
    made = answer.tables(asked.expansion, records, problems, name=name)
    with ignoring_closed_pipes():
        print("\n".join(map(write, made)), end="", flush=True)
    with ignoring_closed_pipes():
        for problem in problems:
            print(f"orch: {problem}", file=sys.stderr)
    outside = sum(one.verdicts["outside"] + one.verdicts["incomplete"] for one in made)
    outside += sum(one.prediction in ("fails", "incomplete") for one in made)
    return Shown(outside, complete=not problems)


def failures(asked: Request, records: Mapping[str, TrialRecord]) -> None:
    """Print a line for each trial that failed, with its cause, and what to do next."""
    lines = list(explain.failed(asked.trials, records))
    with ignoring_closed_pipes():
        for line in lines:
            print(f"orch: {line}", file=sys.stderr)
        if lines:
            print("orch: `orch why SPEC CELL` and `orch logs SPEC CELL` tell more of each", file=sys.stderr)
