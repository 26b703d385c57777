"""`orch`: words in, words out. Picks the adapters; decides nothing about sweeps."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator import __version__, cli_reading
from orchestrator.cli_options import (
    COMPLETE,
    FAILED,
    INTERRUPTED,
    OUTSIDE,
    STOPPED,
    USAGE,
    Data,
    Home,
    Json,
    Profile,
    Quiet,
    Seeds,
    Set,
    Spec,
    Uri,
    reported,
)
from orchestrator.errors import StoreError

app = typer.Typer(
    name="orch",
    help="Typed experiment sweeps for self-supervised learning: from a YAML file to the ablation table.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(cli_reading.commands)


@app.command()
def sweep(
    spec: Spec,
    profile: Profile = "auto",
    seeds: Seeds = None,
    changes: Set = None,
    home: Home = None,
    tracking_uri: Uri = None,
    data: Data = None,
    download: Annotated[bool, typer.Option("--download", help="Download missing data sets.")] = False,
    executor: Annotated[str, typer.Option(help="ray, or serial: in this process.")] = "ray",
    address: Annotated[
        str | None, typer.Option(help="Address of a running Ray cluster.", show_default=False)
    ] = None,
    keep_checkpoints: Annotated[
        bool, typer.Option("--keep-checkpoints", help="Keep the checkpoints of finished trials.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 5 if a published number is out of tolerance.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Let Ray print what it does.")] = False,
) -> None:
    """Train what is missing and print the table. Run again, it runs nothing."""
    from orchestrator.adapters import printed, sweeping
    from orchestrator.adapters.request import Request

    with reported():
        asked = Request(
            spec, profile=profile, seeds=seeds, changes=changes, home=home, uri=tracking_uri, data=data
        )
        if check:
            asked.needs_published_profile()
        options = sweeping.Options(
            executor=executor,
            address=address,
            download=download,
            keep_checkpoints=keep_checkpoints,
            output="json" if as_json else "quiet" if quiet else "person",
            verbose=verbose,
        )

        def say(line: str) -> None:
            if not (as_json or quiet):
                typer.echo(line, err=True)

        say(asked.headline)
        prepared = sweeping.prepare(asked.expansion, asked.space, options)
        try:
            result = sweeping.sweep(prepared, say=say)
        except StoreError as error:
            typer.echo(f"orch: {error}", err=True)
            typer.echo(f"orch: finished trials and checkpoints are kept; go on with: {asked.again}", err=True)
            raise typer.Exit(STOPPED) from None
        if result.interrupted and not any(record.is_done for record in result.records.values()):
            typer.echo(f"orch: stopped before a trial was done; go on with: {asked.again}", err=True)
            raise typer.Exit(INTERRUPTED)
        shown = printed.tables(asked, result.records, "event" if as_json else "text", None)
        if result.interrupted:
            left = len(asked.expansion.trials) - sum(r.is_done for r in result.records.values())
            typer.echo(f"orch: stopped with {left} trials to go; go on with: {asked.again}", err=True)
            raise typer.Exit(INTERRUPTED)
        printed.failures(asked, result.records)
        if result.failed:
            raise typer.Exit(FAILED)
        if not shown.complete:
            raise typer.Exit(USAGE)
        if check and shown.outside:
            raise typer.Exit(OUTSIDE)
        if prepared.store.waits:
            raise typer.Exit(STOPPED)


@app.command()
def sync(
    home: Home = None,
    tracking_uri: Uri = None,
) -> None:
    """Tell the store what waits in the journal, because the store was away or a driver died."""
    from orchestrator.adapters.workspace import workspace

    with reported():
        store = workspace(home, tracking_uri, None).open_journaled()
        try:
            store.flush()
        finally:
            store.close()
        typer.echo(f"{store.carried} entries delivered to {store.describe()}")
        for note in store.notes:
            typer.echo(f"orch: {note}", err=True)
        if store.waits:
            raise typer.Exit(STOPPED)


@app.command()
def trial(
    spec: Spec,
    cell: Annotated[
        str,
        typer.Argument(help="Cell: its label, its levels (ema=EMA,predictor=...), or the start of an id."),
    ],
    seed: Annotated[int, typer.Option(help="Seed of the trial.", min=0, max=2**31 - 1)] = 0,
    profile: Profile = "auto",
    changes: Set = None,
    data: Data = None,
    download: Annotated[bool, typer.Option("--download", help="Download missing data sets.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads.", min=1)] = 1,
    as_json: Json = False,
) -> None:
    """Train one trial in this process and print every epoch; nothing is stored. For debugging."""
    from orchestrator.adapters import sweeping
    from orchestrator.adapters.request import Request

    with reported():
        asked = Request(spec, profile=profile, changes=changes, seeds=f"{seed},", data=data)
        chosen = sweeping.find_trial(asked.expansion, cell)
        if not as_json:
            typer.echo(f"trial {chosen.id}: {chosen.label}, profile {asked.profile or 'none'}", err=True)
        outcome = sweeping.run_one(
            chosen, asked.space, device=device, threads=threads, download=download, as_json=as_json
        )
        typer.echo(outcome.model_dump_json() if as_json else sweeping.outcome_text(outcome))
        if outcome.status == "failed":
            raise typer.Exit(FAILED)


@app.command()
def ui(
    home: Home = None,
    tracking_uri: Uri = None,
    port: Annotated[int, typer.Option(help="Port on this machine.", min=1, max=65535)] = 5000,
) -> None:
    """Open MLflow's pages on the store; ends with Ctrl-C."""
    from orchestrator.adapters import pages
    from orchestrator.adapters.workspace import workspace

    with reported():
        pages.serve(workspace(home, tracking_uri, None), port=port, say=typer.echo)


@app.command()
def doctor(home: Home = None, tracking_uri: Uri = None, data: Data = None) -> None:
    """Check this machine: packages, GPU, Ray, store, data sets, disk; exits with 2 if something is broken."""
    from orchestrator.adapters import diagnosis
    from orchestrator.adapters.workspace import workspace

    with reported():
        checks = list(diagnosis.checks(workspace(home, tracking_uri, data)))
    for check in checks:
        typer.echo(f"{check.sign:4}  {check.what:12}  {check.finding}")
    if any(check.sign == "bad" for check in checks):
        raise typer.Exit(USAGE)


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Typed experiment sweeps for self-supervised learning: from a YAML file to the ablation table."""
    if version:
        typer.echo(f"orch {__version__}")
        raise typer.Exit(COMPLETE)


if __name__ == "__main__":
    app()
