"""Rehearsals on the nodes of a Ray cluster: what trials cost where they will run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from orchestrator.adapters import ray_nodes  # before ray: it says how

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.adapters.overview import counted
from orchestrator.adapters.rehearsing import LIMIT_S, PATIENCE_S, Findings, Piece, pieces, rehearsed
from orchestrator.adapters.signals import Stop
from orchestrator.errors import ExecutionError, Interrupted
from orchestrator.expand import TrialSpec
from orchestrator.forecast import Found, kinds, packed, packing_note
from orchestrator.needs import Needs, fits
from trainers.config import Runtime


LOOK_S = 0.5  # between two looks at whether the user wants to stop


def settled(
    trials: Sequence[TrialSpec],
    needs: Mapping[str, Needs],
    runtime: Runtime,
    *,
    stop: Stop,
    say: Callable[[str], None],
) -> dict[str, Needs]:
    """`needs` with nothing open, after rehearsals on the nodes where something was.

    A kind of trial that fails in its rehearsal gets a whole GPU and tells the rest when it is trained.

    Raises:
        ExecutionError: a node does not answer, or none has what was found to be needed.
        Interrupted: the user does not want to wait.
    """
    open_ones = [trial for trial in trials if needs[trial.id].is_open]
    if not open_ones:
        return dict(needs)
    asked = kinds(open_ones, needs)
    say(f"rehearsing {counted(len(asked), 'kind')} of trials, to see what they take")
    findings = rehearsed_on_nodes(pieces(asked, runtime), limit_s=LIMIT_S, stop=stop)
    found = dict(needs)
    for kind in asked:
        label = kind.trials[0].cell.label
        if kind.name in findings.found:
            own = packed(kind.needs, findings.found[kind.name])
            say(packing_note(label, own, findings.found[kind.name]))
        else:
            own = kind.needs.model_copy(update={"gpus": kind.needs.share, "memory_gib": None})
            say(f"{label}: its rehearsal failed: {findings.failures.get(kind.name, 'no answer')}")
        found.update({trial.id: own for trial in kind.trials})
    ray_nodes.check([own.bundle for own in found.values()])
    return found


def rehearsed_on_nodes(asked: Sequence[Piece], *, limit_s: float, stop: Stop) -> Findings:
    """What rehearsals find: of each kind of trial on one node, of those on GPUs on one with each type.

    Where types of GPU differ, what asks for most counts: a trial must fit wherever it is sent.

    Raises:
        ExecutionError: a node does not answer.
        Interrupted: the user does not want to wait.
    """
    together = Findings({}, {})
    seen: set[tuple[str, str]] = set()
    for node in ray_nodes.alive():
        has = node["Resources"]
        accelerator = next((name for name in has if name.startswith("accelerator_type:")), "")
        for on_gpu in (False, True):
            kind = accelerator if on_gpu else "CPU"
            fitting = [p for p in asked if bool(p.needs.share) == on_gpu and fits(p.needs.bundle, has)]
            group = [piece for piece in fitting if (piece.name, kind) not in seen]
            seen |= {(piece.name, kind) for piece in group}
            findings = _on(node, group, limit_s=limit_s, stop=stop) if group else Findings({}, {})
            together.failures.update(findings.failures)
            for name, own in findings.found.items():
                other = together.found.get(name)
                together.found[name] = own if other is None else max(other, own, key=_weight)
    for name in together.failures:
        together.found.pop(name, None)
    return together


def _on(node: dict[str, Any], group: list[Piece], *, limit_s: float, stop: Stop) -> Findings:
    name, has = ray_nodes.name_of(node), node["Resources"]
    gpus = int(has["GPU"]) if group[0].needs.share else 0
    # As many at a time as the node's cores will train, on each of its GPUs.
    slots = max(1, int(has["CPU"] // max(piece.runtime.threads for piece in group)) // max(1, gpus))
    # A worker of its own, for the processes it leaves behind keep torch in memory.
    function: Callable[..., Any] = rehearsed
    task = ray.remote(num_cpus=0, num_gpus=min(1, gpus), max_retries=0, max_calls=1)(function)
    here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    answer = task.options(scheduling_strategy=here).remote(group, slots=slots, limit_s=limit_s)
    until = time.monotonic() + PATIENCE_S * (1 + len(group) / slots)
    while not ray.wait([answer], timeout=LOOK_S)[0]:
        if not stop.asked and time.monotonic() < until:
            continue
        ray.cancel(answer, force=True)
        if stop.asked:
            raise Interrupted
        raise ExecutionError(
            f"node {name} has not rehearsed the trials in time: is its {'GPU' if gpus else 'CPU'} in use? "
            "Wait, or say numbers in `resources:` instead of auto"
        )
    try:
        findings: Findings = ray.get(answer)
    except ray.exceptions.RayError as error:
        reason = " ".join(str(error).split())[:200]
        raise ExecutionError(f"node {name} cannot rehearse the trials: {reason}") from None
    return findings


def _weight(found: Found) -> tuple[float, float]:
    """What of two findings asks for more: of a GPU, then of time."""
    return packed(Needs(gpus="auto"), found).share, found.cost.epoch_s
