"""One metric of every cell of a sweep, as its tables have it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.answer.tables.entries import Entry, every_cell
from orchestrator.answer.tables.notes import notes, pairing, too_large
from orchestrator.errors import UsageError
from orchestrator.language.table_spec import TableSpec
from orchestrator.planning.expand import Expansion
from orchestrator.planning.trials import Cell
from orchestrator.process.words import fixed
from orchestrator.records import TrialRecord

if TYPE_CHECKING:
    import pandas


class Measured(NamedTuple):
    """One metric of every cell."""

    sweep: str
    profile: str | None
    """The profile, with what `--set` changed of it."""
    seeds: tuple[int, ...]
    spec: TableSpec
    cells: tuple[tuple[Cell, Entry], ...]
    notes: tuple[str, ...]
    """What a reader must know to trust the numbers."""

    @property
    def metric(self) -> str:
        """Name of the metric."""
        return self.spec.metric

    @property
    def in_percent(self) -> bool:
        """Whether the metric is a share that is printed in percent."""
        return self.spec.in_percent

    def written(self, value: float, *, signed: bool = False, points: bool = True) -> str:
        """`value` for people: in points where it is a share that is printed in percent."""
        if self.in_percent:
            number = fixed(100 * value, self.spec.digits, "+" * signed)
            return f"{number} points" if points else number
        return f"{value:{'+' * signed}.4g}"  # a table's digits after the point would hide small differences

    def declared(self, bound: float, *, points: bool = True) -> str:
        """`bound` for people, with all of its digits: what was tested is not to look narrower than it was."""
        number, whole = self.written(bound, points=False), f"{bound * self.spec.scale:.12g}"
        return (number if float(number) == float(whole) else whole) + " points" * (points and self.in_percent)


def framed(
    rows: Sequence[Mapping[str, Any]], index: str, decision: str, notes: Sequence[str]
) -> pandas.DataFrame:
    """These rows by the column `index`; what the seeds decide, and the notes, are in `.attrs`."""
    import pandas

    frame = pandas.DataFrame(rows).set_index(index)
    frame.attrs = {"decision": decision, "notes": list(notes)}
    return frame


def measured(expansion: Expansion, records: Mapping[str, TrialRecord], metric: str | None) -> Measured:
    """That metric of every cell; None: that of the sweep's first table.

    Raises:
        UsageError: it was never reported, or the sweep's trials have unequal budgets.
    """
    if expansion.spec.searches:
        raise UsageError(
            f"sweep '{expansion.spec.name}' has a `schedule`, which ends trials early; comparing needs equal "
            "budgets, so remove `schedule`"
        )
    of = of_every_cell(expansion, records, metric)
    return of._replace(notes=(*pairing(expansion), *of.notes))


def of_every_cell(
    expansion: Expansion, records: Mapping[str, TrialRecord], metric: str | None = None
) -> Measured:
    """The same, whatever the budgets; UsageError: it was never reported."""
    tables = expansion.spec.tables
    further = (part for table in tables for part in table.further)
    own = [table for table in (*tables, *further) if metric in (None, table.metric)]
    if own:
        shown = {"metric": own[0].metric, "unit": own[0].unit, "digits": own[0].digits}
    else:
        shown = {"metric": metric} if metric else {}
    spec = TableSpec.model_validate({"name": "compare", "rows": "cells", **shown})
    cells = tuple(every_cell(expansion, spec, records))
    large = too_large((cell.label, entry) for cell, entry in cells)
    told = (*notes(expansion, spec, records, compared=True), *large)
    return Measured(expansion.spec.name, expansion.brief_setting, expansion.seeds, spec, cells, told)
