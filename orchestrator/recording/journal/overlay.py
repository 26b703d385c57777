"""What waits in a home's journals, laid over what is known of its store. Asks neither."""

from __future__ import annotations

from orchestrator.records import TrialRecord


def counts(waits: TrialRecord, there: TrialRecord | None) -> bool:
    """Whether what waits of a trial counts; else the store has its result, beside which it does not."""
    if there is None or not there.is_done:
        return True
    return waits.is_done and there.run is None  # what is known there is of this very result


def laid_over(there: TrialRecord | None, waits: TrialRecord, *, away: bool) -> TrialRecord:
    """The record of a trial of which something waits that counts; `away`: whether the store is."""
    first, run = there or waits, there.run if there else None  # `expected` is of the first begin
    unsure = first.expected and (first.perhaps_begun_before or (there is None and away))
    update: dict[str, object] = {"run": run, "attempts": max(first.attempts, waits.attempts)}
    update |= {"expected": first.expected, "perhaps_begun_before": bool(unsure)}
    return waits.model_copy(update=update)
