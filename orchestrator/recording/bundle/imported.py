"""Results of others in a store, under a name and ids that no trial has: they are never taken for ours.

They are found by the sweep that they stand beside: a store keeps them as trials of "<sweep> imported", a name
that no sweep file can have. Their levels say which cell they belong to, whichever profile trains it here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.errors import UsageError
from orchestrator.planning.trials import TrialSpec, id_of, in_words
from orchestrator.recording.bundle.layout import BundledTrial
from orchestrator.recording.store_port import Store
from orchestrator.records import Curves, Imported, Provenance, SweepInfo, TrialFacts, TrialRecord
from trainers.attempt.report import EpochReport, Outcome

if TYPE_CHECKING:
    from orchestrator.recording.bundle.others.filling import Result

ATTEMPT = "0" * 16 + "imported"
"""Sorts before every attempt of a driver: who trains the trial meanwhile has not lost it."""
LONGEST_LABEL = 240
"""Bytes of a run's name, of which MLflow's databases keep 250."""
LONGEST_ORIGIN = 3900
"""Characters of where a result is from, which MLflow keeps as a tag."""


class Kept(NamedTuple):
    """What became of results, by id."""

    added: list[str]
    there: list[str]
    """The store had them, with the same numbers."""
    other: list[str]
    """A line for each that it had with other numbers, which stay."""


def name_of(sweep: str) -> str:
    """What the results that stand beside a sweep are kept as."""
    return f"{sweep} imported"


def facts_of(origin: Imported) -> TrialFacts:
    """What a store keeps of a result of others: where it belongs, and no settings, for those are theirs."""
    where = {"sweep": origin.sweep, "levels": origin.levels}
    identity = {"imported": where | {"seed": origin.seed, "source": origin.source}}
    cell = in_words(origin.levels.values())
    label = f"{cell} · seed {origin.seed} · {origin.source}".encode()[:LONGEST_LABEL].decode(errors="ignore")
    return TrialFacts(
        trial_id=id_of(identity),
        cell_id=id_of({"imported": where}),
        label=label,
        cell=cell,
        seed=origin.seed,
        levels=origin.levels,
        identity=identity,
        config={},
    )


def imported_into(store: Store, sweep: str) -> list[TrialRecord]:
    """What others have measured of a sweep's cells, source by source.

    Raises:
        StoreError: the store does not answer.
    """
    records = store.records(list(store.asked_for(name_of(sweep))))
    found = [one for one in records.values() if one.imported is not None and one.is_done]
    return sorted(found, key=_order)


def _order(record: TrialRecord) -> tuple[str, list[str], int]:
    origin = record.imported
    assert origin is not None
    return origin.source, list(origin.levels.values()), origin.seed


def check(results: Sequence[Result]) -> None:
    """Check that a store can keep where these are from.

    Raises:
        UsageError: its words are too many.
    """
    if any(not can_be_kept(one.origin) for one in results):
        longest = max(len(one.origin.model_dump_json()) for one in results)
        raise UsageError(
            f"names of source, file and levels have {longest} characters together; give shorter ones"
        )


def can_be_kept(origin: Imported) -> bool:
    """Whether a store can keep all of where a result is from."""
    return len(origin.model_dump_json()) <= LONGEST_ORIGIN


def keep(
    store: Store, results: Sequence[Result], provenance: Provenance, *, question: str | None, replace: bool
) -> Kept:
    """Tell `store` of these results, each once; what it has of the same source stays unless it is replaced.

    Raises:
        StoreError: the store does not answer.
    """
    facts = [facts_of(one.origin) for one in results]
    known = store.records([one.trial_id for one in facts])
    kept = Kept([], [], [])
    there = imported_into(store, results[0].origin.sweep) if replace else []
    if old := [one.trial_id for one in there if _same(one, results)]:
        store.set_aside(old)
        known = {}
    for fact, result in zip(facts, results, strict=True):
        record = known.get(fact.trial_id)
        if record is not None and record.is_done and record.metrics == dict(result.metrics):
            kept.there.append(fact.trial_id)
        elif record is not None and record.is_done:
            kept.other.append(_difference(fact, record, result))
        else:
            _tell(store, fact, result, provenance, question)
            kept.added.append(fact.trial_id)
    return kept


def _same(record: TrialRecord, results: Sequence[Result]) -> bool:
    return record.imported is not None and record.imported.source == results[0].origin.source


def _tell(
    store: Store, facts: TrialFacts, result: Result, provenance: Provenance, question: str | None
) -> None:
    # Nothing here has trained it: neither our code nor our machine is where the numbers are from.
    foreign = Provenance(code_version="imported", command=provenance.command)
    info = SweepInfo(name=name_of(result.origin.sweep), profile=None, provenance=foreign, question=question)
    store.begin(facts, info, worker=None, attempt=ATTEMPT)
    for report in reports_of(Curves(metrics=dict(result.curves))):
        store.report(facts.trial_id, report)
    details = {"imported": result.origin.model_dump()}
    outcome = Outcome(status="completed", metrics=dict(result.metrics), details=details)
    store.finish(facts.trial_id, outcome, info)


def reports_of(curves: Curves) -> Iterator[EpochReport]:
    """The reports that draw these curves, in order."""
    by_epoch: dict[int, dict[str, float]] = {epoch: {} for epoch in curves.spectra_epochs}
    for name, pairs in curves.metrics.items():
        for epoch, value in pairs:
            by_epoch.setdefault(epoch, {})[name] = value
    place = {epoch: number for number, epoch in enumerate(curves.spectra_epochs)}
    for epoch in sorted(by_epoch):
        arrays = {n: a[place[epoch]] for n, a in curves.spectra.items()} if epoch in place else {}
        yield EpochReport(epoch=epoch, epochs=max(by_epoch), metrics=by_epoch[epoch], arrays=arrays)


def _difference(facts: TrialFacts, known: TrialRecord, result: Result) -> str:
    names = sorted({*known.metrics, *result.metrics})
    name = next(n for n in names if known.metrics.get(n) != result.metrics.get(n))
    told = f"{name} {known.metrics.get(name)}, here {result.metrics.get(name)}"
    way = "--replace takes these, --as NAME keeps both"
    return f"{facts.label}: the store has {told}; kept as the store has it; {way}"


def told(trial: TrialSpec | None, record: TrialRecord) -> str:
    """What a bundle says of a trial, or of what others have measured."""
    if record.imported is not None:
        return BundledTrial(facts=facts_of(record.imported), record=record).model_dump_json(indent=1)
    assert trial is not None
    # Without a word of imports: bundles of trained trials are as earlier code writes and reads them.
    known = BundledTrial(facts=trial.facts, record=record)
    return known.model_dump_json(indent=1, exclude={"record": {"imported"}})
