"""From the trials a sweep asks for and the records that arrived to its tables. A gap cannot hide."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.answer.comparison.expectations import Judged, judged
from orchestrator.answer.statistics.prediction import Prediction, predicted
from orchestrator.answer.tables.entries import Entry, check_metric, entry_of, values_of
from orchestrator.answer.tables.notes import marked, named, narrowness, notes, too_large
from orchestrator.language.table_spec import EVALUATIONS, TableSpec
from orchestrator.planning.evaluations import protocols
from orchestrator.planning.expand import Expansion, draws
from orchestrator.planning.layout import layout
from orchestrator.planning.trials import Cell
from orchestrator.records import Imported, TrialRecord

if TYPE_CHECKING:
    import pandas


class Source(NamedTuple):
    """Where numbers are from that others have measured."""

    name: str
    origins: tuple[Imported, ...]
    """Of one result of each file and day that it was imported from."""


class Table(NamedTuple):
    """A table, ready to be rendered."""

    spec: TableSpec
    sweep: str
    profile: str | None
    """The profile, with what `--set` changed of it."""
    seeds: tuple[int, ...]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    entries: tuple[tuple[Entry, ...], ...]
    notes: tuple[str, ...]
    prediction: Prediction | None = None
    """Whether the numbers go as `expected` says; None where nothing is expected."""
    judged: tuple[Judged, ...] = ()
    """What became of each of its `expectations`."""
    others: tuple[Table, ...] = ()
    """The same table of each evaluation and further metric."""
    sources: tuple[Source, ...] = ()
    """Where the numbers of others are from that were asked for."""

    @property
    def baseline(self) -> Cell | None:
        """The cell that others are compared with."""
        return next((entry.cell for _, _, entry in self.flat() if entry.is_baseline), None)

    @property
    def parts(self) -> tuple[Table, ...]:
        """The table of each of its metrics."""
        return (self, *self.others)

    @property
    def headers(self) -> tuple[str, ...]:
        """Its columns by names that no other metric's have."""
        own = self.spec.metric
        return tuple(f"{one} · {own}" for one in self.columns) if self.spec.column_axes else self.columns

    def flat(self) -> Iterator[tuple[str, str, Entry]]:
        """(row, column, entry), row by row."""
        for row, line in zip(self.rows, self.entries, strict=True):
            for column, entry in zip(self.columns, line, strict=True):
                yield row, column, entry

    def frame(self) -> pandas.DataFrame:
        """A row per place with every number behind it, shares in [0, 1]; by row and column of the table."""
        import pandas

        from orchestrator.answer.formats import load

        return pandas.DataFrame(load("json").places(self)).set_index(["row", "column"])

    def to_latex(self) -> str:
        """The table in LaTeX, for a document that loads booktabs."""
        return self.written("tex")

    def written(self, form: str) -> str:
        """The table in one of the formats that `orch table --format` knows.

        Raises:
            UsageError: there is no such format.
        """
        from orchestrator.answer.formats import text_of

        return text_of(form, self)

    def __str__(self) -> str:
        return self.written("text")

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return self.written("html")

    @property
    def verdicts(self) -> Counter[str]:
        """How many entries have which verdict."""
        return Counter(entry.verdict for _, _, entry in self.flat() if entry.verdict)


def tabulate(expansion: Expansion, spec: TableSpec, records: Mapping[str, TrialRecord]) -> Table:
    """The table `spec` of a sweep.

    Args:
        expansion: the trials asked for.
        spec: rows, columns, metric.
        records: what arrived, by trial id.

    Raises:
        UsageError: the metric was never reported, or the table has no `layout`.
    """
    check_metric(spec, expansion, records)
    rows, columns, cells, published, published_sd, baseline = layout(expansion, spec)
    reference = values_of(expansion, baseline, spec, records) if baseline else None
    compared = not expansion.changed and (
        spec.published is None or spec.published.profile in (None, expansion.profile)
    )
    entries = tuple(
        tuple(
            entry_of(
                expansion,
                cell,
                spec,
                records,
                baseline=baseline,
                reference=reference,
                published=(published[i][j], published_sd[i][j]),
                compared=compared,
            )
            for j, cell in enumerate(line)
        )
        for i, line in enumerate(cells)
    )
    told = [*notes(expansion, spec, records, compared=compared), *too_large(named(rows, columns, entries))]
    if spec.best:
        entries, said = marked(entries, spec.metric, highest=spec.best == "highest")
        told.insert(0, said)
    prediction: Prediction | None = None
    if spec.expected:
        prediction, said = predicted(spec, rows, columns, entries, drawn=draws(itertools.chain(*cells)))
        told.insert(0, said if spec in expansion.spec.tables else f"{spec.metric}: {said}")
    verdicts = tuple(judged(expansion, spec, records, itertools.chain(*entries)))
    told[:0] = [one.line for one in verdicts]
    if expansion.aim and spec.metric == expansion.aim.metric and spec in expansion.spec.tables:
        told.insert(0, narrowness(expansion.aim, spec, rows, columns, entries, paired=baseline is not None))
    return Table(
        spec,
        expansion.spec.name,
        expansion.brief_setting,
        expansion.seeds,
        rows,
        columns,
        entries,
        tuple(told),
        prediction,
        verdicts,
        tuple(_further(expansion, spec, records)),
    )


def _further(expansion: Expansion, spec: TableSpec, records: Mapping[str, TrialRecord]) -> Iterator[Table]:
    """The same table of each evaluation, headed by its protocol, and of each further metric.

    Of evaluations nothing is published or expected.
    """
    if spec.columns == EVALUATIONS:
        same: dict[str, object] = {"name": spec.name, "rows": spec.rows}
        same |= {"where": spec.where, "baseline": spec.baseline, "marks": spec.marks}
        # Of an accuracy more is better, whatever the first metric is.
        best = spec.best if spec.metric.endswith("/top1") else spec.best and "highest"
        same |= {"best": best, "digits": spec.digits if spec.in_percent else 1}
        for name, words in protocols(expansion).items():
            own = TableSpec.model_validate(same | {"metric": f"{name}/top1"})
            yield tabulate(expansion, own, records)._replace(columns=(f"{name}: {words}",))
    for one in spec.further:
        yield tabulate(expansion, one, records)
