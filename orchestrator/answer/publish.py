"""A sweep's tables and figures, made from the store alone."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from pydantic import ValidationError

from orchestrator.answer import draw, formats
from orchestrator.answer.draw import cells as of_cells
from orchestrator.answer.figures._bands import CellCurves
from orchestrator.answer.tables import Table, tabulate
from orchestrator.errors import UsageError
from orchestrator.language.figure_spec import FigureSpec
from orchestrator.language.table_spec import TableSpec
from orchestrator.planning.expand import Expansion, seeds_of_cells
from orchestrator.planning.layout import layout
from orchestrator.planning.trials import TrialSpec
from orchestrator.process.words import counted
from orchestrator.records import Curves, TrialRecord, without_empty
from trainers.config.families import members
from trainers.config.plugins import behind, load

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")
Beside = Sequence[tuple[Mapping[str, str], CellCurves]]
"""Curves of others with the levels of the cell that they are of."""


def _by_its_names(
    function: Callable[Concatenate[Expansion, Asked], Answer],
) -> Callable[Concatenate[Expansion, Asked], Answer]:
    """`function` of a sweep, in which names of plug-ins mean that sweep's own."""

    @functools.wraps(function)
    def named(expansion: Expansion, /, *given: Asked.args, **how: Asked.kwargs) -> Answer:
        with expansion.spec.names():
            return function(expansion, *given, **how)

    return named


check_results = _by_its_names(of_cells.check_results)


@_by_its_names
def check(expansion: Expansion) -> None:
    """Check that the sweep's tables and figures can be made of its cells.

    Raises:
        UsageError: with every problem, a line each.
    """
    problems: list[str] = []
    for table in expansion.spec.tables:
        with _noting(problems):
            for one in (table, *table.further):
                layout(expansion, one)
    for spec in expansion.spec.figures:
        with _noting(problems):
            check_figure(expansion, spec)
    if problems:
        raise UsageError("\n".join(problems))


@_by_its_names
def figure_spec(expansion: Expansion, kind: str, how: Mapping[str, Any]) -> FigureSpec:
    """The sweep's figure of that name, or else one of that kind.

    Raises:
        UsageError: there is no such figure.
    """
    own = {figure.file_name: figure for figure in expansion.spec.figures}
    try:
        return own[kind] if kind in own and not how else FigureSpec(kind=kind, **how)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "kind")
        raise UsageError(f"figure '{kind}': {where + ': ' if where else ''}{first['msg']}") from None


@_by_its_names
def check_figure(expansion: Expansion, spec: FigureSpec) -> None:
    """Check that the figure can be drawn of the sweep's cells, as far as that is known before any result.

    Raises:
        UsageError: it cannot.
    """
    draw.check(spec)
    drawn = of_cells.drawn_cells(expansion, spec)
    if not drawn:
        raise UsageError(f"figure '{spec.file_name}': no cell to draw; check its `where`")
    draw.check_cells(spec, of_cells.bare_cells(expansion, drawn))
    if getattr(load("figures", spec.kind), of_cells.FINALS, False):
        of_cells.check_finals(expansion, spec)
    kinds = [_kinds_of(behind(expansion.cells[i].loop)) for i in drawn]
    if any(spec.kind in known for known in kinds):
        return
    # A kind that no trainer speaks of is for the trials of any.
    if any(spec.kind in _kinds_of(load("loops", name)) for name in members("trainers.loops")):
        trainers = ", ".join(dict.fromkeys(expansion.cells[i].trainer for i in drawn))
        there = ", ".join(dict.fromkeys(kind for known in kinds for kind in known)) or "none"
        raise UsageError(
            f"figure '{spec.file_name}': trials of {trainers} record nothing for kind {spec.kind}; they "
            f"have {there}"
        )


def _kinds_of(trainer: ModuleType) -> tuple[str, ...]:
    return getattr(trainer, "FIGURES", ())


@_by_its_names
def tables(
    expansion: Expansion,
    records: Mapping[str, TrialRecord],
    problems: list[str],
    *,
    name: str | None = None,
) -> list[Table]:
    """The sweep's tables, or the one of that name; why one cannot be made is added to `problems`.

    Raises:
        UsageError: it has none, or none of that name.
    """
    specs = [spec for spec in expansion.spec.tables if name in (None, spec.name)]
    if not specs:
        known = ", ".join(spec.name for spec in expansion.spec.tables)
        wanted = f"no table '{name}'; tables: {known}" if name and known else "no tables; add `tables:` to it"
        raise UsageError(f"sweep '{expansion.spec.name}' has {wanted}")
    made = []
    for spec in specs:
        with _noting(problems):
            made.append(tabulate(expansion, spec, records))
    return made


def table(expansion: Expansion, records: Mapping[str, TrialRecord], name: str | None) -> Table:
    """The sweep's table of that name; its only one where none is named.

    Raises:
        UsageError: it has none of that name, several, or the table cannot be made.
    """
    problems: list[str] = []
    made = tables(expansion, records, problems, name=name)
    if problems:
        raise UsageError("\n".join(problems))
    if len(made) > 1:
        known = ", ".join(one.spec.name for one in made)
        raise UsageError(f"sweep '{expansion.spec.name}' has {len(made)} tables; name one of {known}")
    return made[0]


def table_files(tables: Iterable[Table], problems: list[str]) -> dict[str, bytes]:
    """Every table in every format of files, by file name; why one is not written is added to `problems`."""
    files: dict[str, bytes] = {}
    for table in tables:
        for form in formats.kept():
            with _noting(problems):
                files[f"{table.spec.name}.{form}"] = formats.text_of(form, table).encode()
    return files


@_by_its_names
def figure_files(
    expansion: Expansion,
    records: Mapping[str, TrialRecord],
    curves: Mapping[str, Curves],
    problems: list[str],
    *,
    formats: tuple[str, ...] = ("png",),
    plain: bool = False,
    beside: Beside = (),
) -> dict[str, bytes]:
    """Every figure of the sweep, by file name; why one cannot be drawn is added to `problems`."""
    files: dict[str, bytes] = {}
    for spec in expansion.spec.figures:
        with _noting(problems):
            drawn = figure(expansion, spec, records, curves, plain=plain, beside=beside)
            files |= {f"{spec.file_name}.{form}": draw.WRITERS[form](drawn) for form in formats}
    return files


@_by_its_names
def figure(
    expansion: Expansion,
    spec: FigureSpec,
    records: Mapping[str, TrialRecord],
    curves: Mapping[str, Curves],
    *,
    plain: bool = False,
    beside: Beside = (),
) -> Figure:
    """One figure of the sweep; `plain`: without title and origin, which a paper's caption says.

    Where it shows metrics, curves of others are drawn `beside`, each where its levels are.

    Raises:
        UsageError: it cannot be drawn of these cells, or nothing was recorded for it.
    """
    cells = of_cells.cell_curves(expansion, of_cells.drawn_cells(expansion, spec), records, curves)
    kind = load("figures", spec.kind)
    if getattr(kind, "COLUMNS_ARE_METRICS", False):
        theirs = [one for levels, one in beside if spec.where.items() <= levels.items()]
        cells += [one._replace(place=len(expansion.cells) + i) for i, one in enumerate(theirs)]
    if getattr(kind, of_cells.FINALS, False):
        cells = of_cells.with_finals(expansion, spec, cells, records)
    seeds = seeds_of_cells(expansion)
    title, stamp = (
        ("", "") if plain else (of_cells.title(expansion), of_cells.stamp(expansion, records, seeds))
    )
    return draw.draw(spec, cells, title=title, stamp=stamp)


@_by_its_names
def described(expansion: Expansion, name: str) -> str:
    """What the figure of that name shows, in the words of its kind, for whoever does not see it."""
    cells = counted(len(of_cells.drawn_cells(expansion, _named(expansion, name))), "cell")
    return f"{name} of {expansion.spec.name}, {cells}. {shown_in(expansion, name)}"


@_by_its_names
def shown_in(expansion: Expansion, name: str) -> str:
    """What the figure of that name shows, in the words of its kind."""
    return (draw.load(_named(expansion, name).kind).__doc__ or "").strip().partition("\n")[0]


def _named(expansion: Expansion, name: str) -> FigureSpec:
    """The sweep's figure of that name; of another, that of a report's own curves."""
    return next((one for one in expansion.spec.figures if one.file_name == name), FigureSpec(kind="curves"))


def content(expansion: Expansion, records: Mapping[str, TrialRecord]) -> str:
    """A short text that changes with what tables and figures show: cells, number of results, results."""
    spec, metrics = expansion.spec, [name for table in expansion.spec.tables for name in table.metrics]
    metrics += [f"{name}/top1" for name in spec.evaluations]
    there = {t.id: records[t.id] for t in expansion.trials if t.id in records}
    states: list[Any] = [(i, r.status, [str(r.metrics.get(m)) for m in metrics]) for i, r in there.items()]
    states += [i for i, r in there.items() if r.perhaps_begun_before]
    tables = [_told(part) for part in spec.tables]
    shown = tables + [without_empty(one.model_dump(mode="json"), "axes", "width") for one in spec.figures]
    cells = [(cell.id, cell.label) for cell in expansion.cells]
    done = sum(there[i].counts(search=spec.searches) for i in there)
    out = [part.model_dump(mode="json") for part in spec.exclude]
    return f"{_digest([cells, shown, spec.question, *[out] * bool(out)])}-{done}-{_digest(states)}"


def shows_more(there: str | None, new: str) -> bool:
    """Whether the content that is `there` shows more results of the same cells than the `new` one."""
    old, made = (there or "").split("-"), new.split("-")
    return len(old) == 3 and old[1].isdecimal() and old[0] == made[0] and int(old[1]) > int(made[1])


def _told(table: TableSpec) -> dict[str, Any]:
    """What a table says, without what it leaves open: as it was before that could be said."""
    late = ("claim", "source", "expectations", "best", "marks", "also")
    told = without_empty(table.model_dump(mode="json"), *late)
    for name in ("expectations", "also"):
        if name in told:
            told[name] = [without_empty(one, *late[:3], "expected", "published") for one in told[name]]
    return told


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


@_by_its_names
def trial_figure_files(
    expansion: Expansion, trial: TrialSpec, curves: Mapping[str, Curves], record: TrialRecord
) -> dict[str, bytes]:
    """The sweep's figures for one trial alone, by file name; none where it reported too little."""
    remark = "" if record.status == "completed" else record.status
    cell = CellCurves(trial.cell.label, (trial.seed,), (curves[trial.id],), remark, is_one_trial=True)
    stamp = of_cells.stamp(expansion, {trial.id: record}, f"seed {trial.seed}")
    files = {}
    for spec in expansion.spec.figures:
        with contextlib.suppress(UsageError):
            drawn = draw.draw(spec, [cell], title=trial.label, stamp=stamp)
            files[f"{spec.file_name}.png"] = draw.to_png(drawn)
    return files


@contextlib.contextmanager
def _noting(problems: list[str]) -> Iterator[None]:
    """A table or figure that cannot be made is a line in `problems`: it must not take the others along."""
    try:
        yield
    except UsageError as error:
        problems.append(str(error))
