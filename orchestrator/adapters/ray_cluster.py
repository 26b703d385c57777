"""Ray: started on this machine, or joined where it runs, and watched while it is used."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Ray reads these when it is imported.
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
os.environ.setdefault("RAY_DEDUP_LOGS", "0")
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "1e9")  # what Tune would restore from; we never do
os.environ.setdefault("TUNE_MAX_PENDING_TRIALS_PG", "8")
os.environ.setdefault("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0")

import ray

from orchestrator.adapters.machine import cores
from orchestrator.adapters.provenance import typed_command
from orchestrator.adapters.signals import Stop
from orchestrator.errors import ExecutionError
from orchestrator.exit_codes import STOPPED

PACKAGES = ("orchestrator", "trainers")  # what orch is made of
LOOK_S = 5.0  # between two looks at whether Ray's head is there
HEAD_S = 25.0  # it has died if nothing listens for so long; after 60 s Ray ends the driver itself
_LOGGERS = ("ray", "ray.tune", "ray.train", "ray._private", "ray.data")


@contextlib.contextmanager
def joined(address: str | None, *, verbose: bool, ship_code: bool, stop: Stop) -> Iterator[None]:
    """Ray, started on this machine (`address` None) or joined; what was started here ends here.

    Raises:
        ExecutionError: there is none, it does not let us in, or it is of another version.
    """
    if not verbose:
        quiet()
    started = not ray.is_initialized()
    if started:
        if address:
            _check_address(address)
        options: dict[str, Any] = {"num_cpus": cores(), "include_dashboard": False}
        if address:
            options = {"runtime_env": {"py_modules": _sources()}} if ship_code else {}
        heard: list[str] = []
        try:
            with stop.uninterrupted(), _overheard(heard, listen=bool(address) and not verbose):
                ray.init(
                    address=address or "local",
                    log_to_driver=verbose,
                    logging_level=logging.INFO if verbose else logging.CRITICAL,
                    **options,
                )
        except Exception as error:  # Ray raises many types, bare exceptions among them
            raise ExecutionError(_refusal(error, address, " ".join(heard))) from None
    left = threading.Event()
    threading.Thread(target=_watch_head, args=(left,), name="orch-head", daemon=True).start()
    try:
        yield
    finally:
        left.set()
        if started:
            with stop.uninterrupted():
                ray.shutdown()


def _watch_head(left: threading.Event) -> None:
    """End this process if Ray's head has died: Ray itself would do so, later and without a word.

    What was learnt is in the journal, and whatever waits for the head in this process would wait for ever.
    """
    head = str(ray.get_runtime_context().gcs_address)
    answered = time.monotonic()
    while not left.wait(LOOK_S):
        try:
            if line := _knock(head):
                line.close()
            answered = time.monotonic()
        except OSError:
            if time.monotonic() - answered > HEAD_S and not left.is_set():
                told = (
                    f"orch: Ray's head at {head} has died; finished trials and checkpoints are kept; "
                    f"go on with: {typed_command()}\n"
                )
                with contextlib.suppress(OSError):
                    os.write(2, told.encode())
                os._exit(STOPPED)


def quiet() -> None:
    """Let Ray print nothing of its own in this process."""
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _sources() -> list[str]:
    """Folders of orch's packages as they are here."""
    root = Path(__file__).resolve().parents[2]
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


def _refusal(error: Exception, address: str | None, heard: str) -> str:
    """Why Ray could not be started or joined, in one line with a next step."""
    reason = " ".join(str(error).split())
    if address is None:
        return f"no Ray on this machine: {reason[:200]}; or run with --executor serial"
    if "ersion mismatch" in reason:
        own = f"Ray {ray.__version__}, Python {platform.python_version()}"
        return f"Ray at {address} is of another version than this driver's ({own}); use one image everywhere"
    if wants := token_wanted(error, heard, address=address):
        return wants
    return f"no Ray at {address}: {reason[:200]}; check the address, or leave out --address to start one here"


def token_wanted(error: Exception, heard: str = "", *, address: str) -> str | None:
    """What to do where Ray refused this process's token, or its lack of one; None if that is not why."""
    if "authenticat" not in f"{type(error).__name__} {error} {heard}".lower():
        return None
    return (
        f"Ray at {address} wants a token, and this driver has none or another; set RAY_AUTH_MODE=token "
        "and RAY_AUTH_TOKEN_PATH to the file with the cluster's token"
    )


def _knock(address: str) -> socket.socket | None:
    """A connection to host:port; None if only Ray knows where that is, as for "auto".

    Raises:
        OSError: nothing listens there.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdigit():
        return None
    return socket.create_connection((host.strip("[]"), int(port)), timeout=LOOK_S)


def _speaks_http(line: socket.socket) -> bool:
    """Whether a web server is at the other end, from which Ray would wait for an answer for ever."""
    with line:
        line.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with contextlib.suppress(TimeoutError):
            return line.recv(5) == b"HTTP/"
    return False


def _check_address(address: str) -> None:
    """Nothing, if something listens there; Ray itself waits for minutes without a word.

    Raises:
        ExecutionError: nothing does.
    """
    if "://" in address and not address.startswith("ray://"):
        raise ExecutionError(f"--address {address}: expected HOST:PORT of Ray's head, such as 10.0.0.1:6379")
    try:
        line = _knock(address)
        if line is not None and _speaks_http(line):
            raise ExecutionError(
                f"{address} is a web page, such as Ray's dashboard, which takes sweeps from `orch submit`; "
                "expected the head's own port, 6379 unless it was started with another"
            )
    except OSError as error:
        reason = error.strerror or "no answer"
        raise ExecutionError(
            f"no Ray at {address}: {reason}; check the address, or leave out --address to start one here"
        ) from None
