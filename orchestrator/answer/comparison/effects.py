"""What each axis of a sweep does: main effects and interactions of a grid, what each part is worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.answer.comparison.measured import Measured, framed, measured
from orchestrator.answer.statistics import Summary, summarise
from orchestrator.answer.statistics.contrasts import Contrast, factorial, leave_one_out
from orchestrator.answer.statistics.decision import Compared, is_shown, words
from orchestrator.answer.statistics.effect_size import EffectSize, effect_size
from orchestrator.answer.statistics.holm import holm
from orchestrator.answer.statistics.sign_flips import sign_flip_p
from orchestrator.errors import UsageError
from orchestrator.planning.expand import Expansion
from orchestrator.records import TrialRecord

if TYPE_CHECKING:
    import pandas


class Effect(NamedTuple):
    """A main effect, an interaction of two axes, or what a part is worth."""

    name: str
    axes: tuple[str, ...]
    difference: Summary | None
    p: float | None
    p_holm: float | None
    effect: EffectSize | None


class Effects(NamedTuple):
    """What the axes of a sweep do."""

    of: Measured
    rows: tuple[Effect, ...]
    notes: tuple[str, ...]
    decision: str

    def frame(self) -> pandas.DataFrame:
        """A row per effect with every number, in the metric's own unit; words in `.attrs`."""
        return framed(records_of(self), "effect", self.decision, self.notes)


def effects(
    expansion: Expansion, records: Mapping[str, TrialRecord], *, metric: str | None = None
) -> Effects:
    """Main effects and interactions of a grid, or what each part of a leave-one-out design is worth.

    Args:
        expansion: the trials asked for.
        records: what arrived, by trial id.
        metric: final metric of a trial; None: that of the sweep's first table.

    Raises:
        UsageError: the design has no such effects, or there is no such metric.
    """
    return effects_on(expansion, measured(expansion, records, metric))


def effects_on(expansion: Expansion, of: Measured) -> Effects:
    """The same of a metric that was measured; UsageError: the design has no such effects."""
    contrasts = list(_contrasts(expansion, of))
    # Missing ones count, too: the seeds that come must not change how many comparisons there are.
    ps = [sign_flip_p(one.differences) for one in contrasts]
    rows = []
    for one, p, adjusted in zip(contrasts, ps, holm(ps), strict=True):
        difference, axes = summarise(one.differences), tuple(axis for axis, _, _ in one.levels)
        known = difference is not None
        rows.append(
            Effect(
                _name(one),
                axes,
                difference,
                p if known else None,
                adjusted if known else None,
                effect_size(difference),
            )
        )
    compared = [Compared(row.name, row.difference, is_shown(row.p_holm)) for row in rows]
    gaps = [cell.label for cell, entry in of.cells if len(entry.values) < entry.asked]
    those = "each part counts the seeds that it shares with the whole"
    if expansion.spec.design == "grid":
        those = "only seeds that every cell has count"
    notes = [f"{those}; some have no number in {', '.join(gaps)}"] if gaps else []
    return Effects(of, tuple(rows), (*notes, *of.notes), words(compared))


def _contrasts(expansion: Expansion, of: Measured) -> Iterator[Contrast]:
    spec = expansion.spec
    values = {tuple(level for _, level in cell.choice): entry.values for cell, entry in of.cells}
    axes = {name: axis.labels for name, axis in spec.axes.items()}
    if spec.design == "leave_one_out":
        full = tuple(labels[0] for labels in axes.values())
        without = {(axis, full[i]): values[(*full[:i], None, *full[i + 1 :])] for i, axis in enumerate(axes)}
        return leave_one_out(values[full], without)
    if spec.design != "grid" or any(axis.when for axis in spec.axes.values()):
        why = "an axis with `when`" if spec.design == "grid" else f"design {spec.design}"
        raise UsageError(
            f"sweep '{spec.name}': effects of axes need a full grid or design leave_one_out, and it has "
            f"{why}; compare its cells with --against CELL"
        )
    varied = {name: labels for name, labels in axes.items() if len(labels) > 1}
    if not varied:
        raise UsageError(
            f"sweep '{spec.name}' has no axis with two levels, so there is no effect to look for"
        )
    chosen = [i for i, name in enumerate(axes) if name in varied]
    return factorial(varied, {tuple(str(place[i]) for i in chosen): v for place, v in values.items()})


def _name(one: Contrast) -> str:
    """Such as "ema: No EMA - EMA", "ema: No EMA × predictor: regular", or "ema: EMA" of a part."""
    parts = [f"{axis}: {level}" for axis, level, _ in one.levels]
    (_, _, reference), *others = one.levels
    main = not others and reference != "without"
    return " × ".join(parts) + (f" - {reference}" if main else "")


def records_of(found: Effects) -> list[dict[str, Any]]:
    """A row per effect with every number, in the metric's own unit (shares in [0, 1])."""
    return [
        {
            "effect": row.name,
            "axes": list(row.axes),
            "n": row.difference.n if row.difference else 0,
            "difference": row.difference.mean if row.difference else None,
            "sd": row.difference.sd if row.difference else None,
            "difference_low": row.difference.low if row.difference else None,
            "difference_high": row.difference.high if row.difference else None,
            "p": row.p,
            "p_holm": row.p_holm,
            "d_z": row.effect.d_z if row.effect else None,
            "d_z_low": row.effect.low if row.effect else None,
            "d_z_high": row.effect.high if row.effect else None,
        }
        for row in found.rows
    ]
