"""A report as a file of the user's choice."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

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
    chapters = [
        _chapter(one, f"{one.folder_name}-{number}", beside) for number, one in enumerate(requests, 1)
    ]
    file = path or Path(f"{requests[0].folder_name if len(requests) == 1 else 'report'}.html")
    try:
        if file.exists() and b"orch report</title>" not in file.read_bytes()[:2000]:
            raise UsageError(f"{file}: is there already and is no report; choose another with --out")
        part = file.with_name(f".{file.name[:200]}.{os.getpid()}.part")
        part.write_text(page(chapters, version=__version__), encoding="utf-8")
        part.replace(file)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}; choose another with --out") from None
    return file


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
    if parts(request.file) is None:
        words = sweep_words(
            request.file,
            profile=expansion.profile,
            seeds=expansion.typed_seeds,
            changes=request.changes,
            aim=expansion.aim,
        )
    else:  # which says how to go on
        words = ["orch", "import", str(request.file)]
    contents, name, _ = whole_sources(request.spec, request.file, trust=request.trust)
    problems: list[str] = []
    tables = publish.tables(expansion, records, problems) if expansion.spec.tables else []
    problems += _not_evaluated(request, records, shlex.join(words))
    return chapter(
        expansion,
        records,
        request.store().curves(drawn_trials(expansion)),
        tables=[with_others(one, expansion, others) for one in tables] if others else tables,
        problems=problems,
        anchor=anchor,
        command=shlex.join(words),
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
