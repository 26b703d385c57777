"""What a report says of one sweep. Values only: nothing of how a page looks."""

from __future__ import annotations

import base64
import contextlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence

from orchestrator.answer import draw, publish
from orchestrator.answer.comparison.beside import levels_of
from orchestrator.answer.draw.cells import cell_curves
from orchestrator.answer.explain import NEXT, NEXT_AFTER
from orchestrator.answer.figures._lines import look
from orchestrator.answer.figures.base import in_words as of_metric
from orchestrator.answer.formats._written import cells, legend, title
from orchestrator.answer.marks import MARKS, MEANINGS
from orchestrator.answer.report.claims import claims_of, in_words
from orchestrator.answer.report.differences import against_baseline, of_axes, of_comparison
from orchestrator.answer.report.methods import configs_of, methods_of, parts_of, settings_of
from orchestrator.answer.report.spectra import spectra_of
from orchestrator.answer.report.values import CellPart, Chapter, Figure, TablePart, TrialPart
from orchestrator.answer.tables import Table
from orchestrator.errors import UsageError
from orchestrator.language.figure_spec import FigureSpec
from orchestrator.language.table_spec import TableSpec
from orchestrator.planning.difference import changes
from orchestrator.planning.expand import Expansion, size
from orchestrator.planning.trials import Cell
from orchestrator.process.words import counted, duration
from orchestrator.records import Curves, Imported, TrialRecord, status_of

DRAWN = 24
"""Cells whose curves and spectra are shown; more are no picture."""
PLAIN = ("completed", "missing")
LISTED = 2_000
"""Trials that are listed one by one; of more, those that have no plain result."""


def chapter(
    expansion: Expansion,
    records: Mapping[str, TrialRecord],
    curves: Mapping[str, Curves],
    *,
    tables: Sequence[Table],
    problems: Sequence[str],
    anchor: str,
    command: str,
    source: str = "",
    figures: Mapping[str, bytes] | None = None,
    and_curves: bool = False,
    logs: Mapping[str, str] | None = None,
    others: Sequence[TrialRecord] = (),
) -> Chapter:
    """What a report says of a sweep.

    Args:
        expansion: the trials asked for.
        records: what arrived, by trial id.
        curves: curves and spectra of the trials of `drawn_cells`, and of those in its figures.
        tables: those of the sweep.
        problems: why others could not be made, and what else is missing, a line each.
        anchor: the name by which a page links to it; no other chapter's.
        command: what trains the missing trials.
        source: text of the sweep file.
        figures: PNG files that were drawn already, beside which `and_curves` draws curves; None: draw all.
        logs: ends of logs of trials that did not complete, by id.
        others: results that were imported, if they are asked for.
    """
    told = [*problems, *expansion.left_out]
    metrics = list({(m.metric, m.scale): m for one in expansion.spec.tables for m in one.parts}.values())
    states = Counter(status_of(records.get(trial.id)) for trial in expansion.trials)
    listed, left = _cells(expansion, records, metrics, logs or {}, others)
    first, configs, told_of = expansion.cells[0], configs_of(expansion), set[str]()
    return Chapter(
        anchor=anchor,
        name=expansion.spec.name,
        question=expansion.spec.question,
        headline=size(expansion) + (f", profile {expansion.setting}" if expansion.setting else ""),
        states=in_words(states),
        tables=[_table(expansion, records, table, told_of) for table in tables],
        problems=told,
        missing=sum(n for status, n in states.items() if status in ("missing", "stopped", "failed")),
        command=command,
        figures=_figures(expansion, _drawn(expansion, records, curves, told, figures, and_curves)),
        spectra=spectra_of(cell_curves(expansion, drawn_cells(expansion), records, curves)),
        not_drawn=max(0, len(expansion.cells) - DRAWN),
        metrics=[one.metric + " in %" * one.in_percent for one in metrics],
        cells=listed,
        not_listed=left,
        first=first.label,
        config=json.dumps(first.config().model_dump(mode="json"), indent=2),
        parts=(made_of := parts_of(configs)),
        methods=methods_of(expansion, records, made_of, settings := settings_of(configs)),
        settings=settings,
        origin=_origin(expansion, records),
        source=source,
        claims=claims_of(expansion, tables, anchor),
    )


def drawn_cells(expansion: Expansion) -> Sequence[int]:
    """Places of the cells whose curves and spectra are shown."""
    return range(min(DRAWN, len(expansion.cells)))


def drawn_trials(expansion: Expansion) -> list[str]:
    """Ids of the trials whose curves a chapter needs: those of its figures, too."""
    if expansion.spec.figures:
        return [trial.id for trial in expansion.trials]
    cells = [expansion.cells[place] for place in drawn_cells(expansion)]
    return list(dict.fromkeys(cell.trial_id(seed) for cell in cells for seed in expansion.seeds_of(cell)))


def _drawn(
    expansion: Expansion,
    records: Mapping[str, TrialRecord],
    curves: Mapping[str, Curves],
    problems: list[str],
    figures: Mapping[str, bytes] | None,
    and_curves: bool,
) -> dict[str, bytes]:
    """PNG files; why one cannot be drawn is added to `problems`."""
    if not any(one.id in records for one in expansion.trials):
        return dict(figures or {})  # empty panels say no more than the table does
    if figures is None:
        figures, and_curves = publish.figure_files(expansion, records, curves, problems), True
    return {**figures, **(_curves(expansion, records, curves) if and_curves else {})}


def _curves(
    expansion: Expansion, records: Mapping[str, TrialRecord], curves: Mapping[str, Curves]
) -> dict[str, bytes]:
    """Curves as PNG, where no figure of the file has them and they are few enough for a picture."""
    asked = any(figure.kind == "curves" for figure in expansion.spec.figures)
    if curves and len(expansion.cells) <= DRAWN and not asked:
        with contextlib.suppress(UsageError):  # such trials report other metrics; nobody asked for the figure
            spec = FigureSpec(kind="curves")
            return {"curves.png": draw.to_png(publish.figure(expansion, spec, records, curves))}
    return {}


def _figures(expansion: Expansion, files: Mapping[str, bytes]) -> list[Figure]:
    return [
        Figure(
            own := name.removesuffix(".png"),
            publish.shown_in(expansion, own),
            publish.described(expansion, own),
            base64.b64encode(content).decode(),
        )
        for name, content in files.items()
        if name.endswith(".png")
    ]


def _table(
    expansion: Expansion, records: Mapping[str, TrialRecord], table: Table, told: set[str]
) -> TablePart:
    """A table; what axes do stands below the first that has a metric, which is then among those `told`."""
    head, body = cells(table)
    found = list(against_baseline(expansion, records, table))
    decisions = [f"{one.of.metric}: {one.decision}" if table.others else one.decision for one in found]
    new = {one.of.metric: one.of for one in found if one.of.metric not in told}
    details = [*map(of_comparison, found), *of_axes(expansion, new.values())] if records else []
    told.update(new)
    names = ((part.spec.metric, of_metric(part.spec.metric)) for part in table.parts)
    words = [f"{name}: {told}" for name, told in names if told != name]
    return TablePart(title(table), head, body, [*words, *legend(table)], " ".join(decisions), details)


def _cells(
    expansion: Expansion,
    records: Mapping[str, TrialRecord],
    metrics: Sequence[TableSpec],
    logs: Mapping[str, str],
    others: Sequence[TrialRecord],
) -> tuple[list[CellPart], int]:
    """The cells with their trials, and how many trials are not listed."""
    every, left, listed = len(expansion.trials) <= LISTED, 0, []
    first = expansion.cells[0]
    for place, cell in enumerate(expansion.cells):
        ids = {seed: cell.trial_id(seed) for seed in expansion.seeds_of(cell)}
        states = Counter(status_of(records.get(i)) for i in ids.values())
        shown = {s: i for s, i in ids.items() if every or status_of(records.get(i)) not in PLAIN}
        left += len(ids) - len(shown)
        trials = [_trial(seed, i, records.get(i), metrics, logs.get(i, "")) for seed, i in shown.items()]
        trials += [
            _imported(one.imported, one, metrics)
            for one in others
            if one.imported is not None and one.imported.levels == levels_of(cell)
        ]
        if every or trials:
            colour = look(place)["color"]
            listed.append(CellPart(cell.label, colour, in_words(states), _differs(first, cell), trials))
    return listed, left


def _differs(first: Cell, cell: Cell) -> list[str]:
    return [] if cell.id == first.id else list(changes(first, cell))


def _trial(
    seed: int, identity: str, record: TrialRecord | None, metrics: Sequence[TableSpec], log: str
) -> TrialPart:
    status = status_of(record)
    if record is None:
        empty = ["—"] * len(metrics)
        return TrialPart(identity, seed, status, MARKS[status], empty, "", "", "", NEXT[status], "")
    step = NEXT_AFTER[record.error] if record.error else NEXT.get(status, "")
    return TrialPart(
        identity,
        seed,
        MEANINGS.get(status, status),
        MARKS.get(status, "✓"),
        _numbers(record, metrics),
        record.code_version or "",
        _whence(record),
        record.reason or "",
        "" if status == "completed" else step,
        log,
    )


def _numbers(record: TrialRecord, metrics: Sequence[TableSpec]) -> list[str]:
    """Each in the unit of the table that has it."""
    found = ((record.metrics.get(one.metric), one.scale) for one in metrics)
    return ["—" if value is None else f"{value * scale:.6g}" for value, scale in found]


def _whence(record: TrialRecord) -> str:
    """Data, time and place of a trial, as far as its record has them."""
    told = [f"data {record.data_fingerprint}"] if record.data_fingerprint else []
    if record.spent_s is not None:
        told.append(duration(record.spent_s) + " on a GPU" * record.on_gpu)
    told += [counted(record.attempts, "attempt")] if record.attempts > 1 else []
    told += [record.worker] if record.worker else []
    return ", ".join([*told, *([f"run {record.run}"] if record.run else [])])


def _imported(origin: Imported, record: TrialRecord, metrics: Sequence[TableSpec]) -> TrialPart:
    whence = f"{origin.file}, sha256 {origin.sha256[:12]}, {origin.date}, {origin.place}"
    status, numbers = f"imported: {origin.source}", _numbers(record, metrics)
    return TrialPart(record.trial_id, origin.seed, status, "", numbers, "not ours", "", whence, "", "")


def _origin(expansion: Expansion, records: Mapping[str, TrialRecord]) -> list[tuple[str, str]]:
    there = [records[trial.id] for trial in expansion.trials if trial.id in records]
    found: list[tuple[str, set[str]]] = [
        ("code", {one.code_version for one in there if one.code_version}),
        ("data", {one.data_fingerprint for one in there if one.data_fingerprint}),
    ]
    for name in sorted({file for one in there for file in one.source}):
        found.append((name, {one.source[name] for one in there if name in one.source}))
    return [(what, ", ".join(sorted(values))) for what, values in found if values]
