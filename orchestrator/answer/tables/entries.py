"""The places of a table: what the trials of a cell came to, by themselves and beside what is compared."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping
from typing import Literal, NamedTuple

from orchestrator.answer.statistics import Summary, paired, summarise
from orchestrator.errors import UsageError
from orchestrator.language.hints import nearest
from orchestrator.language.table_spec import EVALUATIONS, TableSpec
from orchestrator.planning.expand import Expansion
from orchestrator.planning.layout import layout
from orchestrator.planning.trials import Cell
from orchestrator.records import MEASURED, TrialRecord, status_of

Verdict = Literal["within", "outside", "incomplete"]


class Beside(NamedTuple):
    """What others have measured of a place."""

    values: Mapping[int, float]
    """By their seeds, which are not ours."""
    summary: Summary | None


LEFT = ("missing", "running", "stopped")
"""Statuses of trials that have not come to an end."""


class Entry(NamedTuple):
    """One place of a table."""

    cell: Cell | None
    """Whose numbers stand here; None where the design has no such cell."""
    seeds: Mapping[int, str]
    """Status by seed of the trials the sweep asks for here; "missing" without a record, "dimensional" if
    completed with embeddings in a tenth of their dimensions or less."""
    values: Mapping[int, float]
    """Metric by seed, as far as it was reported, in [0, 1] for shares."""
    summary: Summary | None
    against: Summary | None
    """Paired difference from the baseline; None for the baseline itself."""
    published: float | None
    """Published value in the same unit as `values`."""
    published_sd: float | None
    """Its standard deviation, where it is published."""
    gap: float | None
    """Mean minus published; only under the published profile."""
    verdict: Verdict | None
    is_baseline: bool
    beside: tuple[Beside, ...] = ()
    """For each of the table's `sources`; never a part of any number above."""
    is_best: bool | None = None
    """Whether this is the table's best, or is not told apart from it; None where the table marks none."""

    @property
    def asked(self) -> int:
        """Trials the sweep asks for here."""
        return len(self.seeds)

    @property
    def statuses(self) -> Mapping[str, int]:
        """How many of them have which status."""
        return Counter(self.seeds.values())

    @property
    def left(self) -> int:
        """How many of them are missing, running or stopped."""
        return sum(self.statuses.get(status, 0) for status in LEFT)


def every_cell(
    expansion: Expansion, spec: TableSpec, records: Mapping[str, TrialRecord]
) -> list[tuple[Cell, Entry]]:
    """The cells of a table and their own numbers: nothing is compared, published or judged.

    Raises:
        UsageError: the metric was never reported, or the table has no `layout`.
    """
    check_metric(spec, expansion, records)
    cells = itertools.chain(*layout(expansion, spec).cells)
    return [(cell, entry_of(expansion, cell, spec, records)) for cell in cells if cell is not None]


def entry_of(
    expansion: Expansion,
    cell: Cell | None,
    spec: TableSpec,
    records: Mapping[str, TrialRecord],
    *,
    baseline: Cell | None = None,
    reference: Mapping[int, float] | None = None,
    published: tuple[float | None, float | None] = (None, None),
    compared: bool = False,
) -> Entry:
    """What stands at the place of `cell`.

    Args:
        expansion: the trials asked for.
        cell: whose place it is; None: the design has no such cell.
        spec: the table.
        records: what arrived, by trial id.
        baseline: the cell that others are compared with.
        reference: its metric by seed.
        published: the published value and its standard deviation, in the unit of results.
        compared: whether they are of the same profile and setting.
    """
    number, spread = published
    if cell is None:
        return Entry(None, {}, {}, None, None, number, spread, None, None, False)
    statuses = {seed: status_of(records.get(i)) for seed, i in _ids(expansion, cell).items()}
    values = values_of(expansion, cell, spec, records)
    summary = summarise(list(values.values()))
    is_baseline = baseline is not None and cell.choice == baseline.choice
    against = paired(values, reference) if reference is not None and not is_baseline else None
    gap: float | None = None
    verdict: Verdict | None = None
    if number is not None and compared and spec.published is not None:
        tolerance = spec.published.tolerance
        verdict = "incomplete" if tolerance is not None else None
        if summary is not None:
            gap = summary.mean - number
            if summary.n == len(statuses) and tolerance is not None:
                most = largest_gap(spec, tolerance, (number, spread))
                verdict = "within" if abs(gap) <= most else "outside"
    return Entry(cell, statuses, values, summary, against, number, spread, gap, verdict, is_baseline)


def largest_gap(spec: TableSpec, tolerance: float, published: tuple[float, float | None]) -> float:
    """How far a mean may be from a published value, given with its spread; with room for rounding."""
    value, spread = published
    limit = max(tolerance / (100 if spec.in_percent else 1), 2 * (spread or 0.0))
    return limit + 1e-12 * (max(abs(value), limit) or 1.0)


def _ids(expansion: Expansion, cell: Cell) -> dict[int, str]:
    """Trial id by seed."""
    return {seed: cell.trial_id(seed) for seed in expansion.seeds_of(cell)}


def values_of(
    expansion: Expansion, cell: Cell, spec: TableSpec, records: Mapping[str, TrialRecord]
) -> dict[int, float]:
    """The metric by seed, as far as the cell's trials have reported it."""
    found = {seed: records.get(identity) for seed, identity in _ids(expansion, cell).items()}
    return {
        seed: record.metrics[spec.metric]
        for seed, record in found.items()
        if record is not None
        and record.counts(search=expansion.spec.searches)
        and math.isfinite(record.metrics.get(spec.metric, math.nan))
    }


def check_metric(spec: TableSpec, expansion: Expansion, records: Mapping[str, TrialRecord]) -> None:
    """Check that some trial has reported a table's metric; UsageError: others were reported, and it never."""
    if spec.columns == EVALUATIONS and not expansion.spec.evaluations:
        raise UsageError(
            f"table '{spec.name}': columns: evaluations, and sweep '{expansion.spec.name}' has none; add "
            "`evaluations:` to its file"
        )
    ids = {trial.id for trial in expansion.trials}
    # Where every trial diverged or failed nobody could report it: that is a table of marks, no mistake.
    search = expansion.spec.searches
    measured = (
        r for i, r in records.items() if i in ids and r.status in MEASURED and r.counts(search=search)
    )
    reported = {name for record in measured for name in record.metrics}
    if spec.metric.partition("/")[0] in expansion.spec.evaluations and not any(
        spec.metric in record.metrics for record in records.values()
    ):
        return  # nothing is evaluated yet: a table of gaps
    if reported and spec.metric not in reported:
        hint = nearest(spec.metric, sorted(reported))
        raise UsageError(f"table '{spec.name}': metric '{spec.metric}' was never reported; {hint}")
