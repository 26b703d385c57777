"""Whether a table's numbers go as a theory says."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from orchestrator.answer.statistics import Summary, paired
from orchestrator.process.words import fixed

if TYPE_CHECKING:
    from orchestrator.answer.tables.entries import Entry
    from orchestrator.language.table_spec import TableSpec

Prediction = Literal["holds", "fails", "undecided", "incomplete"]


def predicted(
    spec: TableSpec,
    rows: Sequence[str],
    columns: Sequence[str],
    entries: Sequence[Sequence[Entry]],
    *,
    drawn: bool,
) -> tuple[Prediction, str]:
    """Whether the means rise or fall down every column as `spec` expects, and that in a line in its unit.

    A step the other way fails the prediction if it is beyond its noise, the 95 % interval of the differences
    paired by seed. It holds where every step goes its way and, beyond noise, so do first and last. One seed
    has no noise where nothing is `drawn` at random, and tells nothing from noise where something is.
    """
    sign, says = 1 if spec.expected == "rising" else -1, f"theory: {spec.expected} down the rows"
    missing, doubt, columns_with_steps = False, "", 0
    for j, column in enumerate(columns):
        known = [
            (row, line[j]) for row, line in zip(rows, entries, strict=True) if line[j].summary is not None
        ]
        missing |= any(
            line[j].asked > 0 and (line[j].summary is None or len(line[j].values) < line[j].asked)
            for line in entries
        )
        place = f"{column}: " if len(columns) > 1 else ""
        columns_with_steps += len(known) > 1
        for (above, first), (row, second) in itertools.pairwise(known):
            step = paired(dict(second.values), dict(first.values))
            if step is not None and sign * step.mean <= 0:
                between = f"{place}{above} to {row}, {_written(step.mean, spec)}"
                if not _within_noise(step, drawn=drawn):
                    return "fails", f"{says}; ours does not ({between})"
                alone = "one seed tells it from no noise" if step.low is None else "within its noise"
                doubt = doubt or f"{says}; ours is undecided by a step the other way, {alone} ({between})"
        if len(known) > 1 and not doubt:
            whole = paired(dict(known[-1][1].values), dict(known[0][1].values))
            if whole is None or _within_noise(whole, drawn=drawn):
                doubt = f"{says}; ours is not beyond its noise ({place}{known[0][0]} to {known[-1][0]})"
    if missing or not columns_with_steps:
        return "incomplete", f"{says}; not all cells are known"
    return ("undecided", doubt) if doubt else ("holds", f"{says}; so is ours")


def _written(step: float, spec: TableSpec) -> str:
    if spec.in_percent:
        return f"{fixed(spec.scale * step, spec.digits, '+')} points"
    return f"{step:+.3g}"  # a table's digits after the point would hide small steps


def _within_noise(difference: Summary, *, drawn: bool) -> bool:
    """Whether the 95 % interval holds zero, or one seed that drew something has none."""
    if difference.low is None or difference.high is None:
        return drawn
    return difference.low <= 0 <= difference.high
