"""What the tags of a trial's MLflow run say, and how they become a record again. Knows no MLflow."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import posixpath
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from orchestrator.answer.marks import MARKS, MEANINGS
from orchestrator.records import (
    FINAL,
    MEASURED,
    SweepInfo,
    TrialFacts,
    TrialRecord,
    duration_of,
    record_of,
    status_of,
)
from trainers.attempt.report import Outcome

UNDEFINED = ("orch.undefined_at_end", *(f"orch.undefined_at_end.{number}" for number in range(2, 21)))
"""Name the metrics that are of the curve alone; each as many as one tag holds."""
SOURCE = ("orch.source", *(f"orch.source.{number}" for number in range(2, 61)))
"""Name the digests of the code that trained it; each as many as one tag holds."""
ENDING = frozenset(
    {
        *UNDEFINED,
        *SOURCE,
        "orch.collapse",
        "orch.reason",
        "orch.error",
        "orch.data_fingerprint",
        "orch.streams_fingerprint",
        "orch.data_listing",
        "orch.imported",
        "orch.encoder",
        "orch.spent_s",
        "orch.on_gpu",
    }
)
"""What an end leaves, and does not hold any more once the trial goes on."""
BEFORE = "orch.perhaps_begun_before"
"""Says that nobody knows what the trial first began under; it stays."""
READ = ENDING | {"orch.status", "orch.code_version", "orch.attempts", "orch.worker", BEFORE}
"""What a record is made from."""
TAG_LENGTH = 4000
EXPECTED = "orch.expected."
"""Begins the tags that say what was expected when the trial first began."""
FINDINGS = ("collapsed", "dimensional", "diverged")
"""What MLflow, which knows only finished and failed, calls finished."""
KEPT_ATTEMPTS = 200  # a tag holds 5000 characters
UNKNOWN = "-"
"""Stands for an attempt that was not named; sorts before every name."""


def is_done(tags: Mapping[str, str]) -> bool:
    """Whether the trial has a result."""
    return tags.get("orch.status") in FINAL


def is_last(attempt: str | None, tags: Mapping[str, str]) -> bool:
    """Whether no later attempt than this has begun: their names sort by time."""
    return attempt is None or attempt >= max(tags.get("orch.attempt_ids", "").split(), default="")


def first_tags(
    trial: TrialFacts, sweep: SweepInfo, *, worker: str | None, attempt: str | None
) -> dict[str, str]:
    """The tags of a trial that begins for the first time."""
    return (
        {
            "orch.kind": "trial",
            "orch.trial_id": trial.trial_id,
            "orch.sweep": sweep.name,
            f"orch.in.{sweep.name}": "true",
            "orch.cell": trial.cell,
            "orch.cell_id": trial.cell_id,
            "orch.seed": str(trial.seed),
            "orch.profile": sweep.profile or "none",
            "orch.status": "running",
            "orch.attempts": "1",
            "orch.attempt_ids": attempt or UNKNOWN,
            "orch.worker": worker or "",
            "mlflow.source.name": "orch sweep",
            "mlflow.source.git.commit": sweep.provenance.code_version,
        }
        | {axis_tag(axis): level for axis, level in trial.levels.items()}
        | {f"{EXPECTED}{about}": said for about, said in sweep.expected.items()}
    )


def next_tags(tags: Mapping[str, str], *, worker: str | None, attempt: str | None) -> dict[str, str]:
    """The tags of a trial that begins again, or is told late or a second time to have begun."""
    attempts = tags.get("orch.attempt_ids", "").split()
    count = int(tags.get("orch.attempts", "1"))
    if attempt is None or attempt not in attempts:
        count += 1
    names = sorted({*attempts, attempt or UNKNOWN})
    counted = {"orch.attempts": str(count), "orch.attempt_ids": " ".join(names[-KEPT_ATTEMPTS:])}
    if not is_last(attempt, tags):
        return counted
    return counted | {"orch.status": "running", "orch.worker": worker or ""}


def end_tags(trial_id: str, outcome: Outcome, sweep: SweepInfo, told: Collection[str] = ()) -> dict[str, str]:
    """The tags that an end adds; `told` are the metrics that the trial's epochs had.

    MLflow shows the last value of each metric, also of one that is not defined at the end any more: such a
    number is of the curve, not of the result.
    """
    undefined = sorted(set(told) - outcome.metrics.keys()) if outcome.status in MEASURED else []
    record = record_of(trial_id, outcome, sweep.provenance)
    tags = {
        "orch.status": record.status,
        "orch.collapse": record.collapse,
        "orch.reason": record.reason,
        "orch.error": record.error,
        "orch.code_version": record.code_version,
        "orch.data_fingerprint": record.data_fingerprint,
        "orch.streams_fingerprint": record.streams_fingerprint,
        "orch.data_listing": record.data_listing,
        "orch.imported": record.imported.model_dump_json() if record.imported else None,
        "orch.encoder": record.encoder,
        "orch.spent_s": record.spent_s,
        "orch.on_gpu": record.on_gpu,
        BEFORE: record.perhaps_begun_before,
        **dict(zip(UNDEFINED, _parts(undefined, list), strict=False)),
    }
    sources = _parts(record.source.items(), dict)
    if len(sources) <= len(SOURCE) and all(len(part) <= TAG_LENGTH for part in sources):
        tags |= zip(SOURCE, sources, strict=False)  # else none: what lacks some would count as changed
    return {name: str(value)[:TAG_LENGTH] for name, value in tags.items() if value}


def _parts(entries: Iterable[Any], kind: type[list[Any]] | type[dict[Any, Any]]) -> list[str]:
    """Lists of names, or names with digests, as JSON, each with as many as a tag holds."""
    parts: list[list[Any]] = []
    for entry in entries:
        if not parts or len(json.dumps(kind([*parts[-1], entry]))) > TAG_LENGTH:
            parts.append([])
        parts[-1].append(entry)
    return [json.dumps(kind(part)) for part in parts]


def record_from(
    trial_id: str, *, run: str, state: str, tags: Mapping[str, str], metrics: Mapping[str, float]
) -> TrialRecord:
    """The record that a run's tags and metrics amount to; `state` is MLflow's own word for its status."""
    status = tags.get("orch.status", "running")
    undefined = {
        name
        for tag in (UNDEFINED if UNDEFINED[0] in tags else ())
        for name in json.loads(tags.get(tag, "[]"))
    }
    final = (
        {name: value for name, value in metrics.items() if name not in undefined} if undefined else metrics
    )
    if status == "running" and state in ("FAILED", "KILLED"):
        status = "stopped"
    if status not in MEASURED:
        final = {}  # a trial that diverged or failed has metrics by epoch, but no final ones
    # To look at half a million numbers one by one takes as long as to read them.
    sound = set(map(type, final.values())) <= {float} and all(map(math.isfinite, final.values()))
    record = TrialRecord.model_validate(
        {
            "trial_id": trial_id,
            "status": status,
            "metrics": {} if sound else final,
            "collapse": tags.get("orch.collapse"),
            "reason": tags.get("orch.reason"),
            "error": tags.get("orch.error"),
            "code_version": tags.get("orch.code_version"),
            "data_fingerprint": tags.get("orch.data_fingerprint"),
            "streams_fingerprint": tags.get("orch.streams_fingerprint"),
            "source": _sources(tags),
            "data_listing": tags.get("orch.data_listing"),
            "imported": json.loads(tags.get("orch.imported", "null")),
            "encoder": tags.get("orch.encoder"),
            "run": run,
            "attempts": int(tags.get("orch.attempts", "1")),
            "worker": tags.get("orch.worker") or None,
            "perhaps_begun_before": BEFORE in tags,
            "spent_s": _seconds(tags.get("orch.spent_s")),
            "on_gpu": "orch.on_gpu" in tags,
            "expected": {
                tag.removeprefix(EXPECTED): said for tag, said in tags.items() if tag.startswith(EXPECTED)
            },
        }
    )
    return record.model_copy(update={"metrics": dict(final)}) if sound else record


def _seconds(text: str | None) -> float | None:
    return None if text is None else duration_of(float(text))


def _sources(tags: Mapping[str, str]) -> dict[str, str]:
    first: dict[str, str] = _source(tags.get(SOURCE[0], "{}"))
    more = SOURCE[1:] if SOURCE[1] in tags else ()
    return first | {name: said for tag in more for name, said in _source(tags.get(tag, "{}")).items()}


@functools.lru_cache(256)  # what many runs have alike is read once; nobody changes it, for a record copies it
def _source(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        if len(text) != TAG_LENGTH:
            raise
        return {}  # earlier versions cut it off there


class Finding(NamedTuple):
    """A result that MLflow's own status does not show."""

    name: str
    """Of the run."""
    tags: dict[str, str]


def finding_of(trial: TrialFacts, outcome: Outcome, sweep: SweepInfo) -> Finding | None:
    """How the list of runs shows a trial that collapsed or diverged; None for any other."""
    status = status_of(record_of(trial.trial_id, outcome, sweep.provenance))
    if status not in FINDINGS:
        return None
    words = MEANINGS.get(status, status)
    note = f"{words}: {outcome.reason}" if outcome.reason else words
    tags = {"orch.label": trial.label, "mlflow.note.content": note[:TAG_LENGTH]}
    return Finding(f"{trial.label} {MARKS[status]} {words}", tags)


def axis_tag(axis: str) -> str:
    """The tag of an axis: its own name where MLflow takes it, else one with a digest that no other has."""
    taken = re.fullmatch(r"\w[\w. -]{0,199}(?<! )", axis)
    return f"orch.axis.{axis if taken else _with_digest(axis)}"


def param_name(path: str) -> str:
    """The parameter of a setting: its path where MLflow takes it, else one with a digest that no other has.

    Source: mlflow/utils/validation.py.
    """
    taken = re.fullmatch(r"[\w./: -]{1,250}", path) and posixpath.normpath(path) == path
    return path if taken and path != "." and not path.startswith(("/", "..")) else _with_digest(path)


def _with_digest(name: str) -> str:
    return f"{safe(name)[:200]} {hashlib.sha256(name.encode()).hexdigest()[:8]}"


def safe(name: str) -> str:
    """`name` with an underscore for whatever a tag or a folder may not be called."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)
