"""MLflow's own pages, served from the store on this machine's loopback address."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.process.secrets import passed_on
from orchestrator.recording.mlflow.glance import VIEW, sweeps_at_a_glance, views_at_a_glance
from orchestrator.recording.stores.sqlite import ARTIFACTS
from orchestrator.recording.workspace import Workspace

LOOPBACK = "127.0.0.1"
SHOWN = 10  # sweeps
START_S = 300.0  # after so long the addresses are told whether the server answers or not
TRAINING = "workflowType=machine_learning"


def serve(space: Workspace, *, port: int, say: Callable[[str], None]) -> None:
    """Serve MLflow's pages until Ctrl-C; a tracking server has its own, so only its address is told.

    Raises:
        UsageError: there is no store yet, or the port is taken.
    """
    at = space.store_at
    if at.pages is not None:
        say(f"the tracking server has its own pages: {at.pages}")
        return
    address, file = at.for_mlflow(writes=True), at.file
    if file is not None and not file.exists():
        raise UsageError(f"no store at {file} yet; run a sweep first, or name its folder with --home")
    _check_port(port)
    command = [
        sys.executable, "-m", "mlflow", "server",
        "--default-artifact-root", (space.home / ARTIFACTS).as_uri(),
        "--host", LOOPBACK, "--port", str(port), "--workers", "1",
        "--uvicorn-opts", "--log-level warning",  # else each click is a dozen lines
    ]  # fmt: skip
    # The job runner would start a dozen more processes that a viewer has no use for.
    settings = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # Everybody can read a command line, and its password.
        "MLFLOW_BACKEND_STORE_URI": address,
        "MLFLOW_REGISTRY_STORE_URI": address,
        "PYTHONWARNINGS": "ignore",  # those of its own libraries
    }
    page = f"http://{LOOPBACK}:{port}"
    say("starting MLflow's server …")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # or the server would outlive this process
    server = subprocess.Popen(command, env=passed_on() | settings)
    try:
        until = time.monotonic() + START_S
        while server.poll() is None and not _answers(port) and time.monotonic() < until:
            time.sleep(0.2)
        if server.poll() is None:
            for line in _addresses(page, file):
                say(line)
        code = server.wait()
    except KeyboardInterrupt:
        return
    finally:
        if server.poll() is None:
            server.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(timeout=10)
    if code:
        raise UsageError(
            f"the MLflow server ended with code {code}; is port {port} taken? choose another with --port"
        )


def _addresses(page: str, file: Path | None) -> Iterator[str]:
    """Where sweeps are: not on MLflow's first page, which is of language models."""
    yield f"MLflow on {page}/#/experiments?{TRAINING} (Ctrl-C ends it)"
    sweeps = sweeps_at_a_glance(file) if file is not None else {}
    viewed = views_at_a_glance(file) if file is not None else frozenset()
    for name, experiment in list(sweeps.items())[:SHOWN]:
        view = f"&viewStateShareKey={VIEW}" if name in viewed else ""
        yield f"  {name}: {page}/#/experiments/{experiment}/runs?{TRAINING}{view}"
    if len(sweeps) > SHOWN:
        yield f"  and {len(sweeps) - SHOWN} more sweeps on the page above"


def _answers(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True


def _check_port(port: int) -> None:
    # The server itself reports a port that it cannot have at length, and ends as if all were well.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            raise UsageError(f"port {port} is taken; choose another with --port") from None
