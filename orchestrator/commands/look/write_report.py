"""A report as a file of the user's choice."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from orchestrator import __version__
from orchestrator.answer.report.chapter import chapter, drawn_trials
from orchestrator.answer.report.page import page
from orchestrator.answer.report.values import Chapter
from orchestrator.commands.request import Request
from orchestrator.errors import UsageError
from orchestrator.recording.bundle.sources import whole_sources
from orchestrator.recording.logs import tail

LOG_LINES = 20


def write_report(requests: Sequence[Request], path: Path | None) -> Path:
    """Write the report of these sweeps; where it is.

    Raises:
        UsageError: the file cannot be written.
        StoreError: a store does not answer.
    """
    chapters = [_chapter(one, f"{one.folder_name}-{number}") for number, one in enumerate(requests, 1)]
    file = path or Path(f"{requests[0].folder_name if len(requests) == 1 else 'report'}.html")
    try:
        file.write_text(page(chapters, version=__version__), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}; choose another with --out") from None
    return file


def _chapter(request: Request, anchor: str) -> Chapter:
    expansion, records = request.expansion, request.records()
    failed = {one.id: one.label for one in request.trials if one.id in records and records[one.id].error}
    logs = {
        i: "\n".join(tail([(label, path)], lines=LOG_LINES))
        for i, label in failed.items()
        if (path := request.space.log_of(i)) is not None
    }
    contents, name, _ = whole_sources(request.spec, request.file, trust=request.trust)
    return chapter(
        expansion,
        records,
        request.store().curves(drawn_trials(expansion)),
        anchor=anchor,
        command=shlex.join(["orch", "sweep", str(request.file), *request.typed]),
        source=contents[name].decode(),
        logs=logs,
    )
