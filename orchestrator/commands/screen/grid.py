"""What `plan`, `status` and `validate` print: cells against seeds, in characters or as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.answer import publish
from orchestrator.answer.marks import MARKS, MEANINGS
from orchestrator.errors import UsageError
from orchestrator.language.sweep_spec import SweepSpec
from orchestrator.planning.data import larger_than_data, missing_packages
from orchestrator.planning.evaluations import Evaluations, name_of, protocols
from orchestrator.planning.expand import expand, size
from orchestrator.planning.origin import code_note, edit_notes
from orchestrator.planning.plan import Plan, cut_note
from orchestrator.planning.trials import Cell
from orchestrator.process.words import listed
from orchestrator.records import status_of

SIGNS = MARKS | {"completed": "✓"}
SHOWN_CELLS = 40


def plan_text(plan: Plan, orphans: Sequence[str] = ()) -> str:
    """A sweep's cells with what is there and what will run, and the sum.

    `orphans` are trials that the sweep asked for once and asks for no more.
    """
    lines = cells_by_seed(plan)
    parts = [f"{len(plan.todo)} will run", f"{len(plan.done)} done"]
    if plan.interrupted:
        parts.append(f"{len(plan.interrupted)} go on where they stopped")
    if plan.failed_before:
        parts.append(f"{len(plan.failed_before)} failed before and will be tried again")
    lines.append(", ".join(parts + cut_note(plan) + edit_notes(plan.edited)))
    lines += [
        *plan.expansion.left_out,
        *plan.expansion.merged,
        *missing_packages(trial.cell for trial in plan.todo),
    ]
    if note := code_note(len(plan.done), plan.by_other_code):
        lines.append(f"{note}; `orch sweep --retrain-changed` trains them anew")
    if orphans:
        lines.append(f"{len(orphans)} in the store but not asked for here: {listed(orphans, 5, '; ')}")
    return "\n".join(lines)


def orphans(plan: Plan, asked_for: Mapping[str, str]) -> list[str]:
    """Labels of the trials that the sweep asked for once and, under no profile and seed, asks for now."""
    spec = plan.expansion.spec
    wanted = {trial.id for trial in plan.expansion.trials}
    # Whose evaluations are asked for is known of this selection alone, and of others by their names.
    asked_for = {i: label for i, label in asked_for.items() if _last_level(label) not in spec.evaluations}
    if asked_for.keys() <= wanted:  # the other profiles need not be expanded
        return []
    for profile in spec.profiles or [None]:
        for cell in expand(spec, profile=profile, seeds=[0]).cells:
            wanted |= {cell.trial_id(seed) for seed in spec.every_seed.union(plan.expansion.every_seed)}
    return sorted(label for trial_id, label in asked_for.items() if trial_id not in wanted)


def _last_level(label: str) -> str:
    """The last level in a trial's label."""
    return label.rpartition(" · seed ")[0].rpartition(" · ")[2]


def evaluations_text(found: Evaluations, plan: Plan, *, causes: bool = False) -> Iterator[str]:
    """How the evaluations of a sweep stand, a line each.

    Args:
        found: its evaluations.
        plan: how those stand whose encoders are there.
        causes: whether a line for each that has one, such as why it failed, follows.
    """
    for name, protocol in protocols(found.sweep).items():
        own = [trial for trial in plan.expansion.trials if name_of(trial) == name]
        counts = Counter(plan.status(trial.id) for trial in own)
        parts = [f"{number} {status}" for status, number in counts.items()]
        parts += [f"{found.waiting[name]} wait for an encoder"] if found.waiting.get(name) else []
        yield f"evaluation {name} ({protocol}): {', '.join(parts) or 'none'}"
    if causes:
        yield from _causes(plan, "evaluation ")


def evaluation_records(found: Evaluations, plan: Plan) -> list[dict[str, Any]]:
    """How each evaluation of a sweep stands, for programs."""
    rows = []
    for one, parent in found.every:
        there = one.id in found.parents
        record = plan.records.get(one.id) if there else None
        rows.append(
            {
                "evaluation": name_of(one),
                "id": one.id if there else None,
                "trial": parent.id,
                "cell": parent.cell.label,
                "seed": one.seed,
                "status": plan.status(one.id) if there else "waiting",
                "reason": record.reason if record else None,
            }
        )
    return rows


def status_text(plan: Plan) -> str:
    """A sweep's cells by seed, counts, and the cause of each failure."""
    counts = Counter(plan.status(trial.id) for trial in plan.expansion.trials)
    lines = cells_by_seed(plan)
    lines.append(", ".join(f"{number} {status}" for status, number in counts.items()))
    lines += plan.expansion.left_out
    return "\n".join([*lines, *_causes(plan)])


def _causes(plan: Plan, what: str = "") -> Iterator[str]:
    for trial in plan.expansion.trials:
        record = plan.records.get(trial.id)
        if record is not None and record.reason:
            yield f"{SIGNS[status_of(record)]} {what}{trial.label} ({trial.id}): {record.reason}"


def plan_record(plan: Plan) -> dict[str, Any]:
    """A plan for programs; cells that have others than `seeds` are in `cell_seeds`."""
    return {
        "sweep": plan.expansion.spec.name,
        "profile": plan.expansion.profile,
        "cells": len(plan.expansion.cells),
        "seeds": list(plan.expansion.seeds),
        "trials": len(plan.expansion.trials),
        "todo": [
            {"id": t.id, "cell": t.cell.label, "seed": t.seed} | ({"from": t.parent.id} if t.parent else {})
            for t in plan.todo
        ],
        "done": [t.id for t in plan.done],
        "trained_by_other_code": plan.by_other_code,
        "cell_seeds": [
            {"cell": cell.label, "seeds": list(own)}
            for cell in plan.expansion.cells
            if (own := plan.expansion.seeds_of(cell)) != plan.expansion.seeds
        ],
    }


def status_record(plan: Plan) -> dict[str, Any]:
    """How each trial stands, for programs."""
    rows = []
    for trial in plan.expansion.trials:
        record = plan.records.get(trial.id)
        rows.append(
            {
                "id": trial.id,
                "cell": trial.cell.label,
                "seed": trial.seed,
                "status": plan.status(trial.id),
                "collapse": record.collapse if record else None,
                "reason": record.reason if record else None,
                "run": record.run if record else None,
            }
        )
    return {"sweep": plan.expansion.spec.name, "profile": plan.expansion.profile, "trials": rows}


def validated(spec: SweepSpec, file: str) -> str:
    """One line per profile of a valid sweep.

    Raises:
        UsageError: a table or figure cannot be made of its cells.
    """
    lines = []
    for profile in spec.profiles or [None]:
        made = expand(spec, profile=profile, default_place=f"{file}:1")
        try:
            publish.check(made)
            if problems := list(larger_than_data(made.cells, None)):
                raise UsageError("\n".join(problems))
        except UsageError as error:
            raise UsageError("\n".join(f"{file}: {line}" for line in str(error).split("\n"))) from None
        under = f"profile {profile}: " if profile else ""
        lines.append(f"{file}: ok, {under}{size(made)}")
        lines += [f"{file}: {under}{line}" for line in (*made.merged, *missing_packages(made.cells))]
    return "\n".join(lines)


def cells_by_seed(plan: Plan) -> list[str]:
    """A sweep's cells against its seeds, and what the signs mean."""
    expansion = plan.expansion
    width = max(len(cell.label) for cell in expansion.cells)
    seeds = expansion.every_seed
    lines = [f"  {'seed':{width}}  {' '.join(str(seed) for seed in seeds)}"] if len(seeds) <= 20 else []
    for cell in expansion.cells[:SHOWN_CELLS]:
        signs = [
            (_sign(plan, cell, seed) if seed in expansion.seeds_of(cell) else "").rjust(len(str(seed)))
            for seed in seeds[:SHOWN_CELLS]
        ]
        lines.append(f"  {cell.label:{width}}  {' '.join(signs)}".rstrip())
    if len(expansion.cells) > SHOWN_CELLS:
        lines.append(f"  ... and {len(expansion.cells) - SHOWN_CELLS} more cells")
    ids = [
        cell.trial_id(seed)
        for cell in expansion.cells[:SHOWN_CELLS]
        for seed in seeds[:SHOWN_CELLS]
        if seed in expansion.seeds_of(cell)
    ]
    used = {status_of(plan.records.get(i)) for i in ids}
    lines.append("  " + "  ".join(f"{SIGNS[s]} {MEANINGS.get(s, s)}" for s in SIGNS if s in used))
    return lines


def _sign(plan: Plan, cell: Cell, seed: int) -> str:
    return SIGNS[status_of(plan.records.get(cell.trial_id(seed)))]
