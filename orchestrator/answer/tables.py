"""From the trials a sweep asks for and the records that arrived to its tables. A gap cannot hide."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from orchestrator.answer.statistics import Summary, paired, summarise
from orchestrator.errors import UsageError
from orchestrator.language.hints import nearest
from orchestrator.language.table_spec import TableSpec
from orchestrator.planning.expand import Expansion
from orchestrator.planning.layout import layout
from orchestrator.planning.trials import Cell
from orchestrator.records import MEASURED, TrialRecord, status_of

if TYPE_CHECKING:
    import pandas

Verdict = Literal["within", "outside", "incomplete"]
Prediction = Literal["holds", "fails", "undecided", "incomplete"]


class Entry(NamedTuple):
    """One place of a table."""

    asked: int
    """Trials the sweep asks for here; 0 where the design has no such cell."""
    statuses: Mapping[str, int]
    """How many of them have which status; "missing" for those without a record, "dimensional" for those
    that completed with embeddings in a tenth of their dimensions or less."""
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
        from orchestrator.answer.formats import load

        text: str = load(form).write(self)
        return text

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
    notes = list(_notes(expansion, spec, records, compared=compared))
    prediction: Prediction | None = None
    if spec.expected:
        prediction, said = _predicted(spec.expected, rows, columns, entries)
        notes.insert(0, said)
    setting = expansion.brief_setting
    return Table(
        spec, expansion.spec.name, setting, expansion.seeds, rows, columns, entries, tuple(notes), prediction
    )


def _predicted(
    expected: str, rows: Sequence[str], columns: Sequence[str], entries: Sequence[Sequence[Entry]]
) -> tuple[Prediction, str]:
    """Whether the means rise or fall down every column, and that in a line.

    A step the other way fails the prediction if it is beyond its noise, the 95 % interval of the differences
    paired by seed. It holds where every step goes its way and, beyond noise, so do first and last.
    """
    sign, says = 1 if expected == "rising" else -1, f"theory: {expected} down the rows"
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
                between = f"{place}{above} to {row}, {step.mean:+.3g}"
                if not _within_noise(step):
                    return "fails", f"{says}; ours does not ({between})"
                doubt = doubt or f"{says}; so is ours, but for steps within their noise ({between})"
        if len(known) > 1 and not doubt:
            whole = paired(dict(known[-1][1].values), dict(known[0][1].values))
            if whole is None or (whole.n > 1 and _within_noise(whole)):
                doubt = f"{says}; ours is not beyond its noise ({place}{known[0][0]} to {known[-1][0]})"
    if missing or not columns_with_steps:
        return "incomplete", f"{says}; not all cells are known"
    return ("undecided", doubt) if doubt else ("holds", f"{says}; so is ours")


def _within_noise(difference: Summary) -> bool:
    """Whether the 95 % interval holds zero; one seed knows no noise."""
    return (
        difference.low is not None and difference.high is not None and difference.low <= 0 <= difference.high
    )


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
        return Entry(0, {}, {}, None, None, number, spread, None, None, False)
    statuses = Counter(status_of(records.get(i)) for i in _ids(expansion, cell).values())
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
            if summary.n == len(expansion.seeds) and tolerance is not None:
                limit = max(tolerance / (100 if spec.in_percent else 1), 2 * (spread or 0.0))
                verdict = "within" if abs(gap) <= limit + 1e-12 else "outside"
    return Entry(
        len(expansion.seeds), statuses, values, summary, against, number, spread, gap, verdict, is_baseline
    )


def _ids(expansion: Expansion, cell: Cell) -> dict[int, str]:
    """Trial id by seed."""
    return {seed: cell.trial_id(seed) for seed in expansion.seeds}


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
    ids = {trial.id for trial in expansion.trials}
    # Where every trial diverged or failed nobody could report it: that is a table of marks, no mistake.
    reported = {
        name
        for i, record in records.items()
        if i in ids and record.status in MEASURED
        for name in record.metrics
    }
    if reported and spec.metric not in reported:
        hint = nearest(spec.metric, sorted(reported))
        raise UsageError(f"table '{spec.name}': metric '{spec.metric}' was never reported; {hint}")


def _notes(
    expansion: Expansion, spec: TableSpec, records: Mapping[str, TrialRecord], *, compared: bool
) -> Iterator[str]:
    """What a reader must know to trust the table."""
    published = spec.published
    if published and not compared:
        ours = f"'{expansion.brief_setting}'" if expansion.brief_setting else "without one"
        theirs = f"profile '{published.profile}'" if published.profile else "the file as it is"
        yield f"published numbers are for {theirs}, these are {ours}: no verdict"
    yield from expansion.merged
    used = [records[trial.id] for trial in expansion.trials if trial.id in records]
    versions = sorted({r.code_version for r in used if r.code_version})
    if len(versions) > 1:
        yield f"trained by different code versions: {', '.join(versions)}"
    if len({r.data_fingerprint for r in used if r.data_fingerprint}) > 1 and not any(
        "data" in level.settings or any(k.startswith("data.") for k in level.settings)
        for axis in expansion.spec.axes.values()
        for level in axis.levels
    ):
        yield "cells were trained on different data although no axis sets it"
    unpaired = _unpaired(expansion, records)
    if unpaired:
        cells = ", ".join(unpaired)
        yield f"drew other random streams than the other cells, so differences are not paired: {cells}"


def _unpaired(expansion: Expansion, records: Mapping[str, TrialRecord]) -> list[str]:
    """Cells that saw other random draws than most cells of the same seed."""
    odd: dict[str, None] = {}
    for seed in expansion.seeds:
        seen = {
            trial.cell.label: records[trial.id].streams_fingerprint
            for trial in expansion.trials
            if trial.seed == seed and trial.id in records and records[trial.id].streams_fingerprint
        }
        if len(set(seen.values())) > 1:
            usual = Counter(seen.values()).most_common(1)[0][0]
            odd |= {label: None for label, stream in seen.items() if stream != usual}
    return list(odd)
