"""The address of a Ray cluster as a person gives it: read and tried before Ray waits there for minutes."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import socket
import threading

from orchestrator.errors import ExecutionError, UsageError
from orchestrator.process.secrets import without_secret

KNOCK_S = 5.0  # in which whatever listens there must have taken the call, and as long to answer
REACH_S = 15.0  # for all of it: a name may be looked up at one name server after another
VARIABLE, PAGE_VARIABLE = "RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"
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


def page_address(text: str) -> str:
    """The address of Ray's dashboard in `text`.

    Raises:
        UsageError: it is none.
    """
    address = text.strip()
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", address):
        meant = f"; did you mean http://{address}?" if _FORM.fullmatch(address) else ""
        shown = without_secret(address).rpartition("@")[2]
        raise UsageError(
            f"{_source(address, PAGE_VARIABLE)} {shown}: expected the address of Ray's dashboard, "
            f"such as http://127.0.0.1:8265{meant}"
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
        is_page = _found_out(form["host"].strip("[]"), int(form["port"]))
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


def _source(address: str, variable: str = VARIABLE) -> str:
    """Where the address was given."""
    value = os.environ.get(variable, "").strip()
    return variable if value and value == address else "--address"


def _found_out(host: str, port: int) -> bool:
    """Whether a web server is there; found out in a thread, for a look-up of a name ends with no signal.

    Raises:
        OSError: nothing listens there, or it takes too long to tell.
    """
    answers: queue.SimpleQueue[bool | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(_speaks_http(host, port))
        except Exception as error:
            answers.put(error)

    threading.Thread(target=ask, name="orch-knock", daemon=True).start()
    try:
        answer = answers.get(timeout=REACH_S)
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(answer, Exception):
        raise answer
    return answer


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
