"""From the trials a sweep asks for and the records that arrived to its tables. A gap cannot hide."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

from orchestrator.answer.comparison.expectations import Judged, judged
from orchestrator.answer.notes import marked, narrowness, notes
from orchestrator.answer.statistics import Summary, paired, summarise
from orchestrator.answer.statistics.prediction import Prediction, predicted
from orchestrator.errors import UsageError
from orchestrator.language.hints import nearest
from orchestrator.language.table_spec import EVALUATIONS, TableSpec
from orchestrator.planning.evaluations import protocols
from orchestrator.planning.expand import Expansion
from orchestrator.planning.layout import layout
from orchestrator.planning.trials import Cell
from orchestrator.records import MEASURED, Imported, TrialRecord, status_of

if TYPE_CHECKING:
    import pandas

Verdict = Literal["within", "outside", "incomplete"]


class Source(NamedTuple):
    """Where numbers are from that others have measured."""

    name: str
    origins: tuple[Imported, ...]
    """Of one result of each file and day that it was imported from."""


class Beside(NamedTuple):
    """What others have measured of a place."""

    values: Mapping[int, float]
    """By their seeds, which are not ours."""
    summary: Summary | None


class Entry(NamedTuple):
    """One place of a table."""

    seeds: Mapping[int, str]
    """Status by seed of the trials the sweep asks for here, none where the design has no such cell; "missing"
    without a record, "dimensional" if completed with embeddings in a tenth of their dimensions or less."""
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
    _check_metric(spec, expansion, records)
    rows, columns, cells, published, published_sd, baseline = layout(expansion, spec)
    reference = _values(expansion, baseline, spec, records) if baseline else None
    compared = not expansion.changed and (
        spec.published is None or spec.published.profile in (None, expansion.profile)
    )
    entries = tuple(
        tuple(
            _entry(
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
    told = list(notes(expansion, spec, records, compared=compared))
    if spec.best:
        entries, said = marked(entries, spec.metric, highest=spec.best == "highest")
        told.insert(0, said)
    prediction: Prediction | None = None
    if spec.expected:
        prediction, said = predicted(spec.expected, rows, columns, entries)
        told.insert(0, said if spec in expansion.spec.tables else f"{spec.metric}: {said}")
    places = list(zip(itertools.chain(*cells), itertools.chain(*entries), strict=True))
    verdicts = tuple(judged(expansion, spec, records, places))
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


def _entry(
    expansion: Expansion,
    cell: Cell | None,
    spec: TableSpec,
    records: Mapping[str, TrialRecord],
    *,
    baseline: Cell | None,
    reference: dict[int, float] | None,
    published: tuple[float | None, float | None],
    compared: bool,
) -> Entry:
    number, spread = published
    if cell is None:
        return Entry({}, {}, None, None, number, spread, None, None, False)
    statuses = {seed: status_of(records.get(i)) for seed, i in _ids(expansion, cell).items()}
    values = _values(expansion, cell, spec, records)
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
                limit = max(tolerance / (100 if spec.in_percent else 1), 2 * (spread or 0.0))
                verdict = "within" if abs(gap) <= limit + 1e-12 else "outside"
    return Entry(statuses, values, summary, against, number, spread, gap, verdict, is_baseline)


def _ids(expansion: Expansion, cell: Cell) -> dict[int, str]:
    """Trial id by seed."""
    return {seed: cell.trial_id(seed) for seed in expansion.seeds_of(cell)}


def _values(
    expansion: Expansion, cell: Cell, spec: TableSpec, records: Mapping[str, TrialRecord]
) -> dict[int, float]:
    found = {seed: records.get(identity) for seed, identity in _ids(expansion, cell).items()}
    return {
        seed: record.metrics[spec.metric]
        for seed, record in found.items()
        if record is not None and record.is_done and math.isfinite(record.metrics.get(spec.metric, math.nan))
    }


def _check_metric(spec: TableSpec, expansion: Expansion, records: Mapping[str, TrialRecord]) -> None:
    if spec.columns == EVALUATIONS and not expansion.spec.evaluations:
        raise UsageError(
            f"table '{spec.name}': columns: evaluations, and sweep '{expansion.spec.name}' has none; add "
            "`evaluations:` to its file"
        )
    ids = {trial.id for trial in expansion.trials}
    # Where every trial diverged or failed nobody could report it: that is a table of marks, no mistake.
    measured = (record for i, record in records.items() if i in ids and record.status in MEASURED)
    reported = {name for record in measured for name in record.metrics}
    if spec.metric.partition("/")[0] in expansion.spec.evaluations and not any(
        spec.metric in record.metrics for record in records.values()
    ):
        return  # nothing is evaluated yet: a table of gaps
    if reported and spec.metric not in reported:
        hint = nearest(spec.metric, sorted(reported))
        raise UsageError(f"table '{spec.name}': metric '{spec.metric}' was never reported; {hint}")
