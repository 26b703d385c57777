"""What a person should know of a home's journals: what waits, what was set aside, what cannot be read."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from orchestrator.process.words import counted
from orchestrator.recording.journal import files as journal_files
from orchestrator.recording.journal.files import DAMAGED, REFUSED


def of_journals(root: Path, store: str, *, away: str | None = None) -> list[str]:
    """A line for each kind of thing below `root` that has not arrived in the store of that name, or may not.

    `away` says why the store does not answer, if it does not.
    """
    lines = []
    for folder in journal_files.folders(root):
        try:
            journal_files.header_of(folder)
        except journal_files.Unreadable as error:
            lines.append(str(error))
    by_store = journal_files.files_by_store(root)
    mine = by_store.pop(store, [])
    left = [path for path in mine if not path.name.endswith(journal_files.KEPT)]
    if left and away:
        own = store == journal_files.own_store(root)
        sync = shlex.join(
            ["orch", "sync", "--home", str(root.parent), *([] if own else ["--tracking-uri", store])]
        )
        lines.append(
            f"{counted(len(left), 'file')} in {root} wait for the tracker, which is away ({away}); "
            f"`{sync}` delivers them, and so does the next sweep"
        )
    for other, files in sorted(by_store.items()):
        if files:
            ended = other.partition(":")[0] == "memory"  # which had its journals here once
            way = "it ended with its process, and they may be deleted" if ended else "--tracking-uri names it"
            lines.append(f"{counted(len(files), 'file')} in {root} for {other}: {way}")
    if refused := set_aside(mine):
        lines.append(
            f"the store would not take {_named(refused)}; `orch sync` tries them again, and *{REFUSED} "
            "may be deleted"
        )
    if damaged := [path for path in mine if path.name.endswith(DAMAGED)]:
        lines.append(
            f"lines cannot be read of {_named(damaged)}; what could be read has arrived, and *{DAMAGED} may "
            "be deleted"
        )
    return lines


def set_aside(files: Sequence[Path]) -> list[Path]:
    """Those that the store would not take."""
    return [path for path in files if path.name.endswith(REFUSED)]


def _named(paths: Sequence[Path]) -> str:
    more = f" and {counted(len(paths) - 1, 'more file')}" if len(paths) > 1 else ""
    return f"{paths[0]}{more}"
