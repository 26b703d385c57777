"""What a store's address says before anything is opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from orchestrator.recording.store_port import DriverRegistry, FileReader, Store

ENDING = ".orch.zip"
"""Of a bundle's name: the one kind of store whose addresses have no scheme."""


class MlflowAddress(Protocol):
    """The address by which MLflow opens a store."""

    def __call__(self, *, writes: bool) -> str:
        """To write to it, or to read from it alone.

        Raises:
            UsageError: MLflow does not open it.
        """


class StoreAddress(NamedTuple):
    """A store that is named and not opened yet. What a kind of store leaves out it does not have."""

    text: str
    """Its address, which says the same anywhere on this machine. May hold a password."""
    name: str
    """Without a secret, for messages and for the journals that are for it: one, however it was written."""
    to_read: Callable[[], Store]
    """Opens it where nobody writes."""
    to_write: Callable[[], Store]
    """Opens it, and makes it before if it is not there; perhaps in another thread."""
    for_mlflow: MlflowAddress
    reader: Callable[[], FileReader | None] = lambda: None
    """Reads it without opening it."""
    registry: Callable[[], DriverRegistry | None] = lambda: None
    """Where drivers of other home folders leave notes; None: it is this folder's or this process's alone."""
    file: Path | None = None
    """The file on this machine that it is in, which the first sweep makes."""
    pages: str | None = None
    """Where it shows its own pages."""
    may_be_away: bool = False
    """Whether it is on other machines, which do not always answer."""
    lasts: bool = True
    """Whether what it has is there when this process has ended."""
    folder: Path | None = None
    """Where checkpoints and journals lie that end with it; None: in the home folder."""
    only_read: str | None = None
    """Why nobody writes to it, and what to do instead. No journal is for it, then."""


def scheme_of(address: str) -> str:
    """The scheme of an address, without the driver of a database: postgresql+psycopg2://... has postgresql.

    Empty where there is none, and for a bundle, whatever its path begins with.
    """
    scheme, colon, _ = address.partition(":")
    return scheme.partition("+")[0].lower() if colon and not address.endswith(ENDING) else ""
