"""What was expected of a table's cells, whether before they were trained, and whether it is so."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from orchestrator.answer.statistics.bounds import above, below, interval_90, mostly
from orchestrator.answer.statistics.decision import is_shown, least_seeds
from orchestrator.answer.statistics.holm import holm
from orchestrator.answer.statistics.summary import differences, summarise
from orchestrator.language.table_spec import Expectation, TableSpec
from orchestrator.planning.expand import Expansion
from orchestrator.planning.layout import one_cell
from orchestrator.planning.trials import Cell
from orchestrator.process.words import exact, fixed
from orchestrator.records import TrialRecord

if TYPE_CHECKING:
    from orchestrator.answer.tables.entries import Entry

Verdict = Literal["holds", "does not hold", "undecided"]
ENDED = ("completed", "dimensional", "collapsed", "diverged")


class Judged(NamedTuple):
    """An expectation, and what became of it."""

    says: str
    """The expectation in words."""
    verdict: Verdict
    found: str
    """The numbers behind the verdict, in words."""
    written: str
    """Whether it was written down before its cells were trained, as far as that is known."""
    n: int = 0
    """Seeds with a number, or of a collapse trials that ended."""
    diverged: int = 0
    """Trials of its cells that diverged, for which it cannot be decided."""

    @property
    def line(self) -> str:
        """All of it."""
        return f"expected: {self.says}: {self.verdict} ({self.found}); {self.written}"


class _Test(NamedTuple):
    """p of the contrary of an expectation, and p of the expectation itself."""

    holds: float
    fails: float
    found: str
    n: int
    diverged: int
    """Trials that diverged: then it cannot be decided, whatever the others have."""


def written_down(expansion: Expansion) -> dict[str, str]:
    """The expectations of a sweep by what they are about, in words: what its trials are trained under."""
    found = {}
    for spec in (part for table in expansion.spec.tables for part in table.parts):
        for one in spec.expectations:
            found[_key(expansion, spec, one)] = _sentence(expansion, spec, one)
    return found


def judged(
    expansion: Expansion,
    spec: TableSpec,
    records: Mapping[str, TrialRecord],
    places: Iterable[Entry],
) -> list[Judged]:
    """What became of each expectation of a table.

    It holds, or does not, where one-sided tests show so, by Holm: with 5 % for any wrong "holds" among those
    of the table's metric, and 5 % for any wrong "does not hold". Else it is undecided, as it is where trials
    diverged. A bare mean decides nothing.

    Args:
        expansion: the trials asked for.
        spec: the table.
        records: what arrived, by trial id.
        places: the entry of each place of the table.
    """
    entries = {entry.cell.choice: entry for entry in places if entry.cell is not None}
    tests, cells = [], []
    for one in spec.expectations:
        named = cells_of(expansion, spec, one)
        cells.append(named)
        tests.append(_tested(spec, one, [entries[cell.choice] for cell in named]))
    hold, fail = holm([one.holds for one in tests]), holm([one.fails for one in tests])
    least = least_seeds(max(1, len(tests)), sides=1)
    found = []
    for one, test, named, p_holds, p_fails in zip(spec.expectations, tests, cells, hold, fail, strict=True):
        verdict: Verdict = "undecided"
        if not test.diverged and (is_shown(p_holds) or is_shown(p_fails)):
            verdict = "holds" if is_shown(p_holds) else "does not hold"
        few = f"; fewer than {least} seeds cannot decide" if test.n < least else ""
        told = test.found + (few if verdict == "undecided" else "")
        when = _when(expansion, spec, one, records, named)
        of = "" if spec in expansion.spec.tables else f"{spec.metric} of "  # a further metric of a table
        found.append(Judged(of + _says(expansion, spec, one), verdict, told, when, test.n, test.diverged))
    return found


def _tested(spec: TableSpec, one: Expectation, entries: Sequence[Entry]) -> _Test:
    if one.collapses is not None:
        return _collapse(one.collapses, entries[0])
    values = list(entries[0].values.values())
    if one.minus is not None:
        values = differences(entries[0].values, entries[1].values)
    scale, summary = spec.scale, summarise(values)
    bounds = [(one.at_least, above, below), (one.at_most, below, above)]
    tests = [
        (right(values, bound / scale), wrong(values, bound / scale))
        for bound, right, wrong in bounds
        if bound is not None
    ]
    holds, fails = max(p for p, _ in tests), min(1.0, len(tests) * min(p for _, p in tests))
    diverged = sum(entry.statuses.get("diverged", 0) for entry in entries)
    if summary is None:
        return _Test(1.0, 1.0, "no number yet", 0, diverged)
    found = fixed(summary.mean * scale, spec.digits)
    if (ends := interval_90(summary)) is not None:
        low, high = (fixed(end * scale, spec.digits) for end in ends)
        found += f", 90 % interval {low} to {high}"
    found += f", n = {summary.n}" + (f", {diverged} diverged and have no number" if diverged else "")
    return _Test(holds, fails, found, summary.n, diverged)


def _collapse(expected: bool, entry: Entry) -> _Test:
    counts = entry.statuses
    n, hits = sum(counts.get(status, 0) for status in ENDED), counts.get("collapsed", 0)
    more, less = mostly(hits, n)
    diverged = counts.get("diverged", 0)
    found = f"{hits} of {n} collapsed" + (f", {diverged} diverged" if diverged else "")
    return _Test(*((more, less) if expected else (less, more)), found, n, diverged)


def cells_of(expansion: Expansion, spec: TableSpec, one: Expectation) -> list[Cell]:
    """The one or two cells that an expectation is about."""
    return [one_cell(expansion, spec, wanted) for wanted in (one.cell, one.minus) if wanted is not None]


def _subject(expansion: Expansion, spec: TableSpec, one: Expectation) -> str:
    first, *second = [f"'{cell.label}'" for cell in cells_of(expansion, spec, one)]
    return f"{first} minus {second[0]}" if second else first


def _says(
    expansion: Expansion, spec: TableSpec, one: Expectation, number: Callable[[float], str] = exact
) -> str:
    subject = _subject(expansion, spec, one)
    if one.collapses is not None:
        return f"{subject} {'collapses' if one.collapses else 'does not collapse'}"
    unit = " points" if spec.in_percent and one.minus is not None else " %" if spec.in_percent else ""
    bounds = [("at least", one.at_least), ("at most", one.at_most)]
    return f"{subject} " + " and ".join(f"{word} {number(b)}{unit}" for word, b in bounds if b is not None)


def _key(expansion: Expansion, spec: TableSpec, one: Expectation) -> str:
    """What an expectation is about, whatever it says of it."""
    what = "collapse" if one.collapses is not None else spec.metric
    about = f"{spec.name}\n{what}\n{_subject(expansion, spec, one)}"
    return hashlib.sha256(about.encode()).hexdigest()[:12]


def _sentence(
    expansion: Expansion, spec: TableSpec, one: Expectation, number: Callable[[float], str] = exact
) -> str:
    """All of an expectation in words: what trials are trained under, and are compared with later."""
    what = "" if one.collapses is not None else f"{spec.metric} of "
    text = f"{spec.name}: {what}{_says(expansion, spec, one, number)}"
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"{digest} {text[:600]}"


def _when(
    expansion: Expansion,
    spec: TableSpec,
    one: Expectation,
    records: Mapping[str, TrialRecord],
    cells: Sequence[Cell],
) -> str:
    """Whether an expectation was written down before the trials of its cells were trained, in words."""
    sentence = _sentence(expansion, spec, one)
    rounded = _sentence(expansion, spec, one, "{:g}".format)  # as earlier versions kept it: perhaps another
    ids = dict.fromkeys(cell.trial_id(seed) for cell in cells for seed in expansion.seeds_of(cell))
    begun = [records[i] for i in ids if i in records]
    if not begun:
        return "nothing of it is trained yet"
    said = [record.expected.get(_key(expansion, spec, one)) for record in begun]
    late = [words for words in said if words not in (sentence, rounded)]
    if others := [words for words in late if words is not None]:
        of = _of(late, begun)
        return f"edited after {of} had begun, trained under: {others[0].partition(' ')[2]}"
    if late:
        return f"{_of(late, begun)} began without it"  # it is newer, or another sweep trained them
    unsure = [
        record
        for record, words in zip(begun, said, strict=True)
        if record.perhaps_begun_before or words != sentence
    ]
    if unsure:
        return f"unknown whether before training: what {_of(unsure, begun)} first began under is not known"
    return "predicted before training"


def _of(some: Sequence[object], trials: Sequence[object]) -> str:
    if len(some) < len(trials):
        return f"{len(some)} of its {len(trials)} trials"
    return f"all its {len(some)} trials" if len(some) > 1 else "its only trial"
