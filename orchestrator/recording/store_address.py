"""The address of a store, as a person writes it, made one that says the same anywhere on this machine."""

from __future__ import annotations

import os
import re
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.recording.bundle.layout import is_bundle

SQLITE = ("sqlite:", "sqlite+pysqlite:")
_SERVER = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}(?:/\S*)?")


def tracking_address(text: str, source: str) -> str:
    """The tracking URI that `text` names; `source` is the flag or variable that has it.

    Raises:
        UsageError: it has no scheme.
    """
    address = text.strip()
    if is_bundle(address):
        return os.path.abspath(os.path.expanduser(address))
    if address.startswith(SQLITE):
        from sqlalchemy import URL

        from orchestrator.recording.mlflow.database import file_at

        found = file_at(address)
        if found is None:
            return address
        # Earlier code took settings for a part of the name.
        odd = Path(address.removeprefix("sqlite:///"))
        if found.settings and odd.is_absolute() and odd.exists() and not found.path.exists():
            raise UsageError(
                f"{source}: {odd} is a store whose settings became a part of its name; rename it to "
                f"{found.path}"
            )
        # From the root: the next command may be typed elsewhere.
        return URL.create("sqlite", database=str(found.path), query=found.settings).render_as_string()
    if "://" in address or address.startswith("databricks"):
        return address
    shown = re.sub(r"^[A-Za-z]+:/(?=[^/])", "", address).rpartition("@")[2]  # a password may stand before
    if _SERVER.fullmatch(shown):
        raise UsageError(f"{source} {shown}: an address has a scheme; did you mean http://{shown}?")
    raise UsageError(
        f"{source} {shown}: expected a server's or a database's address, such as http://127.0.0.1:5000 or "
        "sqlite:////folder/mlflow.db"
    )
