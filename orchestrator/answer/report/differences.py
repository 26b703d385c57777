"""The numbers behind what a report says of differences: each cell against the baseline, and what axes do."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Mapping

from orchestrator.answer.comparison.cells import Comparison, compare
from orchestrator.answer.comparison.effects import effects_on
from orchestrator.answer.comparison.measured import Measured
from orchestrator.answer.comparison.written import BRACKETS, cells_table, effects_table
from orchestrator.answer.report.values import Detail
from orchestrator.answer.tables import Table
from orchestrator.errors import UsageError
from orchestrator.planning.expand import Expansion
from orchestrator.records import TrialRecord

MOST_EFFECTS = 40
"""More are no page that anybody reads."""


def against_baseline(
    expansion: Expansion, records: Mapping[str, TrialRecord], table: Table
) -> Iterator[Comparison]:
    """The sweep's cells against the table's baseline, for each of its metrics; none without a baseline."""
    baseline = table.baseline
    if baseline is None or expansion.spec.searches:
        return
    for metric in (part.spec.metric for part in table.parts):
        with contextlib.suppress(UsageError):  # no other cell, or nothing reported: the table says so
            yield compare(expansion, records, baseline.id, metric=metric)  # no label: one may hold a comma


def of_comparison(found: Comparison) -> Detail:
    """Differences, p, sizes, verdicts and rates of collapse and divergence."""
    head, *body = cells_table(found)
    unit = " in %" * found.of.in_percent
    title = f"{found.of.metric}{unit}: each cell against {found.against}"
    return Detail(title, head, body, [f"{BRACKETS}; d_z: difference over its own sd", *found.notes])


def of_axes(expansion: Expansion, measured: Iterable[Measured]) -> Iterator[Detail]:
    """Main effects and interactions, or what each part is worth, where more than one axis has some."""
    others = [len(axis.levels) - 1 for axis in expansion.spec.axes.values() if len(axis.levels) > 1]
    number = sum(others) + sum(a * b for a, b in itertools.combinations(others, 2))
    if (len(others) < 2 and expansion.spec.design != "leave_one_out") or number > MOST_EFFECTS:
        return
    for of in measured:
        with contextlib.suppress(UsageError):  # the design has none
            found = effects_on(expansion, of)
            head, *body = effects_table(found)
            title = f"{of.metric}{' in %' * of.in_percent}: what each axis does"
            yield Detail(title, head, body, [BRACKETS, *found.notes, found.decision])
