"""Each cell of a sweep against one of them: differences paired by seed, and what they can decide."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.answer.comparison.measured import Measured, framed, measured
from orchestrator.answer.statistics import Summary
from orchestrator.answer.statistics.bootstrap import bca_interval
from orchestrator.answer.statistics.decision import Compared, is_shown, words
from orchestrator.answer.statistics.effect_size import EffectSize, effect_size
from orchestrator.answer.statistics.equivalence import Equivalence, equivalence
from orchestrator.answer.statistics.holm import holm
from orchestrator.answer.statistics.rates import Rate, rate
from orchestrator.answer.statistics.sign_flips import sign_flip_p
from orchestrator.answer.statistics.summary import differences, summarise
from orchestrator.answer.tables.entries import Entry
from orchestrator.errors import UsageError
from orchestrator.planning.expand import Expansion
from orchestrator.planning.find import find_trials
from orchestrator.process.words import exact
from orchestrator.records import TrialRecord

if TYPE_CHECKING:
    import pandas

RATES = ("collapsed", "dimensional", "diverged")


class Versus(NamedTuple):
    """One cell against the baseline, over the seeds that both have; numbers are None where there is none."""

    difference: Summary | None
    bca: tuple[float, float] | None
    """95 % interval of the mean difference by bootstrap; None of fewer than 40 seeds."""
    p: float | None
    """By sign flips, two-sided."""
    p_holm: float | None
    effect: EffectSize | None
    equivalence: Equivalence | None
    equivalence_p_holm: float | None

    @property
    def different(self) -> bool:
        """Whether a difference is shown."""
        return is_shown(self.p_holm)

    @property
    def equivalent(self) -> bool:
        """Whether it is shown that the difference is inside the margin."""
        return is_shown(self.equivalence_p_holm)

    @property
    def verdict(self) -> str:
        """What is shown: "different", "equivalent", both, or "undecided"."""
        shown = ["different"] * self.different + ["equivalent"] * self.equivalent
        return " and ".join(shown) or "undecided"


class Row(NamedTuple):
    """One cell."""

    cell: str
    asked: int
    """Seeds that the sweep asks for."""
    summary: Summary | None
    rates: Mapping[str, Rate]
    """Of the trials that ended with a result."""
    versus: Versus | None
    """None for the baseline itself."""


class Comparison(NamedTuple):
    """The cells of a sweep against one of them."""

    of: Measured
    against: str
    margin: float | None
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    decision: str
    """In plain words what the seeds decide, what they cannot, and how many could."""

    def frame(self) -> pandas.DataFrame:
        """A row per cell with every number, in the metric's own unit; words in `.attrs`."""
        return framed(records_of(self), "cell", self.decision, self.notes)


def compare(
    expansion: Expansion,
    records: Mapping[str, TrialRecord],
    against: str,
    *,
    metric: str | None = None,
    margin: float | None = None,
) -> Comparison:
    """Each cell against the cell `against`, over the seeds that both have.

    Args:
        expansion: the trials asked for.
        records: what arrived, by trial id.
        against: the baseline: label, levels as axis=level, or the start of an id.
        metric: final metric of a trial; None: that of the sweep's first table.
        margin: the largest difference that does not matter, in the metric's own unit (shares in [0, 1]).

    Raises:
        UsageError: there is no such cell, no other cell, no such metric, or the margin is none.
    """
    baseline = find_trials(expansion, against)[0].cell
    of = measured(expansion, records, metric)
    _check_margin(margin, in_percent=of.in_percent)
    entries: dict[str, Entry] = {}  # cells that come to one config are one comparison
    labels: dict[str, list[str]] = {}
    for cell, entry in of.cells:
        entries.setdefault(cell.id, entry)
        labels.setdefault(cell.id, []).append(cell.label)
    others = [i for i in entries if i != baseline.id]
    if not others:
        raise UsageError(f"sweep '{expansion.spec.name}' has no cell to compare with '{baseline.label}'")
    versus = _versus(entries, baseline.id, margin)
    rows = [
        Row(labels[i][0], one.asked, one.summary, _rates(one), versus.get(i)) for i, one in entries.items()
    ]
    compared = [
        Compared(labels[i][0], one.difference, one.different, one.equivalent) for i, one in versus.items()
    ]
    decision = words(compared, margin=None if margin is None else of.declared(margin))
    notes = [f"{', '.join(same[1:])}: the same trials as {same[0]}" for same in labels.values() if same[1:]]
    notes += [*_gaps(labels, entries), *of.notes]
    return Comparison(of, baseline.label, margin, tuple(rows), tuple(notes), decision)


def _versus(entries: Mapping[str, Entry], baseline: str, margin: float | None) -> dict[str, Versus]:
    """Each other cell against the baseline, by id."""
    others = {i: one for i, one in entries.items() if i != baseline}
    pairs = {i: differences(one.values, entries[baseline].values) for i, one in others.items()}
    # A comparison without a seed counts, too: the seeds that come must not change how many there are.
    ps = [sign_flip_p(d) for d in pairs.values()]
    tests = [
        None if margin is None or _diverged(others[i], entries[baseline]) else equivalence(d, margin)
        for i, d in pairs.items()
    ]
    adjusted, alike = holm(ps), holm([1.0 if test is None else test.p for test in tests])
    made = {}
    for number, (i, d) in enumerate(pairs.items()):
        difference, test = summarise(d), tests[number]
        made[i] = Versus(
            difference,
            bca_interval(d),
            ps[number] if d else None,
            adjusted[number] if d else None,
            effect_size(difference),
            test,
            None if test is None else alike[number],
        )
    return made


def _diverged(*entries: Entry) -> bool:
    """Whether trials diverged: then cells are not alike, whatever the numbers of their other trials."""
    return any(entry.statuses.get("diverged") for entry in entries)


def _check_margin(margin: float | None, *, in_percent: bool) -> None:
    if margin is None:
        return
    if not (math.isfinite(margin) and margin > 0):
        raise UsageError(
            f"margin {exact(margin)}: expected a number above 0, the largest difference without weight"
        )
    if in_percent and margin >= 1:
        raise UsageError(
            f"margin {exact(margin)}: this metric is a share in [0, 1], so {exact(margin)} points are "
            f"{margin / 100:.12g}"
        )


def _rates(entry: Entry) -> dict[str, Rate]:
    counts = {name: entry.statuses.get(name, 0) for name in RATES}
    ended = sum(counts.values()) + entry.statuses.get("completed", 0)
    return {name: rate(count, ended) for name, count in counts.items()}


def _gaps(labels: Mapping[str, list[str]], entries: Mapping[str, Entry]) -> list[str]:
    """Lines on trials that have no number: those that diverged, and those that are not there."""
    lines = []
    for i, entry in entries.items():
        diverged = entry.statuses.get("diverged", 0)
        if diverged:
            lines.append(
                f"{labels[i][0]}: {diverged} of {entry.asked} diverged; its numbers, differences and p "
                "are of the others only"
            )
        if absent := entry.asked - len(entry.values) - diverged:
            lines.append(f"{labels[i][0]}: no number from {absent} of {entry.asked} seeds")
    return lines


def records_of(comparison: Comparison) -> list[dict[str, Any]]:
    """A row per cell with every number, in the metric's own unit (shares in [0, 1])."""
    return [_record(row, comparison.margin) for row in comparison.rows]


def _record(row: Row, margin: float | None) -> dict[str, Any]:
    summary, versus = row.summary or _NOTHING, row.versus or _NO_VERSUS
    difference, effect = versus.difference or _NOTHING, versus.effect or _NO_EFFECT
    found: dict[str, Any] = {
        "cell": row.cell,
        "asked": row.asked,
        **dict(zip(("n", "mean", "sd", "mean_low", "mean_high"), summary, strict=True)),
        **dict(zip(("pairs", "difference", "difference_sd", *_ENDS), difference, strict=True)),
        **dict(zip(("bca_low", "bca_high"), versus.bca or (None, None), strict=True)),
        "p": versus.p,
        "p_holm": versus.p_holm,
        **dict(zip(("d_z", "d_z_low", "d_z_high"), effect, strict=True)),
    }
    if margin is not None:
        test = versus.equivalence
        found |= {
            "equivalence_p": test.p if test else None,
            "equivalence_p_holm": versus.equivalence_p_holm,
            "equivalence_low": test.low if test else None,
            "equivalence_high": test.high if test else None,
        }
    found["verdict"] = row.versus.verdict if row.versus else "baseline"
    found["ended"] = row.rates["diverged"].n
    for name, one in row.rates.items():
        found |= {name: one.hits, f"{name}_low": one.low, f"{name}_high": one.high}
    return found


_ENDS = ("difference_low", "difference_high")
_NOTHING = (0, None, None, None, None)
_NO_EFFECT = (None, None, None)
_NO_VERSUS = Versus(None, None, None, None, None, None, None)
