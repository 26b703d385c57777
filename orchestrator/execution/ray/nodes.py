"""The nodes of a Ray cluster, looked over before any trial starts.

Everything that would make trials wait for ever, fail one by one, or give other numbers on one node than on
another is found here, and told in a line for each node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.errors import ExecutionError
from orchestrator.execution.child.trials import Trials, on_the_wire
from orchestrator.execution.ray.cluster import PACKAGES
from orchestrator.language.resources import Bundle, check_room
from orchestrator.planning.data import missing_data
from orchestrator.planning.trials import TrialSpec
from trainers.attempt.folders import Folder, S3Folder, marked, unusable
from trainers.config.examined import Carried
from trainers.config.foreign import PluginError, receive

ANSWER_S = 120.0  # in which a node must have started a worker, with the driver's code if that is sent


class NodeFacts(NamedTuple):
    """What a node, or this driver, runs."""

    torch: str
    code: str | None
    """Hash of orch's source; None where it is not installed."""
    sees: bool
    """Whether the folder of checkpoints is the driver's; of S3 it is asked by its own means."""


def alive() -> list[dict[str, Any]]:
    """The living nodes, as Ray describes them."""
    return [node for node in ray.nodes() if node["Alive"]]


def has_gpus() -> bool:
    """Whether any node has a GPU."""
    return any(node["Resources"].get("GPU", 0) >= 1 for node in alive())


def check(bundles: Sequence[Bundle]) -> None:
    """A request that no node can meet would wait for ever.

    Raises:
        ExecutionError: there is one.
    """
    check_room(bundles, [node["Resources"] for node in alive()])


def check_nodes(folder: Folder, *, shipped: bool) -> str | None:
    """A note on nodes where trials run, but cannot go on elsewhere, for they do not see `folder`; or None.

    Raises:
        ExecutionError: a node does not answer, runs another version of something that makes numbers, or
            cannot keep checkpoints on S3.
    """
    on_s3 = isinstance(folder, S3Folder)
    try:
        with marked(folder) as name:
            marker = None if on_s3 else str(folder / name)
            found, problems = _compared(marker, shipped=shipped)
            if not problems and on_s3:
                reasons = everywhere(unusable, folder, name)
                problems = [f"node {n} cannot keep checkpoints: {why}" for n, why in reasons.items() if why]
    except OSError as error:
        problems = [f"checkpoints cannot be kept: {error}"]
    if problems:
        raise ExecutionError("\n".join(problems))
    blind = [node for node, facts in found.items() if not facts.sees]
    if not blind:
        return None
    return (
        f"{', '.join(blind)}: no folder {folder} of this driver's there; a trial that loses its worker "
        "goes on only on the same node, elsewhere it starts anew; mount one folder everywhere, or keep "
        "checkpoints on S3, with --checkpoints"
    )


def check_alike() -> None:
    """Nodes that run something else than this driver have other numbers, and other costs.

    Raises:
        ExecutionError: there is one, or one that does not answer.
    """
    _, problems = _compared(None, shipped=False)
    if problems:
        raise ExecutionError("\n".join(problems))


def _compared(marker: str | None, *, shipped: bool) -> tuple[dict[str, NodeFacts], list[str]]:
    """What each node runs and whether it sees `marker`; and how it differs from this driver, in lines."""
    look = _node_checker()
    here = NodeFacts(*look(marker))
    found = {node: NodeFacts(*facts) for node, facts in everywhere(look, marker).items()}
    return found, [p for n, facts in found.items() for p in _differences(n, facts, here, shipped=shipped)]


def check_plugins(trials: Sequence[TrialSpec]) -> None:
    """A trial that needs what a node cannot import fails where it is sent.

    Raises:
        ExecutionError: a node cannot have the plug-ins of these trials, or has them in other code.
    """
    if not (sent := on_the_wire(trials)).plugins:
        return
    reasons = everywhere(_not_received, sent.plugins)
    if problems := [f"node {name}: plug-in {why}" for name, why in reasons.items() if why]:
        raise ExecutionError("\n".join(problems))


def _not_received(plugins: Sequence[Carried]) -> str | None:
    """Why this process cannot have these plug-ins; None: it has them."""
    try:
        receive(plugins)
    except PluginError as error:
        return str(error)
    return None


def check_data(trials: Sequence[TrialSpec], root: Path | None) -> None:
    """A trial whose data is not there fails where it is sent.

    Raises:
        ExecutionError: a node lacks some.
    """
    one_of_each = {repr(trial.cell.fields.get("data")): trial for trial in trials}
    lacking = everywhere(_missing, on_the_wire(one_of_each.values()), root)
    problems = [f"node {name}: {line}" for name, lines in lacking.items() for line in lines]
    if problems:
        raise ExecutionError("\n".join(problems))


def _missing(trials: Trials, root: Path | None) -> list[str]:
    return list(missing_data(trials.specs(), root))


def everywhere(function: Callable[..., Any], *arguments: Any, once: bool = False) -> dict[str, Any]:
    """What `function` answers on each living node that trains, by the node's address.

    Args:
        function: what is called there.
        arguments: what it is given.
        once: whether its process ends with it.

    Raises:
        ExecutionError: a node does not answer in time, or cannot run it.
    """
    task = ray.remote(num_cpus=0, max_retries=0, max_calls=int(once))(function)
    nodes = {node["NodeID"]: name_of(node) for node in alive() if node["Resources"].get("CPU", 0) >= 1}
    pending = {
        task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(identity, soft=False)).remote(
            *arguments
        ): name
        for identity, name in nodes.items()
    }
    done, silent = ray.wait(list(pending), num_returns=len(pending), timeout=ANSWER_S)
    if silent:
        names = ", ".join(pending[one] for one in silent)
        raise ExecutionError(
            f"no worker started on {names} within {ANSWER_S:.0f} s",
            "look at Ray's logs there, or take it out",
        )
    found = {}
    for one in done:
        try:
            found[pending[one]] = ray.get(one)
        except Exception as error:
            raise ExecutionError(f"node {pending[one]} cannot run a worker: {cause(error)}") from None
    return dict(sorted(found.items()))


def cause(error: Exception) -> str:
    """What went wrong in a worker, in one line, without the stack that Ray puts before it."""
    own = getattr(error, "cause", None) or error
    return f"{type(own).__name__}: {' '.join(str(own).split())[:300]}"


def name_of(node: Mapping[str, Any]) -> str:
    """A node's name for a person: its host and address."""
    address, host = str(node["NodeManagerAddress"]), str(node.get("NodeManagerHostname") or "")
    return f"{host} ({address})" if host and host != address else address


def _node_checker() -> Callable[[str | None], tuple[Any, ...]]:
    """A function that finds a node's `Facts`; it travels whole, for a node may have other code, or none."""
    packages = PACKAGES

    def look(marker: str | None) -> tuple[Any, ...]:
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
        return torch, code, marker is None or os.path.exists(marker)

    return look


def _differences(name: str, there: NodeFacts, own: NodeFacts, *, shipped: bool) -> Iterator[str]:
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
