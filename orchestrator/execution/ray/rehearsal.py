"""Rehearsals on the nodes of a Ray cluster: what trials cost where they will run."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ray
from pydantic import TypeAdapter
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.errors import ExecutionError, Interrupted
from orchestrator.execution.child.messages import Rehearse
from orchestrator.execution.ray import nodes as ray_nodes
from orchestrator.execution.ray.cluster import Doing, joined
from orchestrator.language.resources import GIB, TrialResources, fits
from orchestrator.planning.trials import TrialSpec
from orchestrator.process.signals import Stop
from orchestrator.process.words import counted
from orchestrator.rehearsal.forecast import Measurement, cost_classes, needs_of, packing_note, resolve_auto
from orchestrator.rehearsal.rehearse import (
    LIMIT_S,
    ClusterFindings,
    Measurements,
    RehearsalJob,
    announcement,
    rehearsal_jobs,
    rehearsed,
    slots_on,
)
from trainers.config.base import Runtime
from trainers.config.plugins import behind

if TYPE_CHECKING:
    from orchestrator.execution.child.main import Driver

REHEARSAL_LOOK_S = 0.5  # between two looks at whether the user wants to stop
NOTE_S = 60.0  # after which is said what is waited for
SILENT_S = 45.0  # in which Ray must answer that a rehearsal still goes on
REHEARSING = ""  # what is rehearsed was said


def rehearsed_on_cluster(job: Rehearse, driver: Driver, after: contextlib.ExitStack) -> dict[str, Any]:
    """A cluster's nodes and what rehearsals on them find, as plain values, for the driver of this child.

    Args:
        job: what is rehearsed, and where.
        driver: is told what happens.
        after: ends what is left when the driver has heard everything.

    Raises:
        ExecutionError: the cluster is not there, differs from this machine, lacks data, or has no room.
    """
    trials = job.trials.specs()
    after.enter_context(joined(job.address, doing=driver.doing))
    gpus = float(ray_nodes.has_gpus())
    needs = needs_of(trials, job.resources, gpus=gpus)
    ray_nodes.check([own.bundle for own in needs.values()])
    driver.doing("looking at the nodes", 2 * ray_nodes.ANSWER_S)
    ray_nodes.check_alike()
    driver.doing("looking for the data on the nodes", 2 * ray_nodes.ANSWER_S)
    ray_nodes.check_data(trials, job.runtime.data_root)
    classes = cost_classes(trials, needs)
    driver.say(announcement(classes))
    findings = rehearsed_on_nodes(
        rehearsal_jobs(classes, job.runtime),
        limit_s=job.limit_s,
        most=job.resources.max_concurrent,
        stop=driver.stop,
        say=driver.say,
        doing=driver.doing,
    )
    found = ClusterFindings(gpus, [dict(node["Resources"]) for node in ray_nodes.alive()], findings)
    plain: dict[str, Any] = TypeAdapter(ClusterFindings).dump_python(found, mode="json")
    return plain


def settled(
    trials: Sequence[TrialSpec],
    needs: Mapping[str, TrialResources],
    runtime: Runtime,
    *,
    most: int | None,
    stop: Stop,
    say: Callable[[str], None],
    doing: Doing,
) -> dict[str, TrialResources]:
    """`needs` with nothing open, after rehearsals on the nodes where something was.

    A kind of trial that fails in its rehearsal gets a whole GPU and tells the rest when it is trained.

    Raises:
        ExecutionError: a node does not answer, or none has what was found to be needed.
        Interrupted: the user does not want to wait.
    """
    settled = dict(needs)
    for trial in trials:
        if needs[trial.id].is_open and hasattr(behind(trial.cell.loop), "NOT_REHEARSED"):
            settled[trial.id] = _closed(needs[trial.id])
    open_ones = [trial for trial in trials if settled[trial.id].is_open]
    if not open_ones:
        return settled
    classes = cost_classes(open_ones, needs)
    say(f"rehearsing {counted(len(classes), 'kind')} of trials, to see what they take")
    findings = rehearsed_on_nodes(
        rehearsal_jobs(classes, runtime), limit_s=LIMIT_S, most=most, stop=stop, say=say, doing=doing
    )
    for cost_class in classes:
        label, failure = cost_class.trials[0].cell.label, findings.failures.get(cost_class.name)
        found = findings.found.get(cost_class.name)
        if failure is not None:
            say(f"{label}: its rehearsal failed: {failure.reason}")
        if found is not None:
            own = resolve_auto(cost_class.needs, found)
            say(packing_note(label, own, found))
        elif failure is not None and failure.killed:
            raise ExecutionError(
                f"{label}: its rehearsal was killed, alone on its node: {failure.reason}; "
                "a trial needs more memory than there is: lower its sizes, or add a larger node"
            )
        else:
            own = _closed(cost_class.needs)
        settled.update({trial.id: own for trial in cost_class.trials})
    ray_nodes.check([own.bundle for own in settled.values()])
    return settled


def _closed(needs: TrialResources) -> TrialResources:
    """`needs` of a trial of which nothing is known: a whole GPU where its share is open."""
    return TrialResources.model_validate(needs.model_dump() | {"gpus": needs.share, "memory_gib": None})


def rehearsed_on_nodes(
    jobs: Sequence[RehearsalJob],
    *,
    limit_s: float,
    most: int | None,
    stop: Stop,
    say: Callable[[str], None],
    doing: Doing,
) -> Measurements:
    """What rehearsals find: of each kind of trial on one node, of those on GPUs on one with each type.

    Where types of GPU differ, what asks for most counts, and of equal ones the fullest: a trial must fit
    wherever it is sent. What failed on one type only is among the findings and among the failures.

    Args:
        jobs: one trial of each kind.
        limit_s: the longest epoch, in seconds, that is run to its end.
        most: trials that will run at once; None: as many as there is room for.
        stop: whether the user wants to stop.
        say: is told what is waited for.
        doing: is told again and again that it goes on.

    Raises:
        ExecutionError: a node cannot rehearse.
        Interrupted: the user does not want to wait.
    """
    together = Measurements({}, {})
    rooms = _rooms() if any(job.needs.share for job in jobs) else {}
    seen: set[tuple[str, str]] = set()
    for node in ray_nodes.alive():
        has = node["Resources"]
        accelerator = _accelerator(node)
        for on_gpu in (False, True):
            processor = accelerator if on_gpu else "CPU"
            fitting = [p for p in jobs if bool(p.needs.share) == on_gpu and fits(p.needs.bundle, has)]
            group = [job for job in fitting if (job.name, processor) not in seen]
            if not group:
                continue
            seen |= {(job.name, processor) for job in group}
            findings = _on(node, group, limit_s=limit_s, most=most, stop=stop, say=say, doing=doing)
            for name, failure in findings.failures.items():
                reason = f"{failure.reason} (node {ray_nodes.name_of(node)})"
                together.failures[name] = failure._replace(reason=reason)
            for name, found in findings.found.items():
                own, other = _in_room(found, rooms.get(processor)), together.found.get(name)
                together.found[name] = own if other is None else max(other, own, key=_weight)
    return together


def _on(
    node: dict[str, Any],
    group: list[RehearsalJob],
    *,
    limit_s: float,
    most: int | None,
    stop: Stop,
    say: Callable[[str], None],
    doing: Doing,
) -> Measurements:
    name, slots = ray_nodes.name_of(node), slots_on(node["Resources"], group, most)
    cpus = slots * max(job.runtime.threads for job in group)
    gpus = int(bool(group[0].needs.share))
    # A worker of its own, for the processes it leaves behind keep torch in memory.
    function: Callable[..., Any] = rehearsed
    task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0, max_calls=1)(function)
    here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    answer = task.options(scheduling_strategy=here).remote(group, slots=slots, limit_s=limit_s)
    noted, asked_at = False, time.monotonic()
    while not ray.wait([answer], timeout=REHEARSAL_LOOK_S)[0]:
        doing(REHEARSING, SILENT_S)
        if stop.requested:
            ray.cancel(answer, force=True)
            raise Interrupted
        if not noted and time.monotonic() - asked_at > NOTE_S:
            noted = True
            say(f"still rehearsing on {name}; where others use its cores or GPUs, this waits for them")
    try:
        findings: Measurements = ray.get(answer)
    except ray.exceptions.RayError as error:
        raise ExecutionError(f"node {name} cannot rehearse the trials: {ray_nodes.cause(error)}") from None
    return findings


def _accelerator(node: Mapping[str, Any]) -> str:
    """Ray's name for a node's type of GPU; empty where it knows none."""
    return next((name for name in node["Resources"] if name.startswith("accelerator_type:")), "")


def _rooms() -> dict[str, float]:
    """The least that is free on any GPU of a type, in GiB: cards of one name may have several sizes."""
    free, rooms = ray_nodes.everywhere(_free_gib, once=True), dict[str, float]()
    for node in ray_nodes.alive():
        for gib in free.get(ray_nodes.name_of(node), ()):
            accelerator = _accelerator(node)
            rooms[accelerator] = min(gib, rooms.get(accelerator, gib))
    return rooms


def _free_gib() -> list[float]:
    """Memory that is free on each GPU that Ray has on this machine, in GiB."""
    import os

    if not os.environ.get("CUDA_VISIBLE_DEVICES"):  # else it is this node's own, and Ray's GPUs are those
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)  # some Rays hide all GPUs from a task that reserves none
    import torch

    return [torch.cuda.mem_get_info(i)[0] / GIB for i in range(torch.cuda.device_count())]


def _in_room(found: Measurement, room_gib: float | None) -> Measurement:
    if room_gib is None or found.cost.room_gib is None:
        return found
    smaller = min(room_gib, found.cost.room_gib)
    return found._replace(cost=found.cost.model_copy(update={"room_gib": smaller}))


def _weight(found: Measurement) -> tuple[float, float]:
    """What of two findings asks for more: of a GPU, then of time."""
    return resolve_auto(TrialResources(gpus="auto"), found).share, found.cost.epoch_s
