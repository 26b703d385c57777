"""What waits in a home's journals, laid over what is known of its store. Asks neither."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping

from orchestrator.recording.memory import MemoryStore
from orchestrator.records import TrialRecord

Known = Mapping[str, TrialRecord]
"""Records of trials that the store has, or had when it was asked last."""


def records(
    known: Known, waits: MemoryStore, trial_ids: Collection[str], *, away: bool
) -> dict[str, TrialRecord]:
    """The records of these trials; `away`: whether the store is."""
    told = {i: record for i, record in waits.records(trial_ids).items() if counts(record, known, waits)}
    return {**known, **{i: _laid_over(record, known, waits, away=away) for i, record in told.items()}}


def counts(told: TrialRecord, known: Known, waits: MemoryStore) -> bool:
    """Whether what waits of a trial counts; else the store has its result, beside which it does not."""
    there = known.get(told.trial_id)
    if there is None or not there.is_done or is_replaced(there, waits):
        return True
    return told.is_done and there.run is None  # what is known there is of this very result


def is_replaced(there: TrialRecord | None, waits: MemoryStore) -> bool:
    """Whether a trial is trained anew for what is known of it, which is set aside once that has arrived.

    One that began when the run's name was not known is so for whichever run there is.
    """
    runs = () if there is None else waits.replaced.get(there.trial_id, ())
    return there is not None and ("" in runs or (there.run or "") in runs)


def replaced(known: Known, waits: MemoryStore) -> dict[str, str]:
    """The runs that trials which wait are trained anew for, by trial id; not those that are set aside."""
    still = {i: runs for i, runs in waits.replaced.items() if i not in known or is_replaced(known[i], waits)}
    return {i: min(runs) for i, runs in still.items()}  # empty, where it stands among them: any earlier run


def is_encoder(told: bytes, there: TrialRecord | None, waits: MemoryStore) -> bool:
    """Whether an encoder that waits is that of the result that counts."""
    if there is None or is_replaced(there, waits):
        return True
    return there.encoder in (None, hashlib.sha256(told).hexdigest())


def _laid_over(told: TrialRecord, known: Known, waits: MemoryStore, *, away: bool) -> TrialRecord:
    there, anew = known.get(told.trial_id), told.trial_id in waits.replaced
    if is_replaced(there, waits):
        there = None
    first, run = there or told, there.run if there else None  # `expected` is of the first begin
    unsure = first.expected and (first.perhaps_begun_before or (there is None and away and not anew))
    update: dict[str, object] = {"run": run, "attempts": max(first.attempts, told.attempts)}
    update |= {"expected": first.expected, "perhaps_begun_before": bool(unsure)}
    return told.model_copy(update=update)
