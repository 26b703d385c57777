"""Kinds of store: a file each, found by the scheme of an address. Of a bundle the ending says what it is.

takes(address)                  whether it is of this kind
at(address, source, *, home)    what it says, as `StoreAddress`; opens nothing
FORMS                           how such addresses are written, for messages
"""

from __future__ import annotations

import re
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.process.secrets import without_secret
from orchestrator.process.words import one_of
from orchestrator.recording.stores.base import StoreAddress, scheme_of
from trainers.config.families import members, module

_SCHEME = re.compile(r"[a-z][a-z0-9.-]*")
_SERVER = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}(?:/\S*)?")


def names() -> tuple[str, ...]:
    """The kinds there are."""
    return members(__name__)


def forms() -> tuple[str, ...]:
    """How addresses of every kind are written."""
    return tuple(form for name in names() for form in module(__name__, name).FORMS)


def at(text: str, source: str, *, home: Path) -> StoreAddress:
    """The store that `text` names, for a command whose home folder is `home`.

    Args:
        text: an address, as a person writes it.
        source: the flag or variable that has it.
        home: where a store keeps on this machine what it does not keep itself.

    Raises:
        UsageError: no kind of store takes it, or it cannot be.
    """
    address = text.strip()
    for name in names():
        kind = module(__name__, name)
        if kind.takes(address):
            found: StoreAddress = kind.at(address, source, home=home)
            return found
    if "://" in address and _SCHEME.fullmatch(scheme := scheme_of(address)):
        raise UsageError(
            f"{source} {without_secret(address)}: no kind of store takes '{scheme}:'; expected "
            f"{one_of(forms())}; name one of these, or install MLflow's plug-in for '{scheme}:'"
        )
    shown = re.sub(r"^[A-Za-z]+:/(?=[^/])", "", address).rpartition("@")[2]  # a password may stand before
    if _SERVER.fullmatch(shown):
        raise UsageError(f"{source} {shown}: an address has a scheme; did you mean http://{shown}?")
    raise UsageError(f"{source} {shown}: expected a store's address, such as {one_of(forms())}")


def in_home(home: Path) -> StoreAddress:
    """The store of a home folder, where no other is named.

    Raises:
        UsageError: it cannot be there.
    """
    own: StoreAddress = module(__name__, "sqlite").in_home(home)
    return own
