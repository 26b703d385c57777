"""The claims that a sweep's tables answer: published numbers, a theory's direction, expectations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from orchestrator.answer.formats._written import VERDICT_SIGNS, ours, published
from orchestrator.answer.marks import MEANINGS
from orchestrator.answer.report.values import Claim
from orchestrator.answer.tables import Table
from orchestrator.answer.tables.entries import Entry

SIGNS = {"holds": "✓ holds", "fails": "✗ fails", "does not hold": "✗ does not hold"}


def claims_of(table: Table, anchor: str) -> list[Claim]:
    """Each claim of a table beside ours, written as the table has them."""
    return [*_published(table, anchor), *_predicted(table, anchor), *_expected(table, anchor)]


def counted_verdicts(claims: Iterable[Claim]) -> str:
    """How many claims have which verdict, in words."""
    counts = Counter(one.verdict.partition(":")[0].lstrip("✓✗… ") for one in claims)
    return ", ".join(f"{number} {verdict}" for verdict, number in counts.most_common())


def in_words(states: Mapping[str, int]) -> str:
    """How many trials have which status."""
    return ", ".join(f"{number} {MEANINGS.get(status, status)}" for status, number in states.items())


def _published(table: Table, anchor: str) -> Iterator[Claim]:
    if table.spec.published is None:
        return
    theirs = " (theory)" if table.spec.published.what == "theory" else ""
    for row, column, entry in table.flat():
        if entry.published is not None:
            yield Claim(
                sweep=table.sweep,
                anchor=anchor,
                what=" · ".join(filter(None, (row, column))) + f" ({_metric(table)})",
                published=f"{published(entry, table)}{theirs}",
                ours=ours(entry, table),
                n=str(entry.summary.n if entry.summary else 0),
                verdict=_verdict(table, entry),
            )


def _predicted(table: Table, anchor: str) -> Iterator[Claim]:
    """Whether the numbers rise or fall as a theory says."""
    if table.prediction is None:
        return
    said = next(note for note in table.notes if note.startswith(f"theory: {table.spec.expected}"))
    numbers = [one.summary.n if one.summary else 0 for _, _, one in table.flat() if one.asked]
    yield Claim(
        sweep=table.sweep,
        anchor=anchor,
        what=f"{table.spec.expected} along {', '.join(table.spec.row_axes) or 'the rows'} ({_metric(table)})",
        published="theory",
        ours=said.partition("; ")[2],
        n=str(min(numbers, default=0)),
        verdict=SIGNS.get(table.prediction, table.prediction),
    )


def _expected(table: Table, anchor: str) -> Iterator[Claim]:
    """What became of each expectation, and whether it was one."""
    for one in table.judged:
        yield Claim(
            sweep=table.sweep,
            anchor=anchor,
            what=f"{one.says} ({_metric(table)})",
            published=one.written,
            ours=one.found,
            n="",
            verdict=SIGNS.get(one.verdict, one.verdict),
        )


def _metric(table: Table) -> str:
    return table.spec.metric + " in %" * table.spec.in_percent


def _verdict(table: Table, entry: Entry) -> str:
    if entry.asked == 0:
        return "no such cell"
    if entry.summary is None:
        ended = {status: n for status, n in entry.statuses.items() if status not in ("missing", "running")}
        return f"no number: {in_words(ended)}" if ended else "no result yet"
    if entry.verdict:
        return f"{VERDICT_SIGNS[entry.verdict]} {entry.verdict}"
    alike = table.spec.published is not None and table.spec.published.tolerance is None
    return "no verdict: no tolerance is declared" if alike else "no verdict: another profile or setting"
