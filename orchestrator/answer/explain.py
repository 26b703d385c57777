"""Why a trial stands as it does: from the lines of the sweep file to its attempts, cause and next step."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping

from orchestrator.errors import printable
from orchestrator.planning.evaluations import Evaluations, place_in, protocols
from orchestrator.planning.expand import Expansion
from orchestrator.planning.plan import RETRAINS
from orchestrator.planning.trials import TrialSpec
from orchestrator.records import MEASURED, TrialRecord, status_of
from trainers.attempt.source import foreign_digests

NEXT = {
    "missing": "`orch sweep` trains it",
    "running": "it is being trained, or its driver died: `orch sweep` waits, or goes on from its checkpoint",
    "stopped": "`orch sweep` goes on from its checkpoint",
    "failed": "remove the cause, then `orch sweep` tries it again",
    "diverged": "a result, not an error, and not trained again; a lower learning rate is another trial",
    "collapsed": "a result, not an error: it is not trained again",
    "dimensional": "a result; the table marks it",
    "pruned": "a search ended it early, of which it is a result; a sweep without `schedule` trains it anew",
    "completed": "nothing to do",
}


NEXT_AFTER = {
    "code": "an exception in the trial's own code: `orch logs SPEC CELL` shows the traceback; remove the "
    "cause, then `orch retry SPEC CELL`, or `orch sweep` if that was in the sweep file: an edited cell is "
    "another trial",
    "data": "bring the data there, then `orch retry SPEC CELL`",
    "memory": "the GPU is too small even for this trial alone: a smaller batch or network is another trial; "
    "on a larger GPU `orch retry SPEC CELL`",
    "worker": "its worker was lost too often at one place: look at the node's memory and system log, then "
    "`orch retry SPEC CELL`",
    "storage": "give its folder of checkpoints room, or bring S3 back, then `orch retry SPEC CELL`: it goes "
    "on from the last checkpoint that was written",
}
"""Next step by class of failure; CELL stands for what the cell is called."""


def failed(
    trials: Iterable[TrialSpec], records: Mapping[str, TrialRecord], *, what: str = ""
) -> Iterator[str]:
    """A line for each of these trials that failed, with its cause; `what` is said before its label."""
    for trial in trials:
        record = records.get(trial.id)
        if record is not None and record.status == "failed":
            yield f"failed: {what}{trial.label} ({trial.id}): {record.reason}"


def explanation(
    expansion: Expansion, trial: TrialSpec, record: TrialRecord | None, *, store: str, log: str | None
) -> list[tuple[str, str]]:
    """(what, words) from the file to the next step.

    Args:
        expansion: the sweep.
        trial: one of its trials.
        record: what the store knows of it.
        store: where that is.
        log: the trial's log, if it has one.
    """
    status = status_of(record)
    kind = _kind(expansion, trial)
    lines = [(kind, trial.label)]
    out = next((reason for one, reason in expansion.excluded if one.id == trial.id), None)
    lines += [("asked for", line) for line in _places(expansion, trial)]
    lines.append(("profile", expansion.setting or "none"))
    lines.append(("id", trial.id + (f" (cell {trial.cell.id})" if kind == "trial" else "")))
    if record is not None:
        attempts = f"{record.attempts} attempt" + ("s" if record.attempts != 1 else "")
        where = f", the last on {record.worker}" if record.worker else ""
        told = (
            f"run {record.run}" if record.run else "not there yet: `orch sync` delivers it from the journal"
        )
        lines.append(("store", f"{store}, {told}"))
        if record.attempts:
            lines.append(("attempts", attempts + where))
        if record.code_version:
            own = [f"{n} {record.source[n]}" for n in foreign_digests(trial.config) if n in record.source]
            lines.append(("code", ", ".join([record.code_version, *own])))
    lines.append(("status", status))
    if out is not None:
        return [
            *lines,
            ("excluded", printable(out)),
            ("next", "it does not count; `exclude` of the file says so"),
        ]
    if record is not None and record.reason:
        lines.append(("cause", record.reason))
    if log:
        lines.append(("log", log))
    if record is not None and record.error is not None:
        lines.append(("next", NEXT_AFTER[record.error].replace("CELL", shlex.quote(trial.cell.label))))
    elif record is None and trial.seed not in expansion.spec.every_seed:
        alone = f"`orch sweep SPEC --seeds {trial.seed},` trains it alone"
        lines.append(("next", f"the file does not ask for this seed: {alone}"))
    else:
        lines.append(("next", NEXT.get(status, "`orch status` shows all")))
    return lines


def waiting(
    expansion: Expansion, trial: TrialSpec, parent: TrialSpec, record: TrialRecord | None
) -> list[tuple[str, str]]:
    """(what, words) of an evaluation whose encoder is not there; `record` is that of its `parent` trial."""
    lines = [("evaluation", trial.label)]
    lines += [("asked for", line) for line in _places(expansion, trial)]
    lines.append(("profile", expansion.setting or "none"))
    lines.append(("id", "none yet: it is made of the encoder's digest"))
    lines.append(("encoder", f"of {parent.label} ({parent.id}), which is {status_of(record)}"))
    lines.append(("status", "waits for the encoder"))
    step = "`orch sweep` trains that, and then this"
    if record is not None and record.status in MEASURED:
        step = f"that was trained without keeping its encoder: {RETRAINS} it anew"
    elif record is not None and record.is_done:
        step = "none: what ended so has no encoder; the table has a gap"
    return [*lines, ("next", step)]


def evaluation_lines(
    trials: Iterable[TrialSpec], found: Evaluations, records: Mapping[str, TrialRecord]
) -> Iterator[tuple[str, str]]:
    """(what, words) on how these evaluations stand, whose encoders may not be there."""
    for one in trials:
        if one.id not in found.parents:
            yield "evaluation", f"{one.cell.label}: waits for the encoder"
            continue
        record = records.get(one.id)
        reason = f": {record.reason}" if record is not None and record.reason else ""
        yield "evaluation", f"{one.cell.label} ({one.id}): {status_of(record)}{reason}"


def failures(
    trials: Iterable[TrialSpec],
    records: Mapping[str, TrialRecord],
    logs: Mapping[str, str],
    *,
    what: str = "",
) -> Iterator[str]:
    """A line for each failed trial: cell, cause, where it ran, where its log is; `what` begins it."""
    for trial in trials:
        record = records.get(trial.id)
        if record is None or record.status != "failed":
            continue
        cause = record.reason or "no cause recorded"
        parts = [f"{what}{trial.label} ({trial.id}): {cause}"]
        parts += [f"on {record.worker}"] if record.worker else []
        parts += [f"log {logs[trial.id]}"] if trial.id in logs else []
        yield "; ".join(parts)


def _places(expansion: Expansion, trial: TrialSpec) -> Iterator[str]:
    """Axis and level of each choice, with the line of the file that sets something for it."""
    for axis, label in trial.cell.choice:
        if label is None:
            continue
        if not _is_level(expansion, axis, label):  # but what evaluates its encoder
            place = place_in(expansion.spec.evaluations[label])
            yield f"evaluation {label} ({protocols(expansion)[label]})" + (f", {place}" if place else "")
            continue
        level = next(one for one in expansion.spec.axes[axis].levels if one.label == label)
        place = place_in(level.settings)
        yield printable(f"{axis} = {label}") + (f", {place}" if place else ", which sets nothing")


def _kind(expansion: Expansion, trial: TrialSpec) -> str:
    """What it is: a trial of the sweep, or an evaluation of one's encoder."""
    of_axes = all(_is_level(expansion, axis, label) for axis, label in trial.cell.choice)
    return "trial" if of_axes else "evaluation"


def _is_level(expansion: Expansion, axis: str, label: str | None) -> bool:
    axes = expansion.spec.axes
    return axis in axes and (label is None or label in axes[axis].labels)
