"""The commands of `orch` that look at a sweep and change nothing."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.answer import formats
from orchestrator.commands.options import CELL, Address, CellOrEvaluation, Json, Marks, Pack, With, sayer
from orchestrator.commands.selection import selects
from orchestrator.errors import UsageError
from orchestrator.process.exit_codes import FAILED, OUTSIDE, USAGE
from orchestrator.process.words import one_of

if TYPE_CHECKING:
    from orchestrator.commands.look.forecast import ForecastReport
    from orchestrator.commands.request import Request


def plan(
    requests: Iterator[Request] = selects(several=True, data=True),
    *,
    forecast: Annotated[
        bool, typer.Option("--forecast", help="Rehearse each kind of trial, and say how long all will take.")
    ] = False,
    limit: Annotated[
        float, typer.Option(help="With --forecast: the longest epoch that is rehearsed whole, in s.", min=1)
    ] = 60.0,
    pack: Pack = False,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Show what a sweep asks for, what the store has and what will run. Changes nothing."""
    from orchestrator.commands.look import trials
    from orchestrator.commands.screen import grid

    if forecast:
        from orchestrator.commands.look.forecast import forecast_for, total
    if pack and not forecast:
        raise UsageError("--pack changes what a forecast comes to; add --forecast")
    unique: dict[str, Any] = {}
    plans = []
    forecasts: list[ForecastReport] = []
    for request in requests:
        found = request.plan()
        known = {} if request.expansion.changed else request.store().asked_for(request.spec.name)
        left = grid.orphans(found, known)
        new = [trial for trial in found.todo if trial.id not in unique]
        unique |= {trial.id: trial for trial in new}
        plans.append((request, found, left, new))
    if forecast:
        forecasts = [
            forecast_for(request, found, new, pack=pack, address=address, limit_s=limit)
            for request, found, _, new in plans
        ]
    if as_json:
        records = [
            grid.plan_record(found) | {"orphans": left} | trials.evaluation_records(request, found)
            for request, found, left, _ in plans
        ]
        for record, told in zip(records, forecasts, strict=False):
            record["forecast"] = told.record()
        typer.echo(json.dumps(records, indent=2))
    for index, (request, found, left, _) in enumerate(() if as_json else plans):
        typer.echo(request.headline)
        typer.echo(request.filled(grid.plan_text(found, left)))
        for line in (*trials.evaluation_lines(request, found), *trials.encoder_lines(request, found)):
            typer.echo(line)
        if forecasts:
            typer.echo(forecasts[index].text(now=datetime.now()))
    if len(plans) > 1 and not as_json:
        together = sum(len(found.todo) for _, found, _, _ in plans)
        shared = f"; {together - len(unique)} shared, trained once" if together > len(unique) else ""
        typer.echo(f"together: {len(unique)} trials will run{shared}")
        if forecasts:
            typer.echo(f"one after the other: {total(forecasts)}")
    if any(told.failures for told in forecasts):
        raise typer.Exit(FAILED)


def _hint_at_others(request: Request) -> None:
    """Say that the store has trials of this sweep where it has none of those that are meant."""
    from orchestrator.planning.origin import edit_notes

    if notes := edit_notes(request.plan().edited):
        typer.echo(request.filled(f"orch: {'; '.join(notes)}; `orch sweep` trains them anew"), err=True)
        return
    if request.records():
        return
    if others := len(request.store().asked_for(request.spec.name)):
        sayer(silent=False)(
            f"orch: the store has {others} trials of '{request.spec.name}', and none of these; repeat the "
            "--profile, --seeds and --set that they were trained with"
        )


def status(
    requests: Iterator[Request] = selects(several=True, prefer_profile_with_results=True),
    *,
    watching: Annotated[
        bool, typer.Option("--watch", "-w", help="Again and again, until all have ended or nobody trains.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show every cell and seed of a sweep and how its trial stands. Changes nothing."""
    from orchestrator.commands.look import trials
    from orchestrator.commands.screen import grid

    if watching and as_json:
        raise UsageError("--watch is for people and --json for programs; leave out one")
    if watching:
        from orchestrator.commands.screen.watch import watch

        with contextlib.suppress(KeyboardInterrupt):
            watch(list(requests), say=typer.echo)
        return
    records = []
    for request in requests:
        found = request.plan()
        records.append(grid.status_record(found) | trials.evaluation_records(request, found))
        if not as_json:
            typer.echo(request.headline)
            typer.echo(grid.status_text(found))
            for line in trials.evaluation_lines(request, found, causes=True):
                typer.echo(line)
            for line in trials.start_lines(request, found):
                typer.echo(line)
            _hint_at_others(request)
    if as_json:
        typer.echo(json.dumps(records, indent=2))


def table(
    request: Request = selects(prefer_profile_with_results=True),
    *,
    form: Annotated[str, typer.Option("--format", "-f", help=one_of(formats.names()))] = "text",
    name: Annotated[str | None, typer.Option(help="One table of several.", show_default=False)] = None,
    metric: Annotated[
        str | None, typer.Option(help="Another final metric than the file's.", show_default=False)
    ] = None,
    rows: Annotated[
        list[str] | None, typer.Option(help="Axis down the table, or cells; repeatable.", show_default=False)
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(help="Axis across; repeatable. evaluations: one for each.", show_default=False),
    ] = None,
    beside: With = None,
    marks: Marks = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 5 if a published number is out of tolerance.")
    ] = False,
) -> None:
    """Print a sweep's tables from the store, with the published numbers beside ours. Changes nothing."""
    from orchestrator.commands.screen.tables import made_tables, print_tables

    if metric or rows or columns:
        if check:
            raise UsageError("--check compares what the file says; leave out --metric, --rows and --columns")
        request.ask_for_table(name, metric=metric, rows=rows or (), columns=columns or ())
        name = None
    request.ask_for_marks(marks)
    if check:
        request.needs_published_profile()
    others = request.others(beside)
    _hint_at_others(request)
    made, problems = made_tables(request, request.records(), name, others)
    shown = print_tables(made, problems, form)
    if not shown.complete:
        raise typer.Exit(USAGE)
    if check and shown.outside:
        raise typer.Exit(OUTSIDE)


def compare(
    request: Request = selects(prefer_profile_with_results=True),
    *,
    two: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CELL CELL",
            help=f"Two cells: settings and curves side by side. {CELL}",
            show_default=False,
        ),
    ] = None,
    against: Annotated[str | None, typer.Option(help=f"Baseline. {CELL}", show_default=False)] = None,
    effects: Annotated[
        bool, typer.Option("--effects", help="Instead: what each axis does, alone and with another.")
    ] = False,
    metric: Annotated[
        str | None,
        typer.Option(
            help="Final metric; two cells: any, alone.  [default: of the first table]", show_default=False
        ),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            help="Test for equality up to this difference; shares: 0.01 is a point.", show_default=False
        ),
    ] = None,
    form: Annotated[
        str, typer.Option("--format", "-f", help="text, csv or json; two cells: text or json.")
    ] = "text",
) -> None:
    """Tell which differences between cells are real, or show two side by side. Changes nothing."""
    from orchestrator.answer.comparison import cells
    from orchestrator.answer.comparison import effects as of_axes
    from orchestrator.commands.screen.comparison import written
    from orchestrator.commands.screen.two_cells import side_by_side

    if (bool(two), against is not None, effects).count(True) != 1:
        raise UsageError("compare needs one of CELL CELL, --against CELL and --effects")
    if against is None and margin is not None:
        raise UsageError("--margin asks about cells; give it with --against CELL")
    _hint_at_others(request)
    if two:
        typer.echo(side_by_side(request, two, metric, form), nl=False)
        return
    if against is None:
        found = of_axes.effects(request.expansion, request.records(), metric=metric)
        typer.echo(written(found, form), nl=False)
    else:
        told = cells.compare(request.expansion, request.records(), against, metric=metric, margin=margin)
        typer.echo(written(told, form), nl=False)


def cost(
    request: Request = selects(prefer_profile_with_results=True),
    *,
    form: Annotated[str, typer.Option("--format", "-f", help="text, csv or json.")] = "text",
) -> None:
    """Show the hours that a sweep's cells, and evaluations of their encoders, have cost. Changes nothing."""
    from orchestrator.answer.comparison.costs import Cost, costs, together
    from orchestrator.commands.screen.cost import written
    from orchestrator.recording.trial_files import seconds_in

    _hint_at_others(request)
    records, files, beside = request.records(), request.store().files, list[Cost]()
    rows, total = costs(request.expansion, records, files, seconds_in)
    if request.spec.evaluations:
        plan = request.evaluation_plan(records)[1]
        beside, more = costs(plan.expansion, plan.records, files, seconds_in)
        total = together(total, more)
    how: dict[str, Any] = {"sweep": request.spec.name, "profile": request.expansion.setting}
    typer.echo(written(rows, total, form, evaluations=beside, **how), nl=False)


def failures(
    requests: Iterator[Request] = selects(several=True, prefer_profile_with_results=True),
) -> None:
    """List every failed trial and evaluation with its cause, where it ran and its log. Changes nothing."""
    from orchestrator.commands.look import trials

    for request in requests:
        for line in trials.failures(request):
            typer.echo(line)


def why(
    request: Request = selects(seeds="any", prefer_profile_with_results=True),
    *,
    cell: CellOrEvaluation,
) -> None:
    """Tell why a cell's trials, or an evaluation, stand as they do: spec line, id, attempts, next step."""
    from orchestrator.commands.look import trials

    for line in trials.why(request, cell):
        typer.echo(line)


def logs(
    request: Request = selects(seeds="any", prefer_profile_with_results=True),
    *,
    cell: CellOrEvaluation,
    following: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is added, until the trials end.")
    ] = False,
    lines: Annotated[
        int | None, typer.Option("--lines", "-n", help="Only the last so many lines.", min=0)
    ] = None,
) -> None:
    """Print the logs of a cell's trials, or of one of its evaluations: attempts, epochs, tracebacks."""
    from orchestrator.commands.look import trials
    from orchestrator.recording.logs import follow, tail

    paths = trials.logs(request, cell, following=following)
    for line in tail([(label, path) for label, path in paths if path.exists()], lines=lines):
        typer.echo(line)
    if following:
        with contextlib.suppress(KeyboardInterrupt):
            follow(paths, say=typer.echo)
    elif note := trials.note_on_evaluations(request, cell):
        sayer(silent=False)(note)
