"""A folder for what may be forgotten: removed by its driver, or by the next one if that was killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIX = "orch-"
LOCK = "driver.lock"
SHORT = 40  # characters that leave room for the names of Ray's sockets, which have at most 107 in all


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Inside, an empty folder of this process; what killed drivers of this user have left is removed, too."""
    parent = Path(tempfile.gettempdir())
    if len(str(parent)) > SHORT and os.access("/tmp", os.W_OK):
        parent = Path("/tmp")
    _tidy(parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _tidy(parent: Path) -> None:
    for lock in parent.glob(f"{PREFIX}*/{LOCK}"):
        with contextlib.suppress(OSError):
            if lock.parent.is_symlink() or lock.stat().st_uid != os.getuid():
                continue
            with lock.open() as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while its driver lives
                shutil.rmtree(lock.parent, ignore_errors=True)
