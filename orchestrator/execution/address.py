"""The address of a Ray cluster as a person gives it: read and tried before Ray waits there for minutes."""

from __future__ import annotations

import contextlib
import os
import re
import socket

from orchestrator.errors import ExecutionError, UsageError

KNOCK_S = 5.0  # in which whatever listens there must have taken the call, and answered
VARIABLE = "RAY_ADDRESS"
_FORM = re.compile(r"(?P<client>ray://)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]]+):(?P<port>\d{1,5})")


def parsed_address(text: str) -> str | None:
    """The address in `text`; None if it means this machine.

    Raises:
        UsageError: it is none.
    """
    address = text.strip()
    if address == "local":  # as Ray calls it
        return None
    form = _FORM.fullmatch(address)
    if address != "auto" and (form is None or not 0 < int(form["port"]) < 65536):
        shown = address.rpartition("@")[2]  # what stands before may be a password
        page = "; a page's address is for `orch submit`" if address.startswith("http") else ""
        raise UsageError(
            f"{_source(address)} {shown}: expected HOST:PORT of Ray's head, such as 10.0.0.1:6379{page}"
        )
    return address


def check_reachable(address: str) -> None:
    """Check that a Ray may be at `address`.

    Raises:
        ExecutionError: nothing listens there, or what does is no head of a cluster.
    """
    if (form := _FORM.fullmatch(address)) is None:
        return  # only Ray knows where "auto" is
    source = _source(address)
    try:
        is_page = _speaks_http(form["host"].strip("[]"), int(form["port"]))
    except (OSError, UnicodeError) as error:  # a name that no name server is asked for is a UnicodeError
        reason = getattr(error, "strerror", None) or "no such name or no answer"
        raise ExecutionError(f"no Ray at {address}: {reason}; {way_out(address)}") from None
    if is_page:
        raise ExecutionError(
            f"{source} {address} is a web page, such as Ray's dashboard, which takes sweeps from "
            "`orch submit`; expected the head's own port, 6379 unless it was started with another"
        )


def way_out(address: str) -> str:
    """What to do where no Ray is at `address`, in the words in which it was given."""
    source = _source(address)
    leave = "unset it" if source == VARIABLE else "leave it out"
    return f"check {source}, or {leave} to start one here"


def _source(address: str) -> str:
    """Where the address was given."""
    variable = os.environ.get(VARIABLE, "").strip()
    return VARIABLE if variable and variable == address else "--address"


def _speaks_http(host: str, port: int) -> bool:
    """Whether a web server is at the other end, from which Ray would wait for an answer for ever.

    Raises:
        OSError: nothing listens there.
    """
    with socket.create_connection((host, port), timeout=KNOCK_S) as line:
        line.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with contextlib.suppress(TimeoutError, ConnectionError):
            return line.recv(5) == b"HTTP/"
    return False
