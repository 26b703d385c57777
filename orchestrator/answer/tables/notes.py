"""What a reader must know to trust a table: which code, data and random streams are behind its trials."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from orchestrator.answer.comparison.best import best
from orchestrator.answer.statistics import precision
from orchestrator.answer.statistics.summary import DOUBLED
from orchestrator.language.table_spec import TableSpec
from orchestrator.planning.expand import Aim, Expansion
from orchestrator.planning.trials import TrialSpec
from orchestrator.process.words import exact, fixed, listed
from orchestrator.records import Origin, TrialRecord
from trainers.config.plugins import behind

if TYPE_CHECKING:
    from orchestrator.answer.tables.entries import Entry

NAMED = 6  # trials in a line


def notes(
    expansion: Expansion, spec: TableSpec, records: Mapping[str, TrialRecord], *, compared: bool
) -> Iterator[str]:
    """What a reader must know to trust the table."""
    published = spec.published
    if published and not compared:
        ours = f"'{expansion.brief_setting}'" if expansion.brief_setting else "without one"
        theirs = f"profile '{published.profile}'" if published.profile else "the file as it is"
        yield f"published numbers are for {theirs}, these are {ours}: no verdict"
    yield from _excluded(expansion, spec, records)
    yield from expansion.merged
    yield from _origins(expansion, records, "trained")
    yield from _evaluated(expansion, records, spec.metric.partition("/")[0])
    if spec.baseline or spec.best or spec.expected or any(one.minus for one in spec.expectations):
        yield from pairing(expansion)
    yield from _mixed_streams(expansion, records)


def doubts(expansion: Expansion, records: Mapping[str, TrialRecord]) -> Iterator[str]:
    """What is unlike behind a sweep's numbers though it should not be: code, data, random streams."""
    yield from _origins(expansion, records, "trained")
    for name in sorted({name for one in records.values() for name in one.evaluations}):
        yield from _evaluated(expansion, records, name)
    yield from _mixed_streams(expansion, records)


def pairing(expansion: Expansion) -> Iterator[str]:
    """What is said of differences by seed where nobody can see what trials draw."""
    if any(getattr(behind(cell.loop), "PAIRED", "") == "declared" for cell in expansion.cells):
        yield "pairing by seed is declared, not verified: what a command draws is its own"


def _evaluated(expansion: Expansion, records: Mapping[str, TrialRecord], name: str) -> Iterator[str]:
    found = {i: one.evaluations[name] for i, one in records.items() if name in one.evaluations}
    yield from (f"evaluation {name}: {line}" for line in _origins(expansion, found, "evaluated"))


def _mixed_streams(expansion: Expansion, records: Mapping[str, TrialRecord]) -> Iterator[str]:
    if odd := unpaired(expansion, records):
        cells = ", ".join(odd)
        yield f"drew other random streams than the other cells, so differences are not paired: {cells}"


def _origins(expansion: Expansion, records: Mapping[str, TrialRecord | Origin], done: str) -> Iterator[str]:
    """What code and data differ by which trials were `done`; nothing where they are alike."""
    used = [records[trial.id] for trial in expansion.trials if trial.id in records]
    versions = sorted({r.code_version for r in used if r.code_version})
    if len(versions) > 1:
        yield f"{done} by different code versions: {', '.join(versions)}"
    for name in sorted({name for record in used for name in record.source}):
        if groups := _groups(expansion, records, lambda record, name=name: record.source.get(name)):  # type: ignore[misc]
            yield f"{name} changed between trials: {groups}"
    if not any(
        "data" in level.settings or any(k.startswith("data.") for k in level.settings)
        for axis in expansion.spec.axes.values()
        for level in axis.levels
    ) and (groups := _groups(expansion, records, lambda record: record.data_fingerprint)):
        yield f"{done} on different data although no axis sets it: {groups}"


def _excluded(expansion: Expansion, spec: TableSpec, records: Mapping[str, TrialRecord]) -> Iterator[str]:
    """The trials that the file excludes, each with its reason and the number that it had."""
    if not expansion.excluded:
        return
    told = []
    for trial, reason in expansion.excluded:
        value = records[trial.id].metrics.get(spec.metric) if trial.id in records else None
        number = "" if value is None else fixed(value * spec.scale, spec.digits, "z")
        had = f", had {spec.metric} {number}" if number else ""
        told.append(f"{trial.label} ({reason}{had})")
    asked = len(expansion.trials) + len(told)
    yield f"excluded by the sweep file, {len(told)} of {asked} trials: {'; '.join(told)}"


def _groups(
    expansion: Expansion,
    records: Mapping[str, TrialRecord | Origin],
    of: Callable[[TrialRecord | Origin], str | None],
) -> str | None:
    """Which trials have what, the most frequent first; None where all have the same."""
    found: dict[str, list[TrialSpec]] = {}
    for trial in expansion.trials:
        value = of(records[trial.id]) if trial.id in records else None
        if value is not None:
            found.setdefault(value, []).append(trial)
    if len(found) < 2:
        return None
    (usual, _), *others = sorted(found.items(), key=lambda item: -len(item[1]))
    parts = [f"{listed([one.label for one in trials], NAMED)} {value}" for value, trials in others]
    return f"{'; '.join(parts)}; the others {usual}"


def unpaired(expansion: Expansion, records: Mapping[str, TrialRecord]) -> list[str]:
    """Cells that saw other random draws than most cells of the same seed."""
    odd: dict[str, None] = {}
    for seed in expansion.every_seed:
        seen = {
            trial.cell.label: records[trial.id].streams_fingerprint
            for trial in expansion.trials
            if trial.seed == seed and trial.id in records and records[trial.id].streams_fingerprint
        }
        if len(set(seen.values())) > 1:
            usual = Counter(seen.values()).most_common(1)[0][0]
            odd |= {label: None for label, stream in seen.items() if stream != usual}
    return list(odd)


def marked(
    entries: tuple[tuple[Entry, ...], ...], metric: str, *, highest: bool
) -> tuple[tuple[tuple[Entry, ...], ...], str]:
    """The entries with their best marked, and what the mark says."""
    every = list(itertools.chain(*entries))
    whole = [{} if one.statuses.get("diverged") else one.values for one in every]
    found, said = best(whole, metric, highest=highest)
    places = itertools.count()
    return tuple(tuple(one._replace(is_best=next(places) in found) for one in line) for line in entries), said


def narrowness(
    aim: Aim,
    spec: TableSpec,
    rows: Sequence[str],
    columns: Sequence[str],
    entries: Sequence[Sequence[Entry]],
    *,
    paired: bool,
) -> str:
    """How far a sweep got that adds seeds until intervals are narrow."""
    places = named(rows, columns, entries)
    own = aim.half_width * spec.scale / aim.scale  # another table may have another unit
    written = f"{exact(own)}{' points' if spec.in_percent else ''}"
    half = aim.half_width / aim.scale
    return precision.told(written, places, paired=paired, half=half, most=aim.most_seeds, unit=spec.scale)


def too_large(places: Iterable[tuple[str, Entry]]) -> list[str]:
    """A line on the places, by name, whose numbers are so large that spreads and differences may be none."""
    found = [name for name, one in places if any(abs(value) > DOUBLED for value in one.values.values())]
    most = f"numbers beyond {DOUBLED:g} in {listed(found, NAMED)}"
    told = f"{most}: spreads, intervals and differences that are more than any number here are left out"
    return [told] if found else []


def named(
    rows: Sequence[str], columns: Sequence[str], entries: Sequence[Sequence[Entry]]
) -> list[tuple[str, Entry]]:
    """Each place of a table with its name."""
    names = [
        " · ".join([row, *[column] * (len(columns) > 1)]) for row, column in itertools.product(rows, columns)
    ]
    return list(zip(names, itertools.chain(*entries), strict=True))
