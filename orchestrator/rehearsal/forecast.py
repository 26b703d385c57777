"""From what rehearsals measured to what a sweep takes: trials that share a GPU, seconds, GPU-hours."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from orchestrator.language.resources import Bundle, SweepResources, TrialResources, check_room
from orchestrator.planning.trials import TrialSpec
from trainers.attempt.rehearsal import Cost
from trainers.config.base import LoopConfig, canonical, identity_dump
from trainers.config.plugins import behind

FILLED = 0.9  # of a GPU's free memory: allocators leave holes, and steps differ a little
GAIN = 1.1  # by which twice as many trials at once must do more, or they are not worth their memory
LEFT_OVER = 1.15  # more memory than was seen, for a longer training's caches and records
RAY_START_S = 8.0  # until the first trial on Ray begins (benchmarks/README.md)


class CostClass(NamedTuple):
    """Trials that cost the same: their configs differ in the seed, the epochs and real numbers alone."""

    name: str
    needs: TrialResources
    trials: tuple[TrialSpec, ...]


class Measurement(NamedTuple):
    """What rehearsals found out about trials of one cost class."""

    cost: Cost
    paces: Mapping[int, float] = {1: 1.0}
    """Steps per second of so many trials on one GPU, all together."""

    @property
    def together(self) -> int:
        """How many trials should share a GPU, as far as getting more done goes."""
        counts = sorted(self.paces)
        best = counts[0]
        for fewer, more in itertools.pairwise(counts):
            if self.paces[more] < GAIN * self.paces[fewer]:
                break
            best = more
        return best

    def slower(self, together: int) -> float:
        """How many times longer a trial takes while `together` share its GPU."""
        count = max((c for c in self.paces if c <= together), default=1)
        return max(1.0, together * self.paces[min(self.paces)] / self.paces[count])


class Row(NamedTuple):
    """The forecast of one cost class."""

    cost_class: CostClass
    found: Measurement
    needs: TrialResources
    """What each of its trials asks for, nothing open."""
    trial_s: float
    """Seconds of one trial, among others."""


class Forecast(NamedTuple):
    """What a sweep will take."""

    rows: tuple[Row, ...]
    wall_s: float
    gpu_hours: float
    cpu_hours: float
    together: int
    """Most trials at once."""

    @property
    def is_whole(self) -> bool:
        """Whether every cost class was rehearsed to the end of an epoch and its evaluation."""
        return all(row.found.cost.whole for row in self.rows)


def needs_of(
    trials: Sequence[TrialSpec], resources: SweepResources, *, gpus: float
) -> dict[str, TrialResources]:
    """What each trial asks for, by id; `gpus` where the file leaves that open and the trainer uses any."""
    found: dict[str, TrialResources] = {}
    for cell in {trial.cell.id: trial.cell for trial in trials}.values():
        uses = getattr(behind(cell.loop), "USES_GPU", True)
        found[cell.id] = resources.of(dict(cell.choice), gpus=gpus if uses else 0.0)
    return {trial.id: found[trial.cell.id] for trial in trials}


def cost_classes(trials: Sequence[TrialSpec], needs: Mapping[str, TrialResources]) -> tuple[CostClass, ...]:
    """The cost classes of the trials, in the order of their first trials.

    Args:
        trials: the trials.
        needs: what each asks for, by id.
    """
    found: dict[str, list[TrialSpec]] = {}
    for trial in trials:
        own = needs[trial.id].model_dump(mode="json")
        found.setdefault(canonical([_shape(trial.config), own]), []).append(trial)
    return tuple(CostClass(name, needs[own[0].id], tuple(own)) for name, own in found.items())


def resolve_auto(needs: TrialResources, found: Measurement) -> TrialResources:
    """`needs` with nothing open: a share of a GPU and memory for what a trial was seen to take.

    What was not seen to its end may take more at its end: it gets a whole GPU.
    """
    cost, settled = found.cost, dict[str, Any]()
    if needs.gpus == "auto":
        # Ray counts in ten-thousandths; rounded down, so that 3 times 1/3 fit.
        share = math.floor(10_000 / found.together) / 10_000
        if cost.gpu_gib is not None and cost.room_gib:
            share = max(share, math.ceil(10_000 * cost.gpu_gib / (FILLED * cost.room_gib)) / 10_000)
        settled["gpus"] = min(1.0, share) if cost.whole else 1.0
    if needs.memory_gib == "auto":
        settled["memory_gib"] = math.ceil(cost.host_gib * LEFT_OVER * 10) / 10
    return TrialResources.model_validate(needs.model_dump() | settled)


def packing_note(label: str, needs: TrialResources, found: Measurement) -> str:
    """What trials of a cost class get, and why, in one line."""
    cost, parts = found.cost, list[str]()
    if needs.share:
        many = int(1 / needs.share + 1e-6)
        parts.append("a whole GPU" if needs.share == 1 else f"{needs.share:g} of a GPU, {many} at once")
        if cost.gpu_gib is not None and cost.room_gib is not None:
            parts.append(f"{cost.gpu_gib:.1f} of {cost.room_gib:.1f} GiB free on it")
        if many in found.paces and many > 1:
            parts.append(f"{found.paces[many] / found.paces[1]:.2f} times the steps of one")
    parts.append(
        f"{cost.host_gib:.1f} GiB of memory"
        + (f", {needs.memory_gib:g} set aside" if needs.memory_gib else "")
    )
    if not cost.whole:
        parts.append("its epoch is too long to be rehearsed whole, so it shares no GPU")
    return f"{label}: {'; '.join(parts)}"


def forecast(
    found: Mapping[str, Measurement],
    classes: Sequence[CostClass],
    order: Sequence[TrialSpec],
    nodes: Sequence[Bundle],
    *,
    most: int | None,
) -> Forecast:
    """What training `order` takes on `nodes`.

    Args:
        found: what rehearsals found, by the name of the cost class.
        classes: the cost classes.
        order: the trials, in the order in which they are begun.
        nodes: what each node has, by Ray's names.
        most: trials at once; None: as many as there is room for.

    Raises:
        ExecutionError: no node has what a trial turns out to need.
    """
    rows, seconds, bundles = [], {}, {}
    for cost_class in classes:
        own, needs = found[cost_class.name], resolve_auto(cost_class.needs, found[cost_class.name])
        slower = own.slower(_sharing(needs, nodes, min(most or len(order), len(order))))
        for trial in cost_class.trials:
            epochs = int(getattr(trial.config, "epochs", None) or 0)
            seconds[trial.id] = own.cost.of(epochs) * slower
            bundles[trial.id] = needs.bundle
        rows.append(Row(cost_class, own, needs, seconds[cost_class.trials[0].id]))
    check_room([row.needs.bundle for row in rows], nodes)
    starts = {
        trial.id: found[cost_class.name].cost.start_s for cost_class in classes for trial in cost_class.trials
    }
    jobs = [(seconds[t.id], starts[t.id], bundles[t.id]) for t in order]
    wall_s, together = _scheduled(jobs, nodes, most=most)
    return Forecast(
        tuple(rows),
        wall_s=wall_s,
        gpu_hours=sum(seconds[t.id] * bundles[t.id].get("GPU", 0.0) for t in order) / 3600,
        cpu_hours=sum(seconds[t.id] * bundles[t.id]["CPU"] for t in order) / 3600,
        together=together,
    )


def _sharing(needs: TrialResources, nodes: Sequence[Bundle], most: int) -> int:
    """How many trials that need this share each GPU, where cores, memory or `most` may allow fewer."""
    gpus = sum(int(node.get("GPU", 0)) for node in nodes)
    if not needs.share or not gpus:
        return 1
    others = {name: amount for name, amount in needs.bundle.items() if name != "GPU"}
    room = sum(
        min(
            int(node.get("GPU", 0)) * int(1 / needs.share + 1e-6),
            *(int(node.get(name, 0) / amount + 1e-6) for name, amount in others.items()),
        )
        for node in nodes
    )
    return max(1, math.ceil(min(room, most) / gpus))


def _scheduled(
    jobs: Sequence[tuple[float, float, Bundle]], nodes: Sequence[Bundle], *, most: int | None
) -> tuple[float, int]:
    """When the last job ends, and how many ran at once, if each begins as soon as there is room.

    A job is (seconds, seconds more on a worker that has run none, what it asks for). GPUs are counted one
    by one, for a share must fit on one. Each job fits on some node that is empty.
    """
    rooms = [_Room(node) for node in nodes]
    waiting: dict[str, deque[int]] = {}
    for index, (_, _, bundle) in enumerate(jobs):
        waiting.setdefault(canonical(bundle), deque()).append(index)
    running: list[tuple[float, int, _Room, tuple[Bundle, int]]] = []
    now, at_once = 0.0, 0
    while any(waiting.values()) or running:
        for queue in sorted((q for q in waiting.values() if q), key=lambda q: q[0]):
            while queue and (most is None or len(running) < most):
                seconds, start, bundle = jobs[queue[0]]
                taken = next(((r, t) for r in rooms if (t := r.take(bundle)) is not None), None)
                if taken is None:
                    break
                end = now + seconds + (start if now == 0 else 0.0)
                heapq.heappush(running, (end, queue.popleft(), *taken))
        at_once = max(at_once, len(running))
        now, _, room, taken_there = heapq.heappop(running)
        room.give_back(*taken_there)
    return now, at_once


class _Room:
    """What is free on a node."""

    def __init__(self, node: Bundle) -> None:
        self.free = {name: value for name, value in node.items() if name != "GPU"}
        self.gpus = [1.0] * int(node.get("GPU", 0))

    def take(self, bundle: Bundle) -> tuple[Bundle, int] | None:
        """What was taken, and from which GPU (-1: none); None if there is no room."""
        share, rest = bundle.get("GPU", 0.0), {k: v for k, v in bundle.items() if k != "GPU"}
        if any(self.free.get(name, 0.0) < value - 1e-9 for name, value in rest.items()):
            return None
        gpu = next((i for i, free in enumerate(self.gpus) if free >= share - 1e-9), -1) if share else -1
        if share and gpu < 0:
            return None
        self._change(bundle, gpu, -1.0)
        return bundle, gpu

    def give_back(self, bundle: Bundle, gpu: int) -> None:
        """The job that took it has ended."""
        self._change(bundle, gpu, 1.0)

    def _change(self, bundle: Bundle, gpu: int, sign: float) -> None:
        for name, value in bundle.items():
            if name == "GPU":
                self.gpus[gpu] += sign * value
            else:
                self.free[name] += sign * value


def alone(config: LoopConfig) -> LoopConfig:
    """The same trial, starting from no other's encoder: it costs the same."""
    encoder: Any = getattr(config, "encoder", None)
    if getattr(encoder, "from_trial", None) is None:
        return config
    return config.model_validate(dict(config) | {"encoder": encoder.starting_from(None)})


def _shape(config: LoopConfig) -> Any:
    """What of a config decides the cost of its training: real numbers only by being zero or not.

    Without epochs they all count: such a loop's own step and duration are real numbers.
    """

    def reduced(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: reduced(item) for name, item in value.items()}
        if isinstance(value, list):
            return [reduced(item) for item in value]
        return bool(value) if isinstance(value, float) else value

    content = identity_dump(alone(config))
    if "epochs" not in content:
        return {name: value for name, value in content.items() if name != "seed"}
    return reduced({name: value for name, value in content.items() if name not in ("seed", "epochs")})
