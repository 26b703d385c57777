"""A folder for what may be forgotten: removed by its driver, or by the next one if that was killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from orchestrator.process.driver import lock

PREFIX, UNFINISHED = "orch-", ".orch-"
LOCK = "driver.lock"
SOCKETS = 65  # characters of a socket's name below Ray's folder; all of it must fit into 103, macOS's limit
LOG_BYTES = 20_000  # of each log that is kept


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Inside, an empty folder of this process; what killed drivers of this user have left is removed, too.

    Raises:
        OSError: no folder for temporary files takes one.
    """
    parent = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir())
    if not fits_sockets(parent / f"{PREFIX}12345678") and os.access("/tmp", os.W_OK):
        parent = Path("/tmp")
    _tidy(parent, f"{PREFIX}*")
    made = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=parent))
    folder = made.with_name(made.name.removeprefix("."))
    with _locked(made, folder):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def own_folder(folder: Path, others: str) -> IO[str]:
    """Make `folder`, which is this process's until what is returned is closed, or the process ends.

    What processes that have ended left beside it, under names that `others` fits, is removed.

    Raises:
        OSError: it cannot be made.
    """
    _tidy(folder.parent, others)
    made = folder.with_name(f".{folder.name}")
    made.mkdir()
    return _locked(made, folder)


def _locked(made: Path, folder: Path) -> IO[str]:
    """Lock `made`, and only then name it `folder`: without a lock it would be anybody's to remove."""
    file = (made / LOCK).open("w")
    lock(file)
    made.rename(folder)
    return file


def is_owned(folder: Path) -> bool:
    """Whether a living process has `folder` as its own. Changes nothing."""
    try:
        with (folder / LOCK).open() as file:
            lock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def fits_sockets(folder: Path) -> bool:
    """Whether Ray's sockets can have their names below `folder`."""
    return len(str(folder)) + SOCKETS <= 103


def keep_logs(scratch: Path, log: Path) -> None:
    """Add the ends of the logs of the last session in `scratch` to `log`, as far as that can be done."""
    sessions = sorted(scratch.glob("session_2*/logs"))
    with contextlib.suppress(OSError), log.open("ab") as out:
        for path in sorted(sessions[-1].glob("*.*")) if sessions else ():
            if path.suffix in (".out", ".err") and path.stem in ("raylet", "gcs_server", "monitor"):
                content = path.read_bytes()[-LOG_BYTES:]
                if content:
                    out.write(b"\n==> " + path.name.encode() + b" <==\n" + content)


def _tidy(parent: Path, names: str) -> None:
    for folder in parent.glob(names):
        with contextlib.suppress(OSError):
            if folder.is_symlink() or folder.lstat().st_uid != os.getuid():
                continue
            with (folder / LOCK).open() as file:
                lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while its driver lives
                shutil.rmtree(folder, ignore_errors=True)
