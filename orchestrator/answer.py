"""A sweep's tables and figures, made from the store alone."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping

from orchestrator import figures
from orchestrator.errors import UsageError
from orchestrator.expand import Expansion, TrialSpec
from orchestrator.figures import CellCurves
from orchestrator.render import FILE_FORMATS, FORMATS
from orchestrator.results import Curves, TrialRecord
from orchestrator.spec import FigureSpec
from orchestrator.tables import Table, tabulate


def tables(
    expansion: Expansion, records: Mapping[str, TrialRecord], *, name: str | None = None
) -> list[Table]:
    """The sweep's tables, or the one of that name.

    Raises:
        UsageError: it has none, or none of that name.
    """
    specs = [spec for spec in expansion.spec.tables if name in (None, spec.name)]
    if not specs:
        known = ", ".join(spec.name for spec in expansion.spec.tables) or "it has none"
        wanted = f"table '{name}'" if name else "table"
        raise UsageError(f"sweep '{expansion.spec.name}' has no {wanted}; tables: {known}")
    return [tabulate(expansion, spec, records) for spec in specs]


def table_files(expansion: Expansion, records: Mapping[str, TrialRecord]) -> dict[str, bytes]:
    """Every table in every file format, by file name."""
    return {
        f"{spec.name}.{form}": FORMATS[form](tabulate(expansion, spec, records)).encode()
        for spec in expansion.spec.tables
        for form in FILE_FORMATS
    }


def figure_name(spec: FigureSpec) -> str:
    """File name of a figure, without ending."""
    return spec.name or spec.kind


def figure_files(
    expansion: Expansion,
    records: Mapping[str, TrialRecord],
    curves: Mapping[str, Curves],
    *,
    formats: tuple[str, ...] = ("png",),
) -> dict[str, bytes]:
    """Every figure of the sweep, by file name."""
    files: dict[str, bytes] = {}
    writers = {"png": figures.to_png, "pdf": figures.to_pdf}
    for spec in expansion.spec.figures:
        cells = [
            _cell_curves(expansion, index, records, curves)
            for index, cell in enumerate(expansion.cells)
            if spec.where.items() <= dict(cell.choice).items()
        ]
        figure = figures.draw(spec, cells, title=_title(expansion), stamp=_stamp(expansion, records))
        for form in formats:
            files[f"{figure_name(spec)}.{form}"] = writers[form](figure)
    return files


def trial_figure_files(
    expansion: Expansion, trial: TrialSpec, curves: Mapping[str, Curves], record: TrialRecord
) -> dict[str, bytes]:
    """The sweep's figures for one trial alone, by file name; none where it reported too little."""
    remark = "" if record.status == "completed" else record.status
    cell = CellCurves(trial.cell.label, (trial.seed,), (curves[trial.id],), remark)
    files = {}
    for spec in expansion.spec.figures:
        with contextlib.suppress(UsageError):
            figure = figures.draw(
                spec, [cell], title=trial.label, stamp=_stamp(expansion, {trial.id: record})
            )
            files[f"{figure_name(spec)}.png"] = figures.to_png(figure)
    return files


def _cell_curves(
    expansion: Expansion,
    index: int,
    records: Mapping[str, TrialRecord],
    curves: Mapping[str, Curves],
) -> CellCurves:
    cell = expansion.cells[index]
    ids = {seed: cell.trial_id(seed) for seed in expansion.seeds}
    there = {seed: curves[i] for seed, i in ids.items() if i in curves}
    statuses = Counter(records[i].status if i in records else "missing" for i in ids.values())
    remarks = [f"{n} of {len(ids)} {status}" for status, n in statuses.items() if status != "completed"]
    return CellCurves(cell.label, tuple(there), tuple(there.values()), ", ".join(remarks))


def _title(expansion: Expansion) -> str:
    return expansion.spec.question or expansion.spec.name


def _stamp(expansion: Expansion, records: Mapping[str, TrialRecord]) -> str:
    used = [records[trial.id] for trial in expansion.trials if trial.id in records]
    versions = ", ".join(sorted({r.code_version for r in used if r.code_version})) or "no results"
    return (
        f"sweep {expansion.spec.name}, profile {expansion.brief_setting or 'none'}, "
        f"{len(expansion.seeds)} seeds, code {versions}"
    )
