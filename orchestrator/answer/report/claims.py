"""The claims that a sweep's tables answer: published numbers, a theory's direction, expectations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from orchestrator.answer.comparison.expectations import cells_of
from orchestrator.answer.formats._written import VERDICT_SIGNS, interval, ours, published
from orchestrator.answer.marks import MEANINGS
from orchestrator.answer.report.values import Claim
from orchestrator.answer.tables import Table
from orchestrator.answer.tables.entries import LEFT, Entry, largest_gap
from orchestrator.language.table_spec import TableSpec
from orchestrator.planning.expand import Expansion, draws

SIGNS = {"holds": "✓ holds", "fails": "✗ fails", "does not hold": "✗ does not hold"}
REPRODUCED, NOT, UNDECIDED, NOT_RUN = "reproduced", "not", "undecided", "not run"
NOT_TESTABLE = "not testable at this scale"
ANSWERS = {
    "holds": REPRODUCED,
    "within": REPRODUCED,
    "fails": NOT,
    "does not hold": NOT,
    "outside": NOT,
}
"""What a verdict is in an index of claims; every other one is undecided."""
AHEAD = "predicted before training"
NOTHING_YET = "no result yet"


def claims_of(expansion: Expansion, tables: Iterable[Table], anchor: str) -> list[Claim]:
    """Each claim of a sweep's tables, of all their metrics, beside ours, written as the tables have them.

    Args:
        expansion: the trials asked for.
        tables: those of the sweep.
        anchor: where a page tells of it.
    """
    return [
        claim
        for table in tables
        for part in table.parts
        for claim in (
            *_published(part, anchor),
            *_predicted(part, anchor),
            *_expected(part, anchor, expansion),
        )
    ]


def counted_verdicts(claims: Iterable[Claim]) -> str:
    """How many claims have which verdict, in words."""
    counts = Counter(one.verdict.partition(":")[0].lstrip("✓✗… ") for one in claims)
    return ", ".join(f"{number} {verdict}" for verdict, number in counts.most_common())


def in_words(states: Mapping[str, int]) -> str:
    """How many trials have which status."""
    return ", ".join(f"{number} {MEANINGS.get(status, status)}" for status, number in states.items())


def _published(table: Table, anchor: str) -> Iterator[Claim]:
    spec, drawn = table.spec, draws(entry.cell for _, _, entry in table.flat())
    if spec.published is None:
        return
    theirs = " (theory)" if spec.published.what == "theory" else ""
    claim = f"{spec.claim}: " if spec.claim and not spec.expected else ""
    for row, column, entry in table.flat():
        if entry.published is not None:
            yield Claim(
                sweep=table.sweep,
                anchor=anchor,
                what=claim
                + " · ".join(filter(None, (*_part(spec), row, column * bool(spec.column_axes))))
                + f" ({_metric(table)})",
                published=f"{published(entry, table)}{theirs}",
                ours=ours(entry, table),
                n=str(entry.summary.n if entry.summary else 0),
                verdict=_verdict(table, entry),
                interval=interval(entry, table),
                answer=_answer(table, entry, drawn=drawn),
            )


def _predicted(table: Table, anchor: str) -> Iterator[Claim]:
    """Whether the numbers rise or fall as a theory says."""
    if table.prediction is None:
        return
    spec, direction = table.spec, f"theory: {table.spec.expected}"
    said = next(note for note in table.notes if note.startswith((direction, f"{spec.metric}: {direction}")))
    asked = [one for _, _, one in table.flat() if one.asked]
    least = min((one.summary.n if one.summary else 0 for one in asked), default=0)
    along = f"{spec.expected} along {', '.join(spec.row_axes) or 'the rows'} ({_metric(table)})"
    along = " · ".join([*_part(spec), along])
    ended = any(one.summary is None and not one.left for one in asked)  # without a number
    answer = f"{UNDECIDED} at n = {least}" if least or ended else NOT_RUN
    answer = ANSWERS.get(table.prediction, answer)
    yield Claim(
        sweep=table.sweep,
        anchor=anchor,
        what=f"{spec.claim}: {along}" if spec.claim else along,
        published=spec.source or "theory",
        ours=said.partition("; ")[2],
        n=str(least),
        verdict=SIGNS.get(table.prediction, table.prediction),
        source=spec.source or "theory",
        answer=answer,
    )


def _expected(table: Table, anchor: str, expansion: Expansion) -> Iterator[Claim]:
    """What became of each expectation, and whether it was one."""
    theirs = [entry for _, _, entry in table.flat() if entry.published is not None and entry.summary]
    elsewhere = bool(theirs) and all(entry.gap is None for entry in theirs)
    for spec, one in zip(table.spec.expectations, table.judged, strict=True):
        says = one.says if spec.collapses is not None else f"{one.says} ({_metric(table)})"
        answer = ANSWERS.get(one.verdict, f"{UNDECIDED} at n = {one.n}")
        if elsewhere and table.spec.in_percent and spec.minus is None and spec.collapses is None:
            answer = NOT_TESTABLE  # its bounds are accuracies of the published setting
        about = {cell.choice for cell in cells_of(expansion, table.spec, spec)}
        places = [entry for _, _, entry in table.flat() if entry.cell and entry.cell.choice in about]
        whole = any(entry.asked for entry in places) and not any(entry.left for entry in places)
        ran = one.n or one.diverged or whole
        yield Claim(
            sweep=table.sweep,
            anchor=anchor,
            what=f"{spec.claim}: {says}" if spec.claim else says,
            published="; ".join(filter(None, (spec.source, one.written))),
            ours=one.found,
            n=str(one.n),
            verdict=SIGNS.get(one.verdict, one.verdict),
            source=spec.source or table.spec.source or "expected",
            answer=answer + f"; {one.written}" * (one.written != AHEAD) if ran else NOT_RUN,
        )


def _part(spec: TableSpec) -> list[str]:
    """The part of the design that a table is of; rows and columns name theirs themselves."""
    return [level for axis, level in spec.where.items() if axis not in (*spec.row_axes, *spec.column_axes)]


def _metric(table: Table) -> str:
    return table.spec.metric + " in %" * table.spec.in_percent


def _verdict(table: Table, entry: Entry) -> str:
    if entry.asked == 0:
        return "no such cell"
    if entry.summary is None:
        ended = {status: n for status, n in entry.statuses.items() if status not in LEFT}
        return f"no number: {in_words(ended)}" if ended else NOTHING_YET
    if entry.verdict:
        return f"{VERDICT_SIGNS[entry.verdict]} {entry.verdict}"
    alike = table.spec.published is not None and table.spec.published.tolerance is None
    return "no verdict: no tolerance is declared" if alike else "no verdict: another profile or setting"


def _answer(table: Table, entry: Entry, *, drawn: bool) -> str:
    """What an index says of a published number: one seed of something random decides nothing."""
    if entry.asked == 0 or entry.summary is None:
        found = _verdict(table, entry)
        return NOT_RUN if found == NOTHING_YET else found
    if entry.gap is None:
        return NOT_TESTABLE
    if entry.verdict is None:
        return _verdict(table, entry)
    n = entry.summary.n
    if entry.verdict not in ANSWERS or (drawn and n == 1) or _may_be_either(table.spec, entry):
        return f"{UNDECIDED} at n = {n}"
    return ANSWERS[entry.verdict]


def _may_be_either(spec: TableSpec, entry: Entry) -> bool:
    """Whether the 95 % interval of ours has means that are within the tolerance, and some that are not."""
    ours, number = entry.summary, entry.published
    assert ours is not None and number is not None and spec.published is not None and entry.gap is not None
    if ours.low is None or ours.high is None or not ours.varies or spec.published.tolerance is None:
        return False
    limit = largest_gap(spec, spec.published.tolerance, (number, entry.published_sd))
    half = (ours.high - ours.low) / 2
    return abs(abs(entry.gap) - limit) < half
