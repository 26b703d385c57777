"""Ray: started on this machine, or joined where it runs."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import secrets
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import ray

from orchestrator.errors import ExecutionError, ExecutionLost
from orchestrator.execution.address import way_out
from orchestrator.process.machine import cores, has_gpu
from orchestrator.process.scratch import fits_sockets
from orchestrator.process.secrets import RAY_TOKEN

PACKAGES = ("orchestrator", "trainers")  # what orch is made of
DAEMONS = ("raylet", "gcs_server")
RAY_LOOK_S = 2.0  # between two looks at whether they live
START_S = 180.0  # in which Ray must have started, or let us in
Doing = Callable[[str, float], None]
"""Is told what is done from now on, and for how many seconds that may be silent."""
_LOGGERS = ("ray", "ray.tune", "ray.train", "ray._private", "ray.data")


def nobody_waits(what: str, limit_s: float) -> None:
    """A `Doing` of whoever needs none."""


@contextlib.contextmanager
def joined(
    address: str | None,
    *,
    verbose: bool = False,
    ship_code: bool = False,
    scratch: Path | None = None,
    doing: Doing = nobody_waits,
) -> Iterator[None]:
    """Ray, started on this machine (`address` None) or joined; what was started here ends here.

    Raises:
        ExecutionError: there is none there, it does not let us in, or it is of another version.
        ExecutionLost: it could not be started here.
    """
    if not verbose:
        quiet()
    started = not ray.is_initialized()
    if started:
        if address:
            doing(f"joining Ray at {address}", START_S)
            options: dict[str, Any] = {"runtime_env": {"py_modules": _sources()}} if ship_code else {}
        else:
            doing("starting Ray", START_S)
            options = {"num_cpus": cores(), "include_dashboard": False}
            options["num_gpus"] = None if has_gpu() else 0  # Ray asks the driver; torch may be built without
            if scratch is not None and fits_sockets(scratch):
                options["_temp_dir"] = str(scratch)
        heard: list[str] = []
        try:
            if not address:
                _make_token()
            with _overheard(heard, listen=bool(address) and not verbose):
                ray.init(
                    address=address or "local",
                    log_to_driver=verbose,
                    logging_level=logging.INFO if verbose else logging.CRITICAL,
                    **options,
                )
        except Exception as error:  # Ray raises many types, bare exceptions among them
            kind = ExecutionError if address else ExecutionLost
            raise kind(*_refusal(error, address, " ".join(heard))) from None
    try:
        yield
    finally:
        if started:
            ray.shutdown()


@contextlib.contextmanager
def watched(on_death: Callable[[str], None]) -> Iterator[None]:
    """Inside, a thread looks whether the Ray that this process has started lives.

    If it does not, or was suspended, `on_death` is told why, in a line: whatever waits for it in this
    process waits long.
    """
    left = threading.Event()

    def watch() -> None:
        before: dict[str, str] = {}
        while not left.wait(RAY_LOOK_S):
            states = _daemons()
            for name in DAEMONS:
                if name not in states:
                    why = f"Ray's {name} has died on this machine (was it killed, or memory short?)"
                elif states[name] == before.get(name) == psutil.STATUS_STOPPED:  # twice: all may be resumed
                    why = f"Ray's {name} was suspended on this machine"
                else:
                    continue
                if not left.is_set():
                    on_death(why)
                return
            before = states

    threading.Thread(target=watch, name="orch-daemons", daemon=True).start()
    try:
        yield
    finally:
        left.set()


def _daemons() -> dict[str, str]:
    """States of the living processes that this one has started, by name."""
    states: dict[str, str] = {}
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if (state := child.status()) not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                states[child.name()] = state
    return states


def quiet() -> None:
    """Let Ray print nothing of its own in this process."""
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _make_token() -> None:
    """Make the token that lets this user into what is started here; Ray would let every user read it."""
    if os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return
    path = RAY_TOKEN.expanduser()
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    number, part = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # for its user alone
    try:
        with open(number, "w") as file:
            file.write(secrets.token_hex(32))
        try:
            os.link(part, path)  # whole, and the first one stays: another sweep may begin now, too
        except FileExistsError:
            pass
        except OSError:  # a file system without links: two that begin in one moment may miss each other
            os.replace(part, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)


def _sources() -> list[str]:
    """Folders of orch's packages as they are here."""
    root = Path(__file__).resolve().parents[3]
    return [str(root / name) for name in PACKAGES]


@contextlib.contextmanager
def _overheard(lines: list[str], *, listen: bool) -> Iterator[None]:
    """Inside, what this process writes to stderr goes to `lines`.

    Ray's core writes there itself, past Python, a line for each second that a cluster refuses it; and only
    these lines tell why.
    """
    if not listen:
        yield
        return
    sys.stderr.flush()
    own = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(own, 2)
            os.close(own)
            file.seek(0)
            lines.extend(file.read().decode(errors="replace").splitlines())


def _refusal(error: Exception, address: str | None, heard: str) -> tuple[str, str]:
    """Why Ray could not be started or joined, and what to do next."""
    reason = " ".join(str(error).split())
    if address is None:
        return f"no Ray on this machine: {reason[:200]}", "or run with --executor serial"
    if "ersion mismatch" in reason:
        own = f"Ray {ray.__version__}, Python {platform.python_version()}"
        return (
            f"Ray at {address} is of another version than this driver's ({own})",
            "use one image everywhere",
        )
    if wants := token_wanted(error, heard, address=address):
        return wants, ""
    return f"no Ray at {address}: {reason[:200]}", way_out(address)


def token_wanted(error: Exception, heard: str = "", *, address: str) -> str | None:
    """What to do where Ray refused this process's token, or its lack of one; None if that is not why."""
    if "authenticat" not in f"{type(error).__name__} {error} {heard}".lower():
        return None
    return (
        f"Ray at {address} wants a token, and this driver has none or another; set RAY_AUTH_MODE=token "
        "and RAY_AUTH_TOKEN_PATH to the file with the cluster's token"
    )
