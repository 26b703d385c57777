"""`orch`: words in, words out. Picks the adapters; decides nothing about sweeps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator import __version__
from orchestrator.errors import OrchError, SpecError, StoreError, UsageError

if TYPE_CHECKING:
    pass

COMPLETE, INTERNAL, USAGE, FAILED, STOPPED, OUTSIDE, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130

app = typer.Typer(
    name="orch",
    help="Typed experiment sweeps for self-supervised learning: from a YAML file to the ablation table.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Spec = Annotated[Path, typer.Argument(help="Sweep file, such as sweeps/table1.yaml.", show_default=False)]
Specs = Annotated[list[Path], typer.Argument(help="Sweep files.", show_default=False)]
Profile = Annotated[
    str, typer.Option("--profile", "-p", help="Profile of the sweep; auto: paper if GPU and data are here.")
]
Seeds = Annotated[
    str | None, typer.Option(help="Number of seeds, or a list such as 0,3,5, instead of the file's.")
]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="Setting over the base, such as epochs=1; repeatable.")
]
Home = Annotated[
    Path | None,
    typer.Option(
        help="Folder for results and checkpoints.  [env ORCH_HOME, default ./runs]", show_default=False
    ),
]
Uri = Annotated[
    str | None,
    typer.Option(
        "--tracking-uri",
        help="MLflow store.  [env MLFLOW_TRACKING_URI, default SQLite in the home folder]",
        show_default=False,
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(help="Folder of data sets.  [env ORCH_DATA, default ./data]", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the table.")]


@contextmanager
def _reported() -> Iterator[None]:
    """Errors that a user may meet end in one line each and an exit code, never in a traceback."""
    try:
        yield
    except OrchError as error:
        for line in str(error).splitlines():
            typer.echo(line if isinstance(error, SpecError) else f"orch: {line}", err=True)
        raise typer.Exit(USAGE) from None
    except KeyboardInterrupt:
        typer.echo("orch: interrupted; nothing was running yet", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        raise typer.Exit(COMPLETE) from None


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

    with _reported():
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


@app.command()
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

    with _reported():
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


@app.command()
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

    with _reported():
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


@app.command()
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

    with _reported():
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


@app.command()
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

    with _reported():
        asked = Request(
            spec, profile=profile, seeds=seeds, changes=changes, home=home, uri=tracking_uri, reads=True
        )
        formats = tuple(form or ["png"])
        if unknown := set(formats) - {"png", "pdf"}:
            raise UsageError(f"no figure format '{unknown.pop()}'; known: png, pdf")
        folder = out or asked.space.home / "figures" / f"{asked.spec.name}-{asked.profile or 'none'}"
        for path in sweeping.write_figures(asked.expansion, asked.space, folder, formats=formats):
            typer.echo(str(path))


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

    with _reported():
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


@app.command()
def schema() -> None:
    """Print the JSON Schema of sweep files, for editors."""
    from orchestrator.schema import sweep_schema
    from orchestrator.spec import SweepSpec

    typer.echo(json.dumps(sweep_schema(SweepSpec.model_json_schema()), indent=2))


@app.command()
def ui(
    home: Home = None,
    tracking_uri: Uri = None,
    port: Annotated[int, typer.Option(help="Port on this machine.", min=1, max=65535)] = 5000,
) -> None:
    """Open MLflow's pages on the store; ends with Ctrl-C."""
    from orchestrator.adapters import pages
    from orchestrator.adapters.workspace import workspace

    with _reported():
        pages.serve(workspace(home, tracking_uri, None), port=port, say=typer.echo)


@app.command()
def doctor(home: Home = None, tracking_uri: Uri = None, data: Data = None) -> None:
    """Check this machine: packages, GPU, Ray, store, data sets, disk; exits with 2 if something is broken."""
    from orchestrator.adapters import diagnosis
    from orchestrator.adapters.workspace import workspace

    with _reported():
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
