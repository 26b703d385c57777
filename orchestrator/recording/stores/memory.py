"""This process's memory: what is kept ends with the process. The twin of the others, to try something."""

from __future__ import annotations

import atexit
import re
import shutil
import uuid
from pathlib import Path
from typing import IO, TYPE_CHECKING

from orchestrator.errors import UsageError
from orchestrator.process.secrets import without_secret
from orchestrator.recording.stores.base import StoreAddress, scheme_of

if TYPE_CHECKING:
    from orchestrator.recording.memory import MemoryStore

FORMS = ("memory:",)
_kept: dict[str, MemoryStore] = {}
"""By name: whoever opens it again in this process finds what is in it."""
_folders: dict[tuple[Path, str], Path] = {}
"""Of checkpoints and journals, by home folder and name: they are no other store's of that home."""
_held: dict[Path, IO[str]] = {}
BESIDE = "memory-"
_NAME = re.compile(rf"{BESIDE}[0-9a-f]{{12}}")


def takes(address: str) -> bool:
    """Whether it is memory:, or memory:NAME where there are several."""
    return scheme_of(address) == "memory"


def at(address: str, source: str, *, home: Path) -> StoreAddress:
    """The store of that name."""
    from orchestrator.recording.memory import MemoryStore

    name = without_secret(address).removesuffix(":")
    folder = _folders.setdefault((home, name), home / f"{BESIDE}{uuid.uuid4().hex[:12]}")

    def opened() -> MemoryStore:
        return _kept.setdefault(name, MemoryStore(name))

    def to_write() -> MemoryStore:
        from orchestrator.process.scratch import own_folder
        from orchestrator.recording.stores.sqlite import make_folder

        make_folder(home)
        if folder not in _held or not folder.exists():
            _held[folder] = own_folder(folder, f"{BESIDE}*")
            atexit.register(_forget, folder)
        return opened()

    def for_mlflow(*, writes: bool) -> str:
        raise UsageError(f"{name}: MLflow sees no process's memory; name a database's or a server's address")

    return StoreAddress(address, name, opened, to_write, for_mlflow, lasts=False, folder=folder)


def living(home: Path) -> list[Path]:
    """The folders in `home` of such stores whose processes live. Changes nothing."""
    from orchestrator.process.scratch import is_owned

    return [path for path in sorted(home.glob(f"{BESIDE}*")) if _NAME.fullmatch(path.name) and is_owned(path)]


def _forget(folder: Path) -> None:
    """Remove a folder of this process's."""
    shutil.rmtree(folder, ignore_errors=True)
    if (held := _held.pop(folder, None)) is not None:
        held.close()
