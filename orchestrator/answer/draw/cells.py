"""What figures draw of a sweep's cells: their curves, levels and final metrics, from what was recorded."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from orchestrator.answer.figures._bands import CellCurves
from orchestrator.answer.figures._finals import Final
from orchestrator.answer.marks import MEANINGS
from orchestrator.answer.tables.entries import every_cell
from orchestrator.errors import UsageError
from orchestrator.language.figure_spec import FigureSpec
from orchestrator.language.table_spec import Published, TableSpec
from orchestrator.planning.designs import Choice
from orchestrator.planning.expand import Expansion
from orchestrator.planning.layout import layout
from orchestrator.planning.trials import in_words
from orchestrator.process.words import counted
from orchestrator.records import Curves, TrialRecord, status_of
from trainers.config.plugins import load
from trainers.measures.catalogue import METRICS

FINALS = "COLUMNS_ARE_FINAL_METRICS"
"""What a kind of figure has that shows no epochs."""


def drawn_cells(expansion: Expansion, spec: FigureSpec) -> list[int]:
    """Places of the cells that a figure shows."""
    cells = enumerate(expansion.cells)
    return [index for index, cell in cells if spec.where.items() <= dict(cell.choice).items()]


def check_results(
    expansion: Expansion,
    figures: Iterable[FigureSpec],
    records: Mapping[str, TrialRecord],
    curves: Mapping[str, Curves],
) -> None:
    """Check that there is something to draw.

    Raises:
        UsageError: no trial was trained, or none has reported an epoch, of which all these figures are.
    """
    name = expansion.spec.name
    if not records and not curves:
        raise UsageError(f"sweep '{name}' has no results to draw yet; run it first")
    if not curves and not any(getattr(load("figures", one.kind), FINALS, False) for one in figures):
        told = f"sweep '{name}': {counted(len(records), 'trial')} began and none has reported an epoch"
        raise UsageError(f"{told}, and its figures are made of epochs; kind dots draws final metrics")


def bare_cells(expansion: Expansion, places: Iterable[int]) -> list[CellCurves]:
    """The cells at these places before any result."""
    numbers = _numbers(expansion)
    return [
        CellCurves(
            cell.label, (), (), "",
            in_words(label for _, label in cell.choice[:-1]),
            place=place,
            levels=dict(cell.choice),
            numbers={pair[0]: numbers[pair] for pair in cell.choice if pair in numbers},
        )
        for place in places
        for cell in (expansion.cells[place],)
    ]  # fmt: skip


def cell_curves(
    expansion: Expansion,
    places: Iterable[int],
    records: Mapping[str, TrialRecord],
    curves: Mapping[str, Curves],
) -> list[CellCurves]:
    """The curves of the cells at these places."""
    made = []
    for place, bare in zip(places := list(places), bare_cells(expansion, places), strict=True):
        cell = expansion.cells[place]
        ids = {seed: cell.trial_id(seed) for seed in expansion.seeds_of(cell)}
        there = {seed: curves[i] for seed, i in ids.items() if i in curves}
        statuses = Counter(status_of(records.get(i)) for i in ids.values())
        others = (f"{n} of {len(ids)} {MEANINGS.get(s, s)}" for s, n in statuses.items() if s != "completed")
        made.append(bare._replace(seeds=tuple(there), curves=tuple(there.values()), note=", ".join(others)))
    return made


def check_finals(expansion: Expansion, spec: FigureSpec) -> None:
    """Check that the cells can report the final metrics that the figure shows.

    Raises:
        UsageError: none of them reports one.
    """
    for metric in _metrics(expansion, spec):
        with _of_the_figure():
            layout(expansion, _asked(expansion, spec, metric))


def with_finals(
    expansion: Expansion,
    spec: FigureSpec,
    cells: Sequence[CellCurves],
    records: Mapping[str, TrialRecord],
) -> list[CellCurves]:
    """The cells with the final metrics that the figure names, or with that of the sweep's first table.

    Raises:
        UsageError: one was never reported, or cannot be.
    """
    own = {metric: _finals(expansion, spec, metric, records) for metric in _metrics(expansion, spec)}
    return [
        cell._replace(finals={metric: found[tuple(cell.levels.items())] for metric, found in own.items()})
        for cell in cells
    ]


def _metrics(expansion: Expansion, spec: FigureSpec) -> tuple[str, ...]:
    tables = expansion.spec.tables
    return spec.columns or (tables[0].metric if tables else str(TableSpec.model_fields["metric"].default),)


def _asked(expansion: Expansion, spec: FigureSpec, metric: str) -> TableSpec:
    """The table of all cells that has the figure's numbers, in the unit of the sweep's own tables."""
    unit = next((one.unit for one in _tables(expansion, metric)), None)
    return TableSpec(name=spec.file_name, rows="cells", metric=metric, unit=unit)


def _tables(expansion: Expansion, metric: str) -> list[TableSpec]:
    return [part for table in expansion.spec.tables for part in table.parts if part.metric == metric]


@contextlib.contextmanager
def _of_the_figure() -> Iterator[None]:
    """What is wrong with a table that a figure is made of is said of the figure, which has its name."""
    try:
        yield
    except UsageError as error:
        raise UsageError(str(error).replace("table", "figure", 1)) from None


def _finals(
    expansion: Expansion, spec: FigureSpec, metric: str, records: Mapping[str, TrialRecord]
) -> dict[Choice, Final]:
    """A metric of every cell, as a table of all cells has it."""
    asked = _asked(expansion, spec, metric)
    with _of_the_figure():
        own = every_cell(expansion, asked, records)
    published = dict(_published(expansion, _tables(expansion, metric)))
    words, found = _in_words(expansion, asked), dict[Choice, Final]()
    for cell, entry in own:
        values = {seed: asked.scale * value for seed, value in entry.values.items()}
        number, source = published.get(cell.choice, (None, ""))
        number = None if number is None else asked.scale * number
        found[cell.choice] = Final(words, values, dict(entry.seeds), number, source)
    return found


def _published(
    expansion: Expansion, tables: Sequence[TableSpec]
) -> Iterator[tuple[Choice, tuple[float, str]]]:
    """What is published of each cell, in the unit of results, and whose; the first table's comes last."""
    for table in reversed(tables):
        if table.published is None:
            continue
        with contextlib.suppress(UsageError):  # where it does not fit its table, that says so
            where = layout(expansion, table)
            for cells, numbers in zip(where.cells, where.published, strict=True):
                for cell, number in zip(cells, numbers, strict=True):
                    if cell is not None and number is not None:
                        yield cell.choice, (number, _source(expansion, table.published))


def _source(expansion: Expansion, published: Published) -> str:
    other = "" if published.profile in (None, expansion.profile) else f" for profile {published.profile}"
    return f"{published.what}{other}: {published.source}"


def _in_words(expansion: Expansion, asked: TableSpec) -> str:
    """What a metric is, and its unit; one that nobody describes by its name."""
    head, _, tail = asked.metric.partition("/")
    known = METRICS.get(asked.metric)
    if known is None and head in expansion.spec.evaluations and f"evaluation/{tail}" in METRICS:
        known = METRICS[f"evaluation/{tail}"]
        known = known._replace(words=known.words.replace("an evaluation", f"evaluation {head}"))
    words = asked.metric if known is None else known.words
    unit = "%" if asked.in_percent else "" if known is None or known.unit in ("1", "share") else known.unit
    return f"{words} ({unit})" if unit else words


def _numbers(expansion: Expansion) -> dict[tuple[str, str | None], float]:
    """Levels that are numbers, by axis and label: by what they set, if that is one number, else by label."""
    found: dict[tuple[str, str | None], float] = {}
    for axis, factor in expansion.spec.axes.items():
        for level in factor.levels:
            values = list(level.settings.values())
            value = values[0] if len(values) == 1 and isinstance(values[0], int | float) else level.label
            with contextlib.suppress(ValueError):
                if not isinstance(value, bool) and math.isfinite(number := float(value)):
                    found[axis, level.label] = number
    return found


def title(expansion: Expansion) -> str:
    """What stands above a sweep's figures."""
    return expansion.spec.question or expansion.spec.name


def stamp(expansion: Expansion, records: Mapping[str, TrialRecord], seeds: str) -> str:
    """What stands below them: whose results they show, and which code they are from."""
    used = [records[trial.id] for trial in expansion.trials if trial.id in records]
    versions = ", ".join(sorted({r.code_version for r in used if r.code_version})) or "no results"
    profile = f"profile {expansion.brief_setting}, " if expansion.brief_setting else ""
    return f"sweep {expansion.spec.name}, {profile}{seeds}, code {versions}"
