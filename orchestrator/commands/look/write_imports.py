"""Results brought into a store: of a bundle, or of others' runs, which are looked at first."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

import typer

from orchestrator.commands.options import sayer
from orchestrator.commands.request import Request
from orchestrator.errors import UsageError, printable
from orchestrator.language.hints import cut
from orchestrator.planning.trials import in_words
from orchestrator.process.exit_codes import FAILED, STOPPED
from orchestrator.process.provenance import provenance
from orchestrator.process.secrets import without_secret
from orchestrator.process.words import counted, listed
from orchestrator.recording.bundle.imported import check, keep
from orchestrator.recording.bundle.layout import parts
from orchestrator.recording.bundle.merging import (
    checked,
    lacking_encoders,
    lay_out,
    merge,
    merge_checkpoints,
    merge_encoders,
)
from orchestrator.recording.bundle.others.columns import NUMBERED, columns_from
from orchestrator.recording.bundle.others.filling import Filled, fill
from orchestrator.recording.bundle.others.sources import read
from orchestrator.recording.bundle.others.sources.base import Runs
from orchestrator.recording.bundle.reading import open_bundle
from orchestrator.recording.bundle.store import read_only
from orchestrator.recording.journal.store import JournaledStore
from orchestrator.recording.workspace import Workspace, workspace

SHOWN = 40
"""Cells that are shown before an import ..."""
METRICS = 4
"""... and metrics of each."""
LONGEST_NAME = 60


class How(NamedTuple):
    """What flags say of others' runs."""

    columns: Sequence[str]
    percent: bool
    experiment: str | None
    called: str | None
    yes: bool
    replace: bool


def of_bundle(path: Path, *, home: Path | None, tracking_uri: str | None, checkpoints: str | None) -> None:
    """Put a bundle's results into a store, each trial once; say how to go on with its sweeps."""
    say, opened = sayer(silent=False), open_bundle(path)
    trials = checked(opened)
    space = workspace(home, tracking_uri, None, checkpoints=checkpoints)
    _check_lasts(space)
    store = space.open_journaled(say=say)
    try:
        commands = lay_out(opened, space.home / "sweeps")
        merged = merge(opened, store, trials)
        encoders = merge_encoders(opened, space.checkpoints, store)
        without = lacking_encoders(opened, trials, store)
        begun = merge_checkpoints(opened, space.checkpoints, store)
        store.flush()
    finally:
        store.close()
    others = sum(trials[one].record.imported is not None for one in merged.added)
    told = [f"{counted(len(merged.added) - others, 'trial')} added"]
    told += [f"{counted(others, 'imported result')} added"] if others else []
    told += [f"{len(merged.there)} there already"] if merged.there else []
    told += [f"{len(merged.left)} were still running there"] if merged.left else []
    told += [counted(encoders, "encoder")] if encoders else []
    told += [f"{begun} with a checkpoint to go on from"] if begun else []
    typer.echo(f"{store.describe()}: {', '.join(told)}")
    if without:
        left = f"{counted(without, 'trial')} kept an encoder, which the bundle is without"
        say(f"orch: {left}: `orch export --with encoders` takes them along, and importing again adds them")
    where = _words({"--home": home, "--tracking-uri": tracking_uri, "--checkpoints": checkpoints})
    for words in commands:
        typer.echo(f"  {shlex.join([*words, *where])}")
    _end(store, merged.other, say)


def of_runs(
    kind: str,
    source: str | None,
    into: Path | None,
    how: How,
    *,
    home: Path | None,
    tracking_uri: str | None,
) -> None:
    """Show what others' runs would fill of a sweep's cells; with --yes, keep them beside it.

    Raises:
        UsageError: the source, a flag or a run is wrong; nothing is written then.
    """
    if source is None or into is None:
        missing = "what to read" if source is None else "--into SPEC, the sweep that they stand beside"
        raise UsageError(f"orch import {cut(kind)}: say {missing}")
    if parts(into) is not None:
        raise UsageError(read_only(str(into)))
    request = Request(into, home=home, tracking_uri=tracking_uri)
    _check_lasts(request.space)
    said = columns_from(how.columns, request.spec)
    runs = read(kind, source, experiment=how.experiment)
    name = _name(how.called or how.experiment or runs.file)
    filled = fill(
        request.expansion, runs, said, source=name, date=date.today().isoformat(), percent=how.percent
    )
    check(filled.results)
    for line in _preview(request, kind, runs, filled, name):
        typer.echo(printable(line))
    if not how.yes:
        typer.echo("nothing is written yet; the same command with --yes imports it")
        return
    say = sayer(silent=False)
    store = request.space.open_journaled(say=say)
    try:
        kept = keep(store, filled.results, provenance(), question=request.spec.question, replace=how.replace)
        store.flush()
    finally:
        store.close()
    told = [f"{counted(len(kept.added), 'imported result')} added"]
    told += [f"{len(kept.there)} there already"] if kept.there else []
    typer.echo(f"{store.describe()}: {', '.join(told)}; no trial counts as trained by them")
    where = _words({"--home": home, "--tracking-uri": tracking_uri})
    typer.echo(f"  {shlex.join(['orch', 'table', str(into), '--with', 'imported', *where])}")
    _end(store, kept.other, say)


def _check_lasts(space: Workspace) -> None:
    """Check that what is imported is there for the next command.

    Raises:
        UsageError: the store ends with this one.
    """
    if not space.store_at.lasts:
        raise UsageError(
            f"{space.store_at.name}: ends with this command, so nothing is imported; name a database or a "
            "server with --tracking-uri"
        )


def _words(given: Mapping[str, object]) -> list[str]:
    """The flags that were given, as they are typed again."""
    return [word for flag, value in given.items() if value for word in (flag, without_secret(str(value)))]


def _end(store: JournaledStore, other: Sequence[str], say: Callable[[str], None]) -> None:
    for line in (*other, *store.notes):
        say(f"orch: {line}")
    if store.waits:
        raise typer.Exit(STOPPED)
    if other:
        raise typer.Exit(FAILED)


def _name(text: str) -> str:
    """What tables call a source.

    Raises:
        UsageError: it is no name.
    """
    name = text.strip()
    if not name or name != printable(name):
        raise UsageError(f"--as {cut(text)!r}: expected a few words in one line")
    return cut(name, LONGEST_NAME)


def _preview(request: Request, kind: str, runs: Runs, filled: Filled, name: str) -> list[str]:
    """What an import would fill, line by line."""
    columns, results = filled.columns, filled.results
    by_cell: dict[tuple[tuple[str, str | None], ...], list[int]] = {}
    for place, one in enumerate(results):
        by_cell.setdefault(one.choice, []).append(place)
    there = f"{len(by_cell)} of {counted(len(request.expansion.cells), 'cell')}"
    lines = [
        f"{runs.file} ({kind}, sha256 {runs.sha256[:12]}): {counted(len(results), 'result')} in {there} of "
        f"{request.spec.name}, called {name}"
    ]
    width = max(len(word) for word in ("seed", *columns.axes, *columns.metrics))
    for axis, from_column in columns.axes.items():
        whence = (
            f"every run is '{from_column.level}'" if from_column.level else f"from '{from_column.column}'"
        )
        lines.append(f"  {axis:{width}}  {whence}")
    seeds = sorted({one.origin.seed for one in results})
    numbered = "numbered, in their order" if columns.seed == NUMBERED else f"from '{columns.seed}'"
    lines.append(f"  {'seed':{width}}  {numbered}: {listed(map(str, seeds), 8)}")
    for metric, column in columns.metrics.items():
        curves = sum(metric in one.curves for one in results)
        drawn = f", with curves of {curves}" if curves else ""
        lines.append(f"  {metric:{width}}  from '{column.column}'{_unit(request, metric, filled)}{drawn}")
    lines += (
        [f"  {'left out':{width}}  {counted(filled.empty, 'run')} without a number"] if filled.empty else []
    )
    lines += [f"  {'not used':{width}}  {listed(filled.unused, 8)}"] if filled.unused else []
    wide = max(len(in_words(level for _, level in choice)) for choice in by_cell)
    for choice, places in list(by_cell.items())[:SHOWN]:
        label = in_words(level for _, level in choice)
        told = []
        for metric in columns.metrics:
            values = [m[metric] for place in places if metric in (m := results[place].metrics)]
            low, high = min(values, default=None), max(values, default=None)
            if low is not None and high is not None:
                told.append(f"{metric} {_range(low, high, share=_is_share(request, metric))}")
        more = [f"and {counted(len(told) - METRICS, 'more metric')}"] if len(told) > METRICS else []
        lines.append(f"  {label:{wide}}  n={len(places)}  {', '.join([*told[:METRICS], *more])}")
    lines += [f"  ... and {len(by_cell) - SHOWN} more cells"] if len(by_cell) > SHOWN else []
    return lines


def _is_share(request: Request, metric: str) -> bool:
    told = {one.metric: one.in_percent for table in request.spec.tables for one in table.parts}
    return told.get(metric, metric.endswith(("top1", "top5")))


def _unit(request: Request, metric: str, filled: Filled) -> str:
    if not _is_share(request, metric):
        return ""
    return " in percent" if filled.units[metric] == "percent" else ", a share from 0 to 1"


def _range(low: float, high: float, *, share: bool) -> str:
    if share:
        return f"{low * 100:.1f} %" if low == high else f"{low * 100:.1f} to {high * 100:.1f} %"
    return f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
