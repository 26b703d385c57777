"""This process's memory: what is kept ends with the process. The twin of the others, to try something."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import UsageError
from orchestrator.process.secrets import without_secret
from orchestrator.recording.stores.base import StoreAddress, scheme_of

if TYPE_CHECKING:
    from orchestrator.recording.memory import MemoryStore

FORMS = ("memory:",)
_kept: dict[str, MemoryStore] = {}
"""By name: whoever opens it again in this process finds what is in it."""


def takes(address: str) -> bool:
    """Whether it is memory:, or memory:NAME where there are several."""
    return scheme_of(address) == "memory"


def at(address: str, source: str, *, home: Path) -> StoreAddress:
    """The store of that name."""
    from orchestrator.recording.memory import MemoryStore

    name = without_secret(address).removesuffix(":")

    def opened() -> MemoryStore:
        return _kept.setdefault(name, MemoryStore(name))

    def for_mlflow(*, writes: bool) -> str:
        raise UsageError(f"{name}: MLflow sees no process's memory; name a database's or a server's address")

    return StoreAddress(address, name, opened, opened, for_mlflow, lasts=False)
