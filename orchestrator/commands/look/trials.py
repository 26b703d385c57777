"""What is known of single trials and evaluations: why they stand as they do, which failed, their logs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestrator.answer import explain
from orchestrator.commands.request import Request
from orchestrator.commands.screen import grid
from orchestrator.errors import StoreError, UsageError
from orchestrator.planning.evaluations import Evaluations, evaluations
from orchestrator.planning.plan import (
    RETRAINS,
    Plan,
    Unfit,
    encoder_notes,
    from_elsewhere,
    hindered,
    make_plan,
    stages,
    start_notes,
)
from orchestrator.planning.trials import TrialSpec
from orchestrator.process.words import counted, listed
from orchestrator.recording.logs import log_path
from orchestrator.recording.trial_files import lost_encoders, parent_records
from orchestrator.records import TrialRecord, status_of


def why(request: Request, text: str) -> Iterator[str]:
    """Lines on each trial, or evaluation, that `text` names: from the file to the next step.

    Raises:
        UsageError: it names nothing, or several cells.
    """
    chosen, found = request.named(text)
    records = request.records()
    beside = request.evaluation_plan(records) if found is None and request.spec.evaluations else None
    for number, trial in enumerate(chosen):
        if found is not None:
            lines = _of_evaluation(request, found, trial, records)
        else:
            lines = _of_trial(request, trial, records.get(trial.id))
            lines[(at := _after_id(lines)) : at] = _start(request, trial, records)
            more = list(_encoder(request, records.get(trial.id)))
            if beside is not None:
                every, plan = beside
                more += explain.evaluation_lines(every.of([trial]), every, plan.records)
            lines[-1:-1] = more  # what to do next comes last
            lines[-1:] = _first(request, trial, records) or lines[-1:]
        told = (f"{what:11}{request.filled(words)}" for what, words in lines)
        yield ("\n" if number else "") + "\n".join(told)


def _of_trial(request: Request, trial: TrialSpec, record: TrialRecord | None) -> list[tuple[str, str]]:
    store, log = request.store().describe(), request.space.log_of(trial.id)
    told = None if log is None else str(log)
    return explain.explanation(request.expansion, trial, record, store=store, log=told)


def _encoder(request: Request, record: TrialRecord | None) -> Iterator[tuple[str, str]]:
    """A line on the encoder that a trial has kept; none where its record tells of none."""
    if record is not None and record.encoder is not None:
        told = f"kept, digest {record.encoder[:12]}"
        if why := _lost(request, [record]).get(record.trial_id):
            told = f"{told}, and {why}; {RETRAINS} it anew"
        yield "encoder", told


def _lost(request: Request, records: Iterable[TrialRecord]) -> dict[str, str]:
    """Why kept encoders cannot be used; nothing of a server's, from which they would be fetched for that."""
    if request.space.store_at.file is None:
        return {}
    return lost_encoders(records, request.store(), request.space.whole_encoders)


def _of_evaluation(
    request: Request, found: Evaluations, trial: TrialSpec, records: Mapping[str, TrialRecord]
) -> list[tuple[str, str]]:
    parent = found.parent_of(trial)
    if trial.id not in found.parents:
        return explain.waiting(request.expansion, trial, parent, records.get(parent.id))
    record = request.store().records([trial.id]).get(trial.id)
    lines = _of_trial(request, trial, record)
    lines.insert(_after_id(lines), ("encoder", f"of {parent.label} ({parent.id})"))
    return lines


def _after_id(lines: list[tuple[str, str]]) -> int:
    return 1 + next(at for at, (what, _) in enumerate(lines) if what == "id")


def _start(
    request: Request, trial: TrialSpec, records: Mapping[str, TrialRecord]
) -> Iterator[tuple[str, str]]:
    """A line on the trial from whose encoder another starts."""
    if (parent := trial.parent) is None or trial.cell.start is None:
        return
    known = parent_records([trial], records, request.store())
    file = f" of {trial.cell.start.file}" if trial.cell.start.file else ""
    told = f"from the encoder of {parent.label}{file} ({parent.id}), {status_of(known.get(parent.id))}"
    yield "starts", told


def _first(request: Request, trial: TrialSpec, records: Mapping[str, TrialRecord]) -> list[tuple[str, str]]:
    """A line on why a trial cannot start, or what it starts from cannot: an encoder is not there."""
    if trial.parent is None:
        return []
    plan = make_plan(request.expansion, records)
    found, left = _hindered(request, plan), {one.id for one in plan.todo}
    while trial.id in left and trial.id not in found and trial.parent is not None:
        trial = trial.parent
    here = [found[trial.id]] if trial.id in found else []
    return [("next", note) for note in start_notes(plan.expansion, here)]


def _hindered(request: Request, plan: Plan) -> dict[str, Unfit]:
    """Why trials of a plan cannot start from another's encoder, by their ids."""
    if all(trial.parent is None for trial in plan.todo):
        return {}
    parents = parent_records(from_elsewhere(plan.todo), plan.records, request.store())
    return hindered(plan.todo, parents, _lost(request, parents.values()))


def start_lines(request: Request, plan: Plan) -> Iterator[str]:
    """Lines on missing trials that start from another's encoder: how many come later, and which cannot."""
    later = sum(len(turn) for turn in stages(plan.todo)[1:])
    if later:
        yield f"{counted(later, 'trial')} of them after others, from whose encoders they start"
    yield from map(request.filled, start_notes(plan.expansion, _hindered(request, plan).values()))


def evaluation_lines(request: Request, plan: Plan, *, causes: bool = False) -> Iterator[str]:
    """How the evaluations of a sweep stand, which has this plan, with `causes` such as why one failed."""
    if request.spec.evaluations:
        yield from grid.evaluations_text(*request.evaluation_plan(plan.records), causes=causes)


def encoder_lines(request: Request, plan: Plan) -> Iterator[str]:
    """Lines on encoders that are started from, or kept and not there; of a server's only what records say."""
    yield from start_lines(request, plan)
    if request.spec.keep or request.spec.evaluations:
        lost = _lost(request, (plan.records[trial.id] for trial in plan.done))
        yield from map(request.filled, encoder_notes(plan._replace(lost=lost)))


def evaluation_records(request: Request, plan: Plan) -> dict[str, Any]:
    """The same for programs; empty of a sweep that has no evaluations."""
    if not request.spec.evaluations:
        return {}
    return {"evaluations": grid.evaluation_records(*request.evaluation_plan(plan.records))}


def failures(request: Request) -> Iterator[str]:
    """How many trials and evaluations failed, and a line for each: cause, where it ran, its log."""
    plan = request.plan()
    parts = [(plan.expansion.trials, plan.records, "trial", "")]
    if request.spec.evaluations:
        _, other = request.evaluation_plan(plan.records)
        parts.append((other.expansion.trials, other.records, "evaluation", "evaluation "))
    counts, lines = list[str](), list[str]()
    for trials, records, noun, what in parts:
        logs = {one.id: str(path) for one in trials if (path := request.space.log_of(one.id)) is not None}
        told = list(explain.failures(trials, records, logs, what=what))
        counts.append(f"{len(told)} of {counted(len(trials), noun)}")
        lines += told
    yield f"{request.spec.name}: {', '.join(counts)} failed"
    yield from (f"  {line}" for line in lines)


def logs(request: Request, text: str, *, following: bool) -> list[tuple[str, Path]]:
    """Labels and logs of the trials, or evaluations, that `text` names; those that are there, or all.

    Raises:
        UsageError: it names nothing, or several cells, or there is no log to print.
    """
    chosen, found = request.named(text)
    folder = request.space.logs
    paths = [
        (one.label, log_path(folder, one.id)) for one in chosen if found is None or one.id in found.parents
    ]
    there = [(label, path) for label, path in paths if path.exists()]
    if not there and not (following and paths):
        raise UsageError(f"no log of '{text}' in {folder}; logs are where the driver ran")
    return paths if following else there


def note_on_evaluations(request: Request, text: str) -> str | None:
    """A line on the logs that evaluations of a cell have, which are not printed with its own, if any has."""
    if not request.spec.evaluations:
        return None
    chosen, found = request.named(text)
    labels: list[str] = []
    with contextlib.suppress(StoreError):  # the logs are there without it
        every = None if found is not None else evaluations(request.expansion, request.records())
        there = [one for one in (every.of(chosen) if every else ()) if request.space.log_of(one.id)]
        labels = list(dict.fromkeys(one.cell.label for one in there))
    if not labels:
        return None
    command = request.command("logs", labels[0])
    return f"orch: evaluations have logs of their own: {listed(labels, 4, '; ')}; `{command}`"
