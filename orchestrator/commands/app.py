"""`orch`: words in, words out. Picks the adapters; decides nothing about sweeps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator import __version__
from orchestrator.commands import reading as cli_reading
from orchestrator.commands.options import (
    CELL,
    Address,
    Cell,
    Checkpoints,
    Data,
    Home,
    Json,
    Pack,
    Profile,
    Quiet,
    Seeds,
    Set,
    ShipCode,
    Spec,
    Specs,
    Uri,
    reported,
    sayer,
)
from orchestrator.errors import ExecutionLost, StoreError, UsageError
from orchestrator.process.exit_codes import COMPLETE, FAILED, INTERRUPTED, OUTSIDE, STOPPED, USAGE
from orchestrator.process.signals import ignore_signals

if TYPE_CHECKING:
    from orchestrator.commands.request import Request
    from orchestrator.execution.drive import Prepared
    from orchestrator.execution.run import SweepResult

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
    address: Address = None,
    ship_code: ShipCode = False,
    checkpoints: Checkpoints = None,
    keep_checkpoints: Annotated[
        bool, typer.Option("--keep-checkpoints", help="Keep the checkpoints of finished trials.")
    ] = False,
    pack: Pack = False,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 5 if a published number is out of tolerance.")
    ] = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Go on also when the first cells fail in their code.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Let Ray print what it does.")] = False,
) -> None:
    """Train what is missing and print the table. Run again, it runs nothing."""
    from orchestrator.commands.request import Request
    from orchestrator.execution import drive as sweeping

    with reported():
        asked = Request(
            spec,
            profile=profile,
            seeds=seeds,
            changes=changes,
            home=home,
            uri=tracking_uri,
            data=data,
            checkpoints=checkpoints,
        )
        if check:
            asked.needs_published_profile()
        options = sweeping.Options(
            executor=executor,
            address=address,
            ship_code=ship_code,
            download=download,
            keep_checkpoints=keep_checkpoints,
            keep_going=keep_going,
            pack=pack,
            verbose=verbose,
        )

        say = sayer(silent=as_json or quiet)
        say(asked.headline)
        prepared = sweeping.prepare(asked.expansion, asked.space, options, say=say)
        output = "json" if as_json else "quiet" if quiet else "person"
        _complete(asked, prepared, say, output, check=check)


@app.command()
def retry(
    spec: Spec,
    cell: Annotated[str | None, typer.Argument(help=f"Only this cell. {CELL}", show_default=False)] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="From the start, without the checkpoints.")] = False,
    profile: Profile = "auto",
    seeds: Seeds = None,
    changes: Set = None,
    home: Home = None,
    tracking_uri: Uri = None,
    data: Data = None,
    executor: Annotated[str, typer.Option(help="ray, or serial: in this process.")] = "ray",
    address: Address = None,
    ship_code: ShipCode = False,
    checkpoints: Checkpoints = None,
    quiet: Quiet = False,
) -> None:
    """Train again the trials that failed, and no others; then print the table."""
    from orchestrator.commands.request import Request
    from orchestrator.commands.train import drivers as retrying
    from orchestrator.execution import drive as sweeping

    with reported():
        asked = Request(
            spec,
            profile=profile,
            seeds=seeds,
            changes=changes,
            home=home,
            uri=tracking_uri,
            data=data,
            checkpoints=checkpoints,
        )
        options = sweeping.Options(
            executor=executor,
            address=address,
            ship_code=ship_code,
            keep_going=True,
            fresh=fresh,
        )
        say = sayer(silent=quiet)
        say(asked.headline)
        only = retrying.failed(asked.expansion, cell)
        prepared = sweeping.prepare(asked.expansion, asked.space, options, say=say, only=only)
        _complete(asked, prepared, say, "quiet" if quiet else "person")


@app.command()
def submit(
    spec: Spec,
    address: Annotated[
        str,
        typer.Option(
            help="Address of Ray's dashboard, such as http://127.0.0.1:8265.  (env RAY_API_SERVER_ADDRESS)",
            envvar="RAY_API_SERVER_ADDRESS",
            show_envvar=False,
            show_default=False,
        ),
    ],
    profile: Profile = "auto",
    seeds: Seeds = None,
    changes: Set = None,
    home: Annotated[
        Path | None, typer.Option(help="Folder of the cluster's nodes for results and checkpoints.")
    ] = None,
    checkpoints: Annotated[
        str | None,
        typer.Option(
            help="Folder of the cluster, or s3://bucket/prefix, for checkpoints.", show_default=False
        ),
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Download missing data sets.")] = False,
    pack: Pack = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Go on also when the first cells fail in their code.")
    ] = False,
) -> None:
    """Hand a sweep to a cluster, which runs it without this machine."""
    from orchestrator.commands.request import Request
    from orchestrator.commands.train import submit as submitting

    with reported():
        asked = Request(spec, profile=profile, seeds=seeds, changes=changes)
        if home is not None and not home.is_absolute():
            raise UsageError(f"--home {home}: expected a folder of the cluster's nodes from the root, /...")
        flags = {
            "--home": str(home) if home else None,
            "--profile": profile,
            "--seeds": seeds,
            "--checkpoints": submitting.there(checkpoints),
        }
        words = [word for flag, value in flags.items() if value is not None for word in (flag, value)]
        words += [word for change in changes or [] for word in ("--set", change)]
        switches = {"--download": download, "--pack": pack, "--keep-going": keep_going}
        words += [flag for flag, on in switches.items() if on]
        for line in submitting.submit(asked, spec, words, address=address, say=sayer(silent=False)):
            typer.echo(line)


@app.command()
def stop(
    specs: Specs,
    profile: Profile = "auto",
    seeds: Seeds = None,
    changes: Set = None,
    home: Home = None,
    tracking_uri: Uri = None,
) -> None:
    """Ask the drivers that train trials of these sweeps to stop; checkpoints are kept."""
    from orchestrator.commands.request import Request
    from orchestrator.commands.train import drivers as retrying

    with reported():
        for file in specs:
            asked = Request(file, profile=profile, seeds=seeds, changes=changes, home=home, uri=tracking_uri)
            for line in retrying.stop(asked.every_profile, asked.space):
                typer.echo(line)


@app.command()
def sync(
    home: Home = None,
    tracking_uri: Uri = None,
    reap: Annotated[
        bool, typer.Option("--reap", help="Also end what drivers of other machines that died left running.")
    ] = False,
) -> None:
    """Tell the store what waits in the journal, because the store was away or a driver died."""
    from orchestrator.commands.train import drivers as retrying
    from orchestrator.recording.workspace import workspace

    with reported():
        space = workspace(home, tracking_uri, None)
        if reap:
            typer.echo("watching for heartbeats of other drivers, for at most 70 s", err=True)
            for line in retrying.end_dead_drivers(space):
                typer.echo(line)
        if not any(space.journals.glob("[!.]*/")):
            typer.echo(f"nothing waits in {space.journals}")
            return
        store = space.open_journaled()
        try:
            store.carry(refused=True)
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
    cell: Cell,
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
    from orchestrator.commands.request import Request
    from orchestrator.commands.train import trial as one_trial
    from orchestrator.planning.find import find_trial

    with reported():
        asked = Request(spec, profile=profile, changes=changes, seeds=f"{seed},", data=data)
        chosen = find_trial(asked.expansion, cell)
        if not as_json:
            typer.echo(f"trial {chosen.id}: {chosen.label}, profile {asked.profile or 'none'}", err=True)
        outcome = one_trial.run_one(
            chosen, asked.space, device=device, threads=threads, download=download, as_json=as_json
        )
        typer.echo(outcome.model_dump_json() if as_json else one_trial.outcome_text(outcome))
        if outcome.status == "failed":
            typer.echo(outcome.details.get("traceback", ""), err=True, nl=False)
            raise typer.Exit(FAILED)


@app.command()
def ui(
    home: Home = None,
    tracking_uri: Uri = None,
    port: Annotated[int, typer.Option(help="Port on this machine.", min=1, max=65535)] = 5000,
) -> None:
    """Open MLflow's pages on the store; ends with Ctrl-C."""
    from orchestrator.commands.look import ui as pages
    from orchestrator.recording.workspace import workspace

    with reported():
        pages.serve(workspace(home, tracking_uri, None), port=port, say=typer.echo)


@app.command()
def doctor(home: Home = None, tracking_uri: Uri = None, data: Data = None) -> None:
    """Check this machine: packages, GPU, Ray, store, data sets, disk; exits with 2 if something is broken."""
    from orchestrator.commands.look import doctor as diagnosis
    from orchestrator.recording.workspace import workspace

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


def _complete(
    asked: Request, prepared: Prepared, say: Callable[[str], None], output: str, *, check: bool = False
) -> None:
    """Run what is prepared, print the table, and exit with the code that fits."""
    from orchestrator.commands.screen import live
    from orchestrator.commands.screen import tables as printed
    from orchestrator.execution import drive as sweeping
    from orchestrator.process.streams import forget_lost_readers

    shown, tell = printed.Shown(0, complete=True), sayer(silent=False)

    def show(result: SweepResult) -> None:
        nonlocal shown
        if result.interrupted and not any(record.is_done for record in result.records.values()):
            return
        form = "event" if output == "json" else "text"
        shown = printed.tables(asked, result.records, form, None)
        if not result.interrupted:
            printed.failures(asked, result.records)

    try:
        try:
            result = sweeping.sweep(prepared, say=say, show=show, screen=live.screen(output))
        finally:
            ignore_signals()  # the exit code is what the training came to, whoever interrupts
            forget_lost_readers()  # or reads the rest
    except (StoreError, ExecutionLost) as error:
        tell(f"orch: {error}")
        tell(f"orch: finished trials and checkpoints are kept; go on with: {asked.again}")
        raise typer.Exit(STOPPED) from None
    if result.interrupted:
        left = sum(not record.is_done for record in result.records.values())
        left += len(asked.expansion.trials) - len(result.records)
        begun = (
            f"with {left} trials to go" if len(asked.expansion.trials) > left else "before a trial was done"
        )
        tell(f"orch: stopped {begun}; go on with: {asked.again}")
        raise typer.Exit(INTERRUPTED)
    if result.hopeless:
        left = sum(trial.id not in result.records for trial in asked.expansion.trials)
        tell(
            f"orch: stopped: {result.hopeless}; {left} trials were not started; "
            "remove the cause, or go on with --keep-going"
        )
    if result.failed:
        raise typer.Exit(FAILED)
    if not shown.complete:
        raise typer.Exit(USAGE)
    if check and shown.outside:
        raise typer.Exit(OUTSIDE)
    if prepared.store.waits or result.unpublished:
        raise typer.Exit(STOPPED)


def run() -> None:
    """`orch`, as it is installed: once the exit code is known, no signal changes it."""
    try:
        app()
    finally:
        ignore_signals()
