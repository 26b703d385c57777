"""A report as a file of the user's choice."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator import __version__
from orchestrator.answer import publish
from orchestrator.answer.comparison.beside import with_others
from orchestrator.answer.report.chapter import chapter, drawn_trials
from orchestrator.answer.report.page import page
from orchestrator.answer.report.values import Chapter
from orchestrator.commands.request import Request
from orchestrator.commands.screen.grid import evaluations_text
from orchestrator.errors import UsageError, printable
from orchestrator.recording.bundle.layout import parts
from orchestrator.recording.bundle.selecting import sweep_words
from orchestrator.recording.bundle.sources import whole_sources
from orchestrator.recording.logs import tail
from orchestrator.records import TrialRecord, status_of

LOG_LINES, LOGS = 20, 200
TOLD = ("collapsed", "diverged", "failed", "stopped")
"""Statuses of trials whose logs say more than a table does."""


def write_report(requests: Sequence[Request], path: Path | None, *, beside: str | None = None) -> Path:
    """Write the report of these sweeps, with results of others if `beside` is "imported"; where it is.

    Raises:
        UsageError: the file cannot be written.
        StoreError: a store does not answer.
    """
    file = path or Path(f"{name_of(requests)}.html")
    with page_file(file, mark="orch report</title>") as write:
        chapters = [
            _chapter(one, f"{one.folder_name}-{number}", beside) for number, one in enumerate(requests, 1)
        ]
        write(page(chapters, version=__version__))
    return file


def made_by(request: Request) -> str:
    """What makes a sweep's results."""
    seeds = request.expansion.typed_seeds
    how: dict[str, Any] = {"profile": request.profile, "changes": request.changes}
    how |= {"seeds": None if seeds == request.spec.seed_list else seeds, "aim": request.expansion.aim}
    bundle = parts(request.file)  # which says how to go on
    return shlex.join(["orch", "import", str(bundle[0])] if bundle else sweep_words(request.file, **how))


def name_of(requests: Sequence[Request]) -> str:
    """What a page about them is called."""
    return requests[0].folder_name if len(requests) == 1 else "report"


@contextlib.contextmanager
def page_file(file: Path, *, mark: str) -> Iterator[Callable[[str], None]]:
    """What writes a page, whole or not at all, and over no other file than one with that mark.

    That it can be written is known first: to look at results takes long.
    """
    with _named(file):
        if file.exists() and not _has(file, mark):
            raise UsageError(f"{file}: is there already and is no report; choose another with --out")
        target = Path(os.path.realpath(file))  # a link stays one, also one such as /dev/stdout
        if target.is_symlink():
            raise UsageError(f"{file}: is a link that leads to itself; choose another with --out")
        part = target.with_name(f".{target.name[:200]}.{os.getpid()}.part")
        part.touch()

    def write(text: str) -> None:
        with _named(file):
            part.write_text(text, encoding="utf-8", errors="backslashreplace")  # of a file's name
            part.replace(target)

    try:
        yield write
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def _named(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}; choose another with --out") from None


def _has(file: Path, mark: str) -> bool:
    """Whether it is a file with that mark; a device would be read without an end."""
    if not file.is_file():
        return False
    with file.open("rb") as there:
        return mark.encode() in there.read(2000)


def _chapter(request: Request, anchor: str, beside: str | None) -> Chapter:
    others = request.others(beside)
    expansion, records = request.expansion, request.records()
    states = {one.id: status_of(records.get(one.id)) for one in request.trials}
    ended = {one.id: one.label for one in request.trials if states[one.id] in TOLD}
    first = sorted(ended, key=lambda i: states[i] != "failed")  # whose log matters most
    logs = {
        i: printable("\n".join(tail([(ended[i], path)], lines=LOG_LINES)), keep="\n\t")
        for i in first[:LOGS]
        if (path := request.space.log_of(i)) is not None
    }
    command = made_by(request)
    contents, name, _ = whole_sources(request.spec, request.file, trust=request.trust)
    problems: list[str] = []
    tables = publish.tables(expansion, records, problems) if expansion.spec.tables else []
    problems += _not_evaluated(request, records, command)
    return chapter(
        expansion,
        records,
        request.store().curves(drawn_trials(expansion)),
        tables=[with_others(one, others) for one in tables] if others else tables,
        problems=problems,
        anchor=anchor,
        command=command,
        source=contents[name].decode(),
        logs=logs,
        others=others,
    )


def _not_evaluated(request: Request, records: Mapping[str, TrialRecord], command: str) -> Iterator[str]:
    """How evaluations stand, where some are not there yet, and what makes those."""
    if request.spec.evaluations:
        found, plan = request.evaluation_plan(records)
        if plan.todo or any(found.waiting.values()):
            yield from evaluations_text(found, plan)
            yield f"`{command}` makes what is missing of them"
