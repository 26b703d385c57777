"""A sweep's tables and failures on standard output and standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from orchestrator.answer import formats, publish
from orchestrator.answer.comparison.beside import with_others
from orchestrator.answer.tables import Table
from orchestrator.commands.options import sayer
from orchestrator.commands.request import Request
from orchestrator.process.streams import ignoring_closed_pipes, room
from orchestrator.records import TrialRecord


class Shown(NamedTuple):
    """What became of a sweep's tables."""

    outside: int
    """Numbers outside their tolerance, or not there."""
    complete: bool
    """Whether every table could be made."""


def made_tables(
    request: Request,
    records: Mapping[str, TrialRecord],
    name: str | None,
    others: Sequence[TrialRecord] = (),
) -> tuple[list[Table], list[str]]:
    """The sweep's tables, or the one of that name, with results of `others` beside; why more cannot be made.

    Raises:
        UsageError: it has none, or none of that name.
    """
    problems: list[str] = []
    made = publish.tables(request.expansion, records, problems, name=name)
    return [with_others(one, others) for one in made] if others else made, problems


def print_tables(tables: Sequence[Table], problems: Sequence[str], form: str) -> Shown:
    """Print the tables in format `form`, and a line for each that cannot be made.

    Raises:
        UsageError: no such format.
        OSError: the disk is full.
    """
    events = map(formats.load("json").event, tables)
    if form == "text" and (within := room()) is not None:
        text = "\n".join(formats.load("text").write(one, within=within) for one in tables)
    else:
        text = "".join(events) if form == "event" else formats.written(form, tables)
    if form in ("event", "json") and not (sys.stdout.encoding or "").lower().startswith("utf"):
        text = "".join(c if c.isascii() else json.dumps(c)[1:-1] for c in text)  # a program reads the same
    with ignoring_closed_pipes(ignoring_full_disks=False):
        print(text, end="", flush=True)
    tell = sayer(silent=False)
    for problem in problems:
        tell(f"orch: {problem}")
    every = [part for one in tables for part in one.parts]
    outside = sum(one.verdicts["outside"] + one.verdicts["incomplete"] for one in every)
    outside += sum(one.prediction in ("fails", "incomplete") for one in every)
    outside += sum(expected.verdict == "does not hold" for one in every for expected in one.judged)
    return Shown(outside, complete=not problems)


def print_failures(lines: Sequence[str], request: Request) -> None:
    """Print a line for each trial or evaluation of a sweep that failed, and what to do next."""
    tell = sayer(silent=False)
    for line in lines:
        tell(f"orch: {line}")
    if lines:
        why, logs = (request.command(what, "ID") for what in ("why", "logs"))
        retry = request.filled("`orch retry`")
        tell(f"orch: `{why}` and `{logs}` tell more of each, {retry} runs them again")
