"""The commands of `orch` that look at files, at this machine, or at MLflow's pages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.commands.options import Data, Home, Profile, Seeds, Set, Specs, Trust, Uri, sayer
from orchestrator.commands.selection import filled_in
from orchestrator.errors import OrchError, UsageError
from orchestrator.process.exit_codes import USAGE


def validate(specs: Specs, trust: Trust = False) -> None:
    """Check sweep files under every profile without training anything."""
    from orchestrator.commands.screen import grid
    from orchestrator.recording.bundle.reading import each
    from orchestrator.recording.bundle.selecting import read_sweep

    wrong = False
    for file in specs:
        try:
            for one in each([file]):
                typer.echo(grid.validated(read_sweep(one, trust=trust)[0], str(one)))
        except OrchError as error:
            wrong = True
            sayer(silent=False)(str(error))
    if wrong:
        raise typer.Exit(USAGE)


def schema(
    spec: Annotated[
        Path | None,
        typer.Option("--for", help="Sweep file whose plug-ins it has, too.", show_default=False),
    ] = None,
    form: Annotated[
        str, typer.Option("--format", "-f", help="json, for editors; md: every field and metric, to read.")
    ] = "json",
    trust: Trust = False,
) -> None:
    """Print what a sweep file may say: as JSON Schema for editors, or as a page to read."""
    from orchestrator.commands.look.reference import written_reference
    from orchestrator.language.load import join_plugins
    from orchestrator.language.sweep_spec import written_schema
    from trainers.config.foreign import knowing

    forms = {"json": written_schema, "md": written_reference}
    if form not in forms:
        raise UsageError(f"--format {form}: expected {' or '.join(forms)}")
    with knowing({}):
        if spec is not None:
            join_plugins(spec, trust=trust)
        typer.echo(forms[form](), nl=False)


def check_plugin(
    plugin: Annotated[
        str, typer.Argument(help="A plug-in's file, a folder of them, or a module.", show_default=False)
    ],
    changes: Set = None,
    data: Data = None,
) -> None:
    """Check that a plug-in of your own keeps what its family promises; exits with 2 if it does not."""
    from orchestrator.commands.look.plugin import check, named
    from orchestrator.commands.selection.typed import settings_in
    from trainers.config.foreign import knowing

    settings = settings_in(changes or [])
    with knowing({}):
        kept = [check(one, settings, data, typer.echo) for one in named(plugin)]
    if not all(kept):
        raise typer.Exit(USAGE)


def init(
    folder: Annotated[Path, typer.Argument(help="Folder to write to; made if it is not there.")] = Path("."),
) -> None:
    """Write a first sweep with a method of your own, to be changed; nothing that is there is overwritten."""
    from orchestrator.commands.starter.write import write

    for line in write(folder):
        typer.echo(line)


def diff(
    first: Annotated[Path, typer.Argument(help="Sweep file.", show_default=False)],
    second: Annotated[Path, typer.Argument(help="Sweep file, such as an edited copy.", show_default=False)],
    profile: Profile = "auto",
    seeds: Seeds = None,
    changes: Set = None,
    trust: Trust = False,
) -> None:
    """Show which trials two sweep files share, and what is different in the others."""
    from orchestrator.commands.request import Request
    from orchestrator.planning import difference

    made = [
        Request(file, profile=profile, seeds=seeds, changes=changes, trust=trust) for file in (first, second)
    ]
    for request in made:
        typer.echo(request.headline)
    typer.echo(difference.text(difference.compare(made[0].expansion, made[1].expansion)))


def ui(
    home: Home = None,
    tracking_uri: Uri = None,
    port: Annotated[int, typer.Option(help="Port on this machine.", min=1, max=65535)] = 5000,
) -> None:
    """Open MLflow's pages on the store; ends with Ctrl-C."""
    from orchestrator.commands.look.ui import serve
    from orchestrator.recording.workspace import workspace

    serve(workspace(home, tracking_uri, None), port=port, say=typer.echo)


def doctor(home: Home = None, tracking_uri: Uri = None, data: Data = None) -> None:
    """Check this machine: packages, GPU, Ray, store, data sets, disk; exits with 2 if something is broken."""
    from orchestrator.commands.look.doctor import checks as checks_of
    from orchestrator.recording.workspace import workspace

    checks = list(checks_of(workspace(home, tracking_uri, data)))
    for check in checks:
        finding = filled_in(check.finding, home=home, tracking_uri=tracking_uri)
        typer.echo(f"{check.sign:4}  {check.what:12}  {finding}")
    if any(check.sign == "bad" for check in checks):
        raise typer.Exit(USAGE)
