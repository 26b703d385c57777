"""Whether installed code that this process has imported is still what lies on the disk."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from trainers.config.code import File, normalised
from trainers.config.files import PluginError, shown

CHANGED = (
    "has changed in the life of this process, which may have imported it before; begin a new one, or name "
    "the file in `plugins`, which is read anew"
)
_at_import: dict[str, str] = {}
"""The texts of installed modules when this process imported them."""


def check_fresh(place: str, files: dict[str, File], before: set[str]) -> None:
    """What is on disk is what was imported, also where that was before anyone asked.

    Raises:
        PluginError: it may not be; an id would then be of other code than trains.
    """
    for name, (path, text) in files.items():
        if name not in before:
            if name in sys.modules:
                _at_import[name] = text
            continue
        known = (
            _at_import.setdefault(name, text)
            if not _is_newer_than_this_process(path)
            else _at_import.get(name)
        )
        if known is None or normalised(known) != normalised(text):
            raise PluginError(f"{place}: {shown(Path(path))} {CHANGED}")


def _is_newer_than_this_process(path: str) -> bool:
    import psutil

    there = os.stat(path)
    return max(there.st_mtime, there.st_ctime) > psutil.Process().create_time()
