"""Rehearses trials on this machine, each in a fresh process: for its own peak of memory, and a clean end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from orchestrator.language.resources import Bundle, TrialResources
from orchestrator.process.secrets import kept_to_itself
from orchestrator.process.words import counted
from orchestrator.rehearsal.forecast import FILLED, GAIN, CostClass, Measurement, alone
from trainers.attempt.rehearsal import Cost, RehearsalError, pace, rehearse
from trainers.config.base import LoopConfig, Runtime

LIMIT_S = 60.0  # of an epoch that is rehearsed whole
WINDOW_S = 4.0  # in which steps are counted while several trials share a GPU
GATHER_S = 180.0  # in which they must all have made their first steps
REHEARSAL_S = 600.0  # in which a rehearsal must have answered, beside five epochs of the limit


class RehearsalJob(NamedTuple):
    """A trial that is rehearsed for its kind."""

    name: str
    config: LoopConfig
    needs: TrialResources
    runtime: Runtime
    number: int
    """Trials of its kind."""

    @property
    def shares(self) -> bool:
        """Whether it has, or may get, less than a whole GPU."""
        return self.needs.gpus == "auto" or 0 < self.needs.share < 1


def rehearsal_jobs(classes: Sequence[CostClass], runtime: Runtime) -> list[RehearsalJob]:
    """The first trial of each kind, to be rehearsed under `runtime`."""
    return [
        RehearsalJob(
            name=cost_class.name,
            config=alone(cost_class.trials[0].config),
            needs=cost_class.needs,
            runtime=cost_class.needs.runtime(runtime),
            number=len(cost_class.trials),
        )
        for cost_class in classes
    ]


def slots_on(node: Bundle, group: Sequence[RehearsalJob], most: int | None) -> int:
    """How many trials of `group` a node trains at a time; where they use GPUs, on each of them.

    Args:
        node: what it has, by Ray's names.
        group: one trial of each kind.
        most: trials that may run at once; None: as many as there is room for.
    """
    gpus = int(node.get("GPU", 0)) if any(job.needs.share for job in group) else 0
    slots = max(1, int(node["CPU"] // max(job.runtime.threads for job in group)) // max(1, gpus))
    return min(slots, most or slots, sum(job.number for job in group))


class Failure(NamedTuple):
    """Why a rehearsal found nothing, in one line."""

    reason: str
    killed: bool = False
    """Whether its process was: by the kernel, as a rule, because memory is short."""


class Measurements(NamedTuple):
    """What rehearsals found, or why not, by the kind's name."""

    found: dict[str, Measurement]
    failures: dict[str, Failure]


class ClusterFindings(NamedTuple):
    """What rehearsals on a cluster found; it travels as plain values."""

    gpus: float
    """GPUs of a trial for which the sweep file leaves that open."""
    nodes: list[Bundle]
    """What each node has, by Ray's names."""
    findings: Measurements


def announcement(classes: Sequence[CostClass]) -> str:
    """What is said before these kinds are rehearsed."""
    return f"rehearsing {counted(len(classes), 'kind')} of trials, an epoch of each"


def rehearsed(jobs: Sequence[RehearsalJob], *, slots: int, limit_s: float = LIMIT_S) -> Measurements:
    """What rehearsals on this machine find.

    On a CPU `slots` of them run at a time, as trials will; what is killed in that crowd is asked again alone.
    On a GPU one at a time; then, where they share one, twice as many of the costliest kind again and again,
    until that gets nothing more done, or memory is full.

    Args:
        jobs: one trial of each kind.
        slots: trials at once.
        limit_s: the longest epoch, in seconds, that is run to its end.
    """
    findings = Measurements({}, {})
    on_cpu = [job for job in jobs if job.runtime.device == "cpu"]
    on_gpu = [job for job in jobs if job.runtime.device != "cpu"]
    with _Processes(patience_s=REHEARSAL_S + 5 * limit_s) as processes:

        def ask(group: Sequence[RehearsalJob], together: int) -> None:
            calls = [(rehearse, (p.config,), {"runtime": p.runtime, "limit_s": limit_s}) for p in group]
            for job, answer in zip(group, processes.answers(calls, together=together), strict=True):
                if isinstance(answer, Failure):
                    findings.failures.setdefault(job.name, answer)
                else:
                    findings.found.setdefault(job.name, Measurement(answer))
            for name in findings.found:  # somebody of the same kind came to its end
                findings.failures.pop(name, None)

        # Cores that would be busy are kept busy: a trial alone has the memory's whole bandwidth.
        size = max(len(on_cpu), min(slots, sum(job.number for job in on_cpu)))
        ask([on_cpu[i % len(on_cpu)] for i in range(size)], slots)
        killed = [p for p in on_cpu if p.name in findings.failures and findings.failures[p.name].killed]
        for job in killed if slots > 1 else ():
            del findings.failures[job.name]
            ask([job], 1)
        ask(on_gpu, 1)
        sharing = [job for job in on_gpu if job.shares and job.name in findings.found]
        if sharing:
            paces = _paces(sharing, findings.found, processes, slots=slots)
            findings.found.update({p.name: findings.found[p.name]._replace(paces=paces) for p in sharing})
    return findings


def _paces(
    sharing: Sequence[RehearsalJob], found: Mapping[str, Measurement], processes: _Processes, *, slots: int
) -> dict[int, float]:
    """The paces of that kind of trial on which most time is spent."""

    def weight(job: RehearsalJob) -> float:
        return job.number * found[job.name].cost.of(int(getattr(job.config, "epochs", None) or 0))

    costliest = max(sharing, key=weight)
    most = min(slots, _fit(found[costliest.name].cost), sum(job.number for job in sharing))
    return paces_of(costliest, processes, most=most)


def paces_of(
    job: RehearsalJob, processes: _Processes, *, most: int, window_s: float = WINDOW_S
) -> dict[int, float]:
    """Steps per second of 1, 2, 4 … trials at once, all together, up to `most` or until it gains nothing."""
    paces: dict[int, float] = {}
    count = 1
    while count <= max(1, most):
        gate = processes.context.Barrier(count)
        named = {"runtime": job.runtime, "window_s": window_s}
        calls = [(_paced, (job.config, gate), named)] * count
        answers = processes.answers(calls, together=count)
        if any(answer is None or isinstance(answer, Failure) for answer in answers):
            break  # no steps to count, or no room for so many: fewer are known to work
        paces[count] = sum(answers)
        if count > 1 and paces[count] < GAIN * paces[count // 2]:
            break
        count *= 2
    return paces or {1: 1.0}


def _paced(config: LoopConfig, gate: Any, *, runtime: Runtime, window_s: float) -> float | None:
    def ready() -> None:
        gate.wait(timeout=GATHER_S)

    try:
        return pace(config, runtime=runtime, ready=ready, window_s=window_s)
    except RehearsalError:
        gate.abort()  # the others need not wait for this one
        raise


def _fit(cost: Cost) -> int:
    """How many trials a GPU's memory has room for."""
    if cost.gpu_gib is None or cost.room_gib is None:
        return 10**6
    return int(FILLED * cost.room_gib / cost.gpu_gib)


class _Processes:
    """Calls functions, each in a fresh process that has torch loaded; on leaving none of them still runs."""

    def __init__(self, *, patience_s: float = REHEARSAL_S) -> None:
        self.patience_s = patience_s
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["torch", "trainers.attempt.rehearsal"])
        # It imports torch first, and Ctrl-C is this process's to answer. The tracker of resources, which it
        # would start itself, would let the signal through again.
        with kept_to_itself():
            resource_tracker.ensure_running()
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                forkserver.ensure_running()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._running: set[Any] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> _Processes:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            for process in self._running:
                process.kill()

    def answers(
        self, calls: Sequence[tuple[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]]], *, together: int
    ) -> list[Any]:
        """What each call returns, or a `Failure`; so many at a time."""
        if not calls:
            return []
        pool = ThreadPoolExecutor(together)
        try:
            return list(pool.map(lambda call: self._answer(*call), calls))
        except BaseException:
            self.__exit__()  # so that the threads, which wait for their processes, end
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def _answer(self, function: Callable[..., Any], arguments: Any, named: Mapping[str, Any]) -> Any:
        receiver, sender = self.context.Pipe(duplex=False)
        process = self.context.Process(target=_child, args=(sender, function, arguments, named), daemon=True)
        process.start()
        with self._lock:
            self._running.add(process)
        sender.close()
        try:
            if not receiver.poll(self.patience_s):
                return Failure(f"no answer within {self.patience_s / 60:.0f} min")
            return receiver.recv()
        except EOFError:
            process.join()
            reason = f"its process ended with {process.exitcode}; was memory short?"
            return Failure(reason, killed=process.exitcode == -signal.SIGKILL)
        finally:
            process.kill()
            process.join()
            with self._lock:
                self._running.discard(process)


def _child(
    sender: Connection, function: Callable[..., Any], arguments: Any, named: Mapping[str, Any]
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if named["runtime"].device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    try:
        sender.send(function(*arguments, **named))
    except RehearsalError as error:
        sender.send(Failure(str(error)))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
