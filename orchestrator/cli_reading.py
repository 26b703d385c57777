"""The commands of `orch` that look and change nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.cli_options import (
    OUTSIDE,
    USAGE,
    Data,
    Home,
    Json,
    Profile,
    Seeds,
    Set,
    Spec,
    Specs,
    Uri,
    reported,
)
from orchestrator.errors import OrchError, UsageError

commands = typer.Typer()


@commands.command()
def plan(
    specs: Specs,
    profile: Profile = "auto",
    seeds: Seeds = None,
    changes: Set = None,
    home: Home = None,
    tracking_uri: Uri = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show what a sweep asks for, what the store has and what will run. Changes nothing."""
    from orchestrator.adapters import overview
    from orchestrator.adapters.request import Request
    from orchestrator.run import plan_sweep

    with reported():
        unique: dict[str, Any] = {}
        plans = []
        for file in specs:
            asked = Request(
                file, profile=profile, seeds=seeds, changes=changes, home=home, uri=tracking_uri, data=data
            )
            found = plan_sweep(asked.expansion, asked.space.open_store(create=False))
            plans.append((asked, found))
            unique |= {trial.id: trial for trial in found.todo}
        if as_json:
            typer.echo(json.dumps([overview.plan_record(found) for _, found in plans], indent=2))
            return
        for asked, found in plans:
            typer.echo(asked.headline)
            typer.echo(overview.plan_text(found))
        if len(plans) > 1:
            together = sum(len(found.todo) for _, found in plans)
            shared = f"; {together - len(unique)} shared, trained once" if together > len(unique) else ""
            typer.echo(f"together: {len(unique)} trials will run{shared}")


@commands.command()
def status(
    specs: Specs,
    profile: Profile = "auto",
    seeds: Seeds = None,
    changes: Set = None,
    home: Home = None,
    tracking_uri: Uri = None,
    as_json: Json = False,
) -> None:
    """Show every cell and seed of a sweep and how its trial stands. Changes nothing."""
    from orchestrator.adapters import overview
    from orchestrator.adapters.request import Request
    from orchestrator.run import plan_sweep

    with reported():
        records = []
        for file in specs:
            asked = Request(
                file, profile=profile, seeds=seeds, changes=changes, home=home, uri=tracking_uri, reads=True
            )
            found = plan_sweep(asked.expansion, asked.space.open_store(create=False))
            records.append(overview.status_record(found))
            if not as_json:
                typer.echo(asked.headline)
                typer.echo(overview.status_text(found))
        if as_json:
            typer.echo(json.dumps(records, indent=2))


@commands.command()
def table(
    spec: Spec,
    form: Annotated[str, typer.Option("--format", "-f", help="text, md, tex, csv or json.")] = "text",
    name: Annotated[str | None, typer.Option(help="One table of several.", show_default=False)] = None,
    profile: Profile = "auto",
    seeds: Seeds = None,
    changes: Set = None,
    home: Home = None,
    tracking_uri: Uri = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 5 if a published number is out of tolerance.")
    ] = False,
) -> None:
    """Print a sweep's tables from the store, with the published numbers beside ours. Changes nothing."""
    from orchestrator.adapters import printed
    from orchestrator.adapters.request import Request
    from orchestrator.run import plan_sweep

    with reported():
        asked = Request(
            spec, profile=profile, seeds=seeds, changes=changes, home=home, uri=tracking_uri, reads=True
        )
        if check:
            asked.needs_published_profile()
        found = plan_sweep(asked.expansion, asked.space.open_store(create=False))
        shown = printed.tables(asked, found.records, form, name, required=True)
        if not shown.complete:
            raise typer.Exit(USAGE)
        if check and shown.outside:
            raise typer.Exit(OUTSIDE)


@commands.command()
def figures(
    spec: Spec,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder to write to.  [default: figures in the home folder]",
            show_default=False,
        ),
    ] = None,
    form: Annotated[list[str] | None, typer.Option("--format", "-f", help="png or pdf; repeatable.")] = None,
    profile: Profile = "auto",
    seeds: Seeds = None,
    changes: Set = None,
    home: Home = None,
    tracking_uri: Uri = None,
) -> None:
    """Draw a sweep's figures from the store."""
    from orchestrator.adapters import sweeping
    from orchestrator.adapters.request import Request

    with reported():
        asked = Request(
            spec, profile=profile, seeds=seeds, changes=changes, home=home, uri=tracking_uri, reads=True
        )
        formats = tuple(form or ["png"])
        if unknown := set(formats) - {"png", "pdf"}:
            raise UsageError(f"no figure format '{unknown.pop()}'; known: png, pdf")
        folder = out or asked.space.home / "figures" / f"{asked.spec.name}-{asked.profile or 'none'}"
        for path in sweeping.write_figures(asked.expansion, asked.space, folder, formats=formats):
            typer.echo(str(path))


@commands.command()
def validate(specs: Specs) -> None:
    """Check sweep files under every profile without training anything."""
    from orchestrator.adapters import overview
    from orchestrator.adapters.workspace import load_sweep

    wrong = False
    for file in specs:
        try:
            typer.echo(overview.validated(load_sweep(file), str(file)))
        except OrchError as error:
            wrong = True
            typer.echo(str(error), err=True)
    if wrong:
        raise typer.Exit(USAGE)


@commands.command()
def schema() -> None:
    """Print the JSON Schema of sweep files, for editors."""
    from orchestrator.schema import sweep_schema
    from orchestrator.spec import SweepSpec

    typer.echo(json.dumps(sweep_schema(SweepSpec.model_json_schema()), indent=2))
