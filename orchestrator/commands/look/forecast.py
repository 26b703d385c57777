"""What a sweep will take where it would run: rehearsals here or on a cluster, and a page about them."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from orchestrator.commands.options import sayer
from orchestrator.commands.request import Request
from orchestrator.errors import UsageError
from orchestrator.execution.address import check_reachable, parsed_address
from orchestrator.execution.child.conversation import ask
from orchestrator.execution.child.messages import Rehearse
from orchestrator.execution.child.trials import on_the_wire
from orchestrator.language.resources import Bundle, SweepResources, check_room
from orchestrator.planning.data import missing_data
from orchestrator.planning.plan import Plan
from orchestrator.planning.trials import TrialSpec
from orchestrator.process.machine import cores, has_gpu
from orchestrator.process.signals import breaking_off
from orchestrator.process.waiting import said_if_slow
from orchestrator.process.words import counted, duration, in_columns
from orchestrator.recording.workspace import Workspace
from orchestrator.rehearsal.forecast import (
    RAY_START_S,
    CostClass,
    Forecast,
    cost_classes,
    forecast,
    needs_of,
    packing_note,
)
from orchestrator.rehearsal.rehearse import (
    ClusterFindings,
    Measurements,
    announcement,
    rehearsal_jobs,
    rehearsed,
    slots_on,
)
from trainers.config.base import Runtime
from trainers.config.plugins import behind


class ForecastReport(NamedTuple):
    """A forecast and what it rests on."""

    forecast: Forecast | None
    """None if nothing is left to train, or every rehearsal failed."""
    failures: dict[str, str]
    """Why rehearsals failed, by the cell's label."""
    where: str
    rehearsed_s: float
    left_out: int = 0
    """Trials that the forecast does not count, for their rehearsals failed."""
    unknown: tuple[str, ...] = ()
    """A line on the trials of each trainer that is not rehearsed."""

    @property
    def wall_s(self) -> float:
        """Seconds from the command to its end; 0 if there is no forecast."""
        return self.forecast.wall_s + RAY_START_S if self.forecast else 0.0

    def text(self, *, now: datetime) -> str:
        """A forecast for a person, `now` being when the sweep would be started."""
        lines = [f"  {line}" for line in self.unknown]
        lines += [f"  {label}: its rehearsal failed: {reason}" for label, reason in self.failures.items()]
        if self.forecast is None:
            return "\n".join([*lines, "nothing to forecast"])
        made = self.forecast
        head = ("", "trials", "one trial", "an epoch", "a step", "memory")
        body = [_row(row.cost_class, row.trial_s, row.found.cost.model_dump()) for row in made.rows]
        lines += [f"  {line}" for line in in_columns([head, *body], right=True)]
        lines += [
            f"  {packing_note(r.cost_class.trials[0].cell.label, r.needs, r.found)}"
            for r in made.rows
            if r.cost_class.needs.is_open or r.needs.share
        ]
        end = now + timedelta(seconds=self.wall_s)
        day = "" if end.date() == now.date() else f" on {end:%Y-%m-%d}"
        lines.append(
            f"forecast: {duration(self.wall_s)} on {self.where}, {counted(made.together, 'trial')} at a time"
            f"; {made.gpu_hours:.2g} GPU-hours, {made.cpu_hours:.2g} CPU-hours; started now, "
            f"it ends at {end:%H:%M}{day}"
        )
        if self.left_out:
            lines.append(f"  without {counted(self.left_out, 'trial')} whose rehearsal failed")
        if not made.is_whole:
            lines.append(
                "  at least: an epoch was too long to rehearse whole, so evaluations are not counted"
            )
        return "\n".join(lines)

    def record(self) -> dict[str, Any]:
        """A forecast for programs."""
        made = self.forecast
        return {
            "failures": self.failures,
            "left_out": self.left_out,
            "unknown": list(self.unknown),
            "wall_s": self.wall_s if made else None,
            "gpu_hours": made.gpu_hours if made else None,
            "cpu_hours": made.cpu_hours if made else None,
            "together": made.together if made else None,
            "whole": made.is_whole if made else None,
            "rehearsed_s": self.rehearsed_s,
            "kinds": [
                {
                    "cells": sorted({trial.cell.label for trial in row.cost_class.trials}),
                    "trials": len(row.cost_class.trials),
                    "trial_s": row.trial_s,
                    "cost": row.found.cost.model_dump(),
                    "needs": row.needs.model_dump(exclude_none=True),
                    "steps_per_s_by_trials_on_a_gpu": dict(row.found.paces)
                    if len(row.found.paces) > 1
                    else None,
                }
                for row in (made.rows if made else ())
            ],
        }


def total(told: Sequence[ForecastReport]) -> str:
    """How long several sweeps take, for a person."""
    return duration(sum(one.wall_s for one in told))


@breaking_off("trials were being rehearsed, and nothing of that is kept")
def forecast_for(
    request: Request, plan: Plan, new: Sequence[TrialSpec], *, pack: bool, address: str | None, limit_s: float
) -> ForecastReport:
    """What training `new` of a sweep's `plan` takes, and evaluating; raises as `forecast_of`."""
    later: list[TrialSpec] = []
    if request.spec.evaluations:
        found, own = request.evaluation_plan(plan.records)
        trained = {trial.id for trial in plan.todo}
        after = (one for one, of in found.every if one.id not in found.parents and of.id in trained)
        later = [*own.todo, *after]
    resources = request.spec.resources.with_auto if pack else request.spec.resources
    say = sayer(silent=False)
    return forecast_of([*new, *later], resources, request.space, address=address, limit_s=limit_s, say=say)


def forecast_of(
    todo: Sequence[TrialSpec],
    resources: SweepResources,
    space: Workspace,
    *,
    address: str | None,
    limit_s: float,
    say: Callable[[str], None],
) -> ForecastReport:
    """What training `todo` takes on this machine, or on the cluster at `address`.

    Raises:
        UsageError: data is not there.
        ExecutionError: no node has what a trial asks for, or the cluster cannot be asked.
    """
    todo, unknown = _told_apart(todo)
    if not todo:
        return ForecastReport(None, {}, "", 0.0, unknown=unknown)
    runtime = Runtime(data_root=space.data_root)
    began = time.monotonic()
    address = parsed_address(address) if address else None
    if address is None:
        problems = list(missing_data(todo, space.data_root))
        if problems:
            raise UsageError("\n".join(problems))
        node = _this_machine()
        nodes, classes = (
            [node],
            cost_classes(todo, needs_of(todo, resources, gpus=min(1.0, node.get("GPU", 0.0)))),
        )
        check_room([cost_class.needs.bundle for cost_class in classes], nodes)
        where = "this machine"
        say(announcement(classes))
        group = rehearsal_jobs(classes, runtime)
        slots = slots_on(node, group, resources.max_concurrent)
        findings = rehearsed(group, slots=slots, limit_s=limit_s)
    else:
        nodes, classes, findings = _on_cluster(todo, resources, runtime, address, limit_s=limit_s, say=say)
        where = counted(sum(node.get("CPU", 0) >= 1 for node in nodes), "node")
    known = tuple(cost_class for cost_class in classes if cost_class.name in findings.found)
    labels = {cost_class.name: cost_class.trials[0].cell.label for cost_class in classes}
    failures = {labels[name]: failure.reason for name, failure in findings.failures.items()}
    trained = {trial.id for cost_class in known for trial in cost_class.trials}
    order = [trial for trial in todo if trial.id in trained]
    made = forecast(findings.found, known, order, nodes, most=resources.max_concurrent) if order else None
    took, left_out = time.monotonic() - began, len(todo) - len(order)
    return ForecastReport(made, failures, where, took, left_out=left_out, unknown=unknown)


def _told_apart(todo: Sequence[TrialSpec]) -> tuple[list[TrialSpec], tuple[str, ...]]:
    """The trials that can be rehearsed, and a line on those of each trainer that is not."""
    reasons = {trial.id: getattr(behind(trial.cell.loop), "NOT_REHEARSED", None) for trial in todo}
    others = Counter((_called(trial), reasons[trial.id]) for trial in todo if reasons[trial.id])
    lines = tuple(f"{name}: {counted(n, 'trial')} not counted: {why}" for (name, why), n in others.items())
    return [trial for trial in todo if not reasons[trial.id]], lines


def _called(trial: TrialSpec) -> str:
    """Its trainer; of an evaluation of a sweep's encoders also what that is called."""
    axis, level = trial.cell.choice[-1] if trial.cell.choice else ("", None)
    evaluates = trial.cell.trainer == "evaluation" == axis
    return f"evaluation {level}" if evaluates else trial.cell.trainer


def _on_cluster(
    todo: Sequence[TrialSpec],
    resources: SweepResources,
    runtime: Runtime,
    address: str,
    *,
    limit_s: float,
    say: Callable[[str], None],
) -> tuple[list[Bundle], tuple[CostClass, ...], Measurements]:
    with said_if_slow(f"looking for Ray at {address}", say):
        check_reachable(address)
    job = Rehearse(
        trials=on_the_wire(todo), resources=resources, runtime=runtime, address=address, limit_s=limit_s
    )
    found = TypeAdapter(ClusterFindings).validate_python(ask(job, say=say))
    return found.nodes, cost_classes(todo, needs_of(todo, resources, gpus=found.gpus)), found.findings


def _this_machine() -> Bundle:
    """What this machine has, by Ray's names."""
    node = {"CPU": float(cores())}
    node["memory"] = 0.7 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")  # as Ray counts it
    if has_gpu():
        import torch

        node["GPU"] = float(torch.cuda.device_count())
    return node


def _row(cost_class: CostClass, trial_s: float, cost: dict[str, Any]) -> tuple[str, ...]:
    cells = list(dict.fromkeys(trial.cell.label for trial in cost_class.trials))
    label = cells[0] if len(cells) == 1 else f"{cells[0]} and {len(cells) - 1} more cells"
    step = "" if cost["step_s"] is None else f"{1000 * cost['step_s']:.3g} ms"
    epoch = f"{cost['epoch_s']:.3g} s" if cost["epoch_s"] else ""
    return label, str(len(cost_class.trials)), duration(trial_s), epoch, step, f"{cost['host_gib']:.1f} GiB"
