"""Ray: started on this machine or joined where it runs, and looked over before any trial starts.

Everything that would make trials wait for ever, fail one by one, or give other numbers on one node than on
another is found here, and told in a line for each node.
"""

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
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.adapters.provenance import typed_command
from orchestrator.adapters.signals import Stop
from orchestrator.errors import ExecutionError
from orchestrator.spec import Needs

LOOK_S = 5.0  # between two looks at whether Ray's head is there
HEAD_S = 25.0  # it has died if nothing listens for so long; after 60 s Ray ends the driver itself
STOPPED = 4  # the exit code of a sweep that could not go on
ANSWER_S = 120.0  # in which a node must have started a worker, with the driver's code if that is sent
_LOGGERS = ("ray", "ray.tune", "ray.train", "ray._private", "ray.data")
_PACKAGES = ("orchestrator", "trainers")

Bundle = dict[str, float]
"""What a trial asks of a node, by Ray's names: CPU, GPU, memory (bytes), and names of the cluster's own."""


class Facts(NamedTuple):
    """What a node, or this driver, runs."""

    torch: str
    code: str | None
    """Hash of orch's source; None where it is not installed."""
    sees: bool
    """Whether the folder of checkpoints is the driver's."""


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
        options: dict[str, Any] = {"num_cpus": os.cpu_count(), "include_dashboard": False}
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
    host, _, port = str(ray.get_runtime_context().gcs_address).rpartition(":")
    answered = time.monotonic()
    while not left.wait(LOOK_S):
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=LOOK_S).close()
            answered = time.monotonic()
        except OSError:
            if time.monotonic() - answered > HEAD_S and not left.is_set():
                line = (
                    f"orch: Ray's head at {host}:{port} has died; finished trials and checkpoints are kept; "
                    f"go on with: {typed_command()}\n"
                )
                with contextlib.suppress(OSError):
                    os.write(2, line.encode())
                os._exit(STOPPED)


def quiet() -> None:
    """Let Ray print nothing of its own in this process."""
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def alive() -> list[dict[str, Any]]:
    """The living nodes, as Ray describes them."""
    return [node for node in ray.nodes() if node["Alive"]]


def has_gpus() -> bool:
    """Whether any node has a GPU."""
    return any(node["Resources"].get("GPU", 0) >= 1 for node in alive())


def bundle(needs: Needs) -> Bundle:
    """`needs` in Ray's words."""
    asked = {"CPU": float(needs.cpus or 1)} | (needs.custom or {})
    if needs.gpus:
        asked["GPU"] = needs.gpus
    if needs.memory_gib:
        asked["memory"] = float(int(needs.memory_gib * 2**30))
    return asked


def check_room(asked: Sequence[Bundle]) -> None:
    """A request that no node can meet would wait for ever.

    Raises:
        ExecutionError: there is one.
    """
    nodes = [node["Resources"] for node in alive()]
    for wanted in asked:
        if any(all(node.get(k, 0) >= v for k, v in wanted.items()) for node in nodes):
            continue
        most = {k: max((node.get(k, 0) for node in nodes), default=0) for k in wanted}
        lacking = [k for k, v in wanted.items() if most[k] < v]
        told = ", ".join(
            f"{_amount(k, wanted[k])}, where the largest node has {_amount(k, most[k])}" for k in lacking
        )
        together = " and ".join(_amount(k, v) for k, v in wanted.items())
        raise ExecutionError(
            f"a trial asks for {told or f'{together} on one node, which none has together'}; "
            "lower `resources:` in the sweep file, or add a node"
        )


def look_over(folder: Path, *, shipped: bool) -> Iterator[str]:
    """Notes on nodes where trials run, but cannot go on elsewhere: they do not see `folder`.

    Raises:
        ExecutionError: a node does not answer, or runs another version of something that makes numbers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    marker = folder / f".seen-{uuid.uuid4().hex}"
    marker.touch()
    try:
        look = _looker()
        here = Facts(*look(str(marker)))
        found = {name: Facts(*facts) for name, facts in everywhere(look, str(marker)).items()}
    finally:
        marker.unlink(missing_ok=True)
    problems = [p for name, facts in found.items() for p in _differences(name, facts, here, shipped=shipped)]
    if problems:
        raise ExecutionError("\n".join(problems))
    blind = [name for name, facts in found.items() if not facts.sees]
    if blind:
        yield (
            f"{', '.join(blind)}: no folder {folder} of this driver's there; a trial that loses its worker "
            "goes on only on the same node, elsewhere it starts anew; mount one folder everywhere for --home"
        )


def everywhere(function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    """What `function` answers on each living node that trains, by the node's address.

    Raises:
        ExecutionError: a node does not answer in time, or cannot run it.
    """
    task = ray.remote(num_cpus=0, max_retries=0)(function)
    nodes = {node["NodeID"]: _name(node) for node in alive() if node["Resources"].get("CPU", 0) >= 1}
    asked = {
        task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(identity, soft=False)).remote(
            *arguments
        ): name
        for identity, name in nodes.items()
    }
    done, silent = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_S)
    if silent:
        names = ", ".join(asked[one] for one in silent)
        raise ExecutionError(
            f"no worker started on {names} within {ANSWER_S:.0f} s; look at Ray's logs there, or take it out"
        )
    found = {}
    for one in done:
        try:
            found[asked[one]] = ray.get(one)
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise ExecutionError(f"node {asked[one]} cannot run a worker: {reason}") from None
    return dict(sorted(found.items()))


def _name(node: Mapping[str, Any]) -> str:
    address, host = str(node["NodeManagerAddress"]), str(node.get("NodeManagerHostname") or "")
    return f"{host} ({address})" if host and host != address else address


def _looker() -> Callable[[str], tuple[Any, ...]]:
    """A function that finds a node's `Facts`; it travels whole, for a node may have other code, or none."""
    packages = _PACKAGES

    def look(marker: str) -> tuple[Any, ...]:
        import hashlib
        import importlib.util
        import os
        from importlib import metadata
        from pathlib import Path

        digest, complete = hashlib.sha256(), True
        for package in packages:
            spec = importlib.util.find_spec(package)
            if spec is None or spec.origin is None:
                complete = False
                continue
            root = Path(spec.origin).parent
            for path in sorted(root.rglob("*.py")):
                digest.update(f"{package}/{path.relative_to(root).as_posix()}".encode())
                digest.update(path.read_bytes())
        try:
            torch = metadata.version("torch").partition("+")[0]
        except metadata.PackageNotFoundError:
            torch = "none"
        code = digest.hexdigest()[:12] if complete else None
        return torch, code, os.path.exists(marker)

    return look


def _differences(name: str, there: Facts, own: Facts, *, shipped: bool) -> Iterator[str]:
    if there.torch != own.torch:
        yield (
            f"node {name} has torch {there.torch}, this driver {own.torch}: the same trial could have other "
            "numbers there; use one image, or one environment, everywhere"
        )
    if there.code is None:
        yield f"node {name} has no orch; use its image there, or send this driver's code with --ship-code"
    elif there.code != own.code:
        hint = (
            "Ray has an older copy; restart the cluster"
            if shipped
            else "update it, or send this one's with --ship-code"
        )
        yield f"node {name} runs other code of orch ({there.code}) than this driver ({own.code}); {hint}"


def _sources() -> list[str]:
    """Folders of orch's packages as they are here."""
    root = Path(__file__).resolve().parents[2]
    return [str(root / name) for name in _PACKAGES]


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
    if token_wanted(error, heard):
        return (
            f"Ray at {address} wants a token, and this driver has none or another; set RAY_AUTH_MODE=token "
            "and RAY_AUTH_TOKEN_PATH to the file with the cluster's token"
        )
    return f"no Ray at {address}: {reason[:200]}; check the address, or leave out --address to start one here"


def token_wanted(error: Exception, heard: str = "") -> bool:
    """Whether Ray refused this process's token, or its lack of one."""
    return "authenticat" in f"{type(error).__name__} {error} {heard}".lower()


def _amount(name: str, value: float) -> str:
    if name == "memory":
        return f"{value / 2**30:g} GiB of memory"
    return f"{value:g} {name if name not in ('CPU', 'GPU') else name + ('s' if value != 1 else '')}"


def _check_address(address: str) -> None:
    """Nothing, if something listens at host:port; Ray itself waits for minutes without a word.

    Raises:
        ExecutionError: nothing does.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdigit():
        return  # "auto" and names that only Ray knows
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except OSError as error:
        reason = error.strerror or "no answer"
        raise ExecutionError(
            f"no Ray at {address}: {reason}; check the address, or leave out --address to start one here"
        ) from None
