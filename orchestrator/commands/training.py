"""The commands of `orch` that train, or end what trains."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.commands.options import (
    CELL,
    Cell,
    Download,
    Home,
    Json,
    Keep,
    KeepGoing,
    Notify,
    OutBundle,
    Pack,
    Quiet,
    Uri,
    kept,
    sayer,
)
from orchestrator.commands.selection import filled_in, runs, selects
from orchestrator.errors import ExecutionLost, StoreError, UsageError
from orchestrator.execution.options import Options
from orchestrator.process.command import typed_command
from orchestrator.process.exit_codes import FAILED, INTERRUPTED, OUTSIDE, STOPPED, USAGE
from orchestrator.process.signals import ignore_signals

if TYPE_CHECKING:
    from orchestrator.commands.request import Request
    from orchestrator.execution.drive import Prepared
    from orchestrator.execution.publishing import Answer


def sweep(
    request: Request = selects(data=True, checkpoints=True),
    options: Options = runs(),
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 5 if a published number is out of tolerance.")
    ] = False,
    notify: Notify = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train what is missing and print the table. Run again, it runs nothing."""
    from orchestrator.execution import drive
    from orchestrator.execution.screen.notify import address_from

    hook = address_from(notify)
    if check:
        request.needs_published_profile()
    say = request.saying(sayer(silent=as_json or quiet))
    say(request.headline)
    prepared = drive.prepare(request.expansion, request.space, options, say=say)
    output = "json" if as_json else "quiet" if quiet else "person"
    _complete(request, prepared, say, output, check=check, hook=hook)


def retry(
    request: Request = selects(data=True, checkpoints=True),
    options: Options = runs("accept_data", "executor", "address", "ship_code", "mirror"),
    *,
    cell: Annotated[
        str | None, typer.Argument(help=f"Only this cell, or evaluation. {CELL}", show_default=False)
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="From the start, without the checkpoints.")] = False,
    quiet: Quiet = False,
) -> None:
    """Run again the trials and evaluations that failed, and no others; then print the table."""
    from orchestrator.commands.train import drivers
    from orchestrator.execution.screen.notify import address_from

    hook = address_from(None)
    options = options._replace(keep_going=True, fresh=fresh)
    (say := request.saying(sayer(silent=quiet)))(request.headline)
    prepared = drivers.prepared_again(request, cell, options, say=say)
    _complete(request, prepared, say, "quiet" if quiet else "person", hook=hook)


def submit(
    request: Request = selects(stored=False),
    *,
    address: Annotated[
        str,
        typer.Option(
            help="Address of Ray's dashboard, such as http://127.0.0.1:8265.  (env RAY_API_SERVER_ADDRESS)",
            envvar="RAY_API_SERVER_ADDRESS",
            show_envvar=False,
            show_default=False,
        ),
    ],
    home: Annotated[
        Path | None, typer.Option(help="Folder of the cluster's nodes for results and checkpoints.")
    ] = None,
    checkpoints: Annotated[
        str | None,
        typer.Option(
            help="Folder of the cluster, or s3://bucket/prefix, for checkpoints.", show_default=False
        ),
    ] = None,
    download: Download = False,
    pack: Pack = False,
    keep_going: KeepGoing = False,
) -> None:
    """Hand a sweep to a cluster, which runs it without this machine."""
    from orchestrator.commands.train import submit as sent

    if home is not None and not home.is_absolute():
        raise UsageError(f"--home {home}: expected a folder of the cluster's nodes from the root, /...")
    flags = {"--home": str(home) if home else None, "--checkpoints": sent.there(checkpoints)}
    words = request.typed.words
    words += [word for flag, value in flags.items() if value for word in (flag, value)]
    switches = {"--download": download, "--pack": pack, "--keep-going": keep_going}
    words += [flag for flag, on in switches.items() if on]
    for line in sent.submit(request, request.file, words, address=address, say=sayer(silent=False)):
        typer.echo(line)


def stop(requests: Iterator[Request] = selects(several=True)) -> None:
    """Ask the drivers that train trials of these sweeps to stop; checkpoints are kept."""
    from orchestrator.commands.train import drivers

    for request in requests:
        for line in drivers.stop(request.every_profile, request.space):
            typer.echo(line)


def sync(
    home: Home = None,
    tracking_uri: Uri = None,
    options: Options = runs("mirror"),
    *,
    reap: Annotated[
        bool, typer.Option("--reap", help="Also end what drivers of other machines that died left running.")
    ] = False,
) -> None:
    """Tell the store what waits in the journal, because the store was away or a driver died."""
    from orchestrator.commands.train import drivers
    from orchestrator.execution.screen import mirrors
    from orchestrator.recording.workspace import workspace

    filled = functools.partial(filled_in, home=home, tracking_uri=tracking_uri)
    named, say = mirrors.checked(options.mirror), sayer(silent=False)
    space, complete = workspace(home, tracking_uri, None), True
    if reap:
        say("watching for heartbeats of other drivers, for at most 70 s")
        for line in drivers.end_dead_drivers(space):
            typer.echo(filled(line))
    if not any(space.journals.glob("[!.]*/")):
        typer.echo(f"nothing waits in {space.journals}")
    else:
        store = space.open_journaled()
        try:
            store.carry(refused=True)
            store.flush()
        finally:
            store.close()
        typer.echo(f"{store.carried} entries delivered to {store.describe()}")
        for note in store.notes:
            say(f"orch: {filled(note)}")
        complete = store.complete
    if not drivers.mirrored(space, named, say=say) or not complete:
        raise typer.Exit(STOPPED)


def trial(
    request: Request = selects(seeds="one", stored=False, data=True),
    *,
    cell: Cell,
    download: Download = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads.", min=1)] = 1,
    out: OutBundle = None,
    keep: Keep = None,
    start: Annotated[
        Path | None,
        typer.Option("--from", help="Bundle with the encoder that it starts from.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train one trial in this process, without Ray and store, and print every epoch."""
    from orchestrator.commands.train.trial import given_encoder, into_bundle, outcome_text, run_one
    from orchestrator.planning.find import find_trial
    from orchestrator.recording.bundle.layout import parts
    from orchestrator.recording.bundle.store import read_only

    if parts(request.file) is not None:
        raise UsageError(read_only(str(request.file)))
    chosen = find_trial(request.expansion, cell)
    say = sayer(silent=as_json)
    say(f"trial {chosen.id}: {chosen.label}, profile {request.profile or 'none'}")
    given = given_encoder(request, chosen, start)
    bundle = into_bundle(request, chosen, out, keep=kept(keep))
    with contextlib.closing(bundle) if bundle else contextlib.nullcontext():
        outcome = run_one(
            chosen,
            request.space,
            device=device,
            threads=threads,
            download=download,
            as_json=as_json,
            also=bundle,
            given=given,
        )
        typer.echo(outcome.model_dump_json() if as_json else outcome_text(outcome))
        if bundle:
            bundle.finish(outcome, say=say)
    if outcome.status == "failed":
        sayer(silent=False)(outcome.details.get("traceback", "").rstrip("\n"))
        raise typer.Exit(FAILED)


def _complete(
    request: Request, prepared: Prepared, say: Callable[[str], None], output: str, *, check: bool = False,
    hook: str | None = None,
) -> None:  # fmt: skip
    """Run what is prepared, print the table, and exit with the code that fits."""
    from orchestrator.commands.screen import live
    from orchestrator.commands.screen.tables import Shown, print_failures, print_tables
    from orchestrator.execution import drive
    from orchestrator.execution.screen.notify import told
    from orchestrator.process.streams import FULL, forget_lost_readers, not_written

    shown, tell, printed = Shown(0, complete=True), request.saying(sayer(silent=False)), True
    answers: list[Answer] = []

    def show(answer: Answer) -> None:
        nonlocal shown, printed
        answers.append(answer)
        request.expansion, result = answer.expansion, answer.result  # with the seeds that were added
        if result.interrupted and not any(record.is_done for record in result.records.values()):
            return
        try:
            form = "event" if output == "json" else "text"
            shown = print_tables(answer.tables, answer.problems, form)
        except OSError as error:
            if error.errno not in FULL:
                raise
            printed = False  # which keeps the results from no store
            tell(f"orch: {not_written(error)}")
        if not result.interrupted:
            print_failures(answer.failures, request)

    try:
        try:
            heard = told(hook, prepared.plan, live.screen(output), say=say, trains=prepared.trains)
            with heard as (screen, ended):
                result = drive.sweep(prepared, say=say, show=show, screen=screen)
                result = ended(result, answers[-1].expansion)
        finally:
            ignore_signals()  # the exit code is what the training came to, whoever interrupts
            forget_lost_readers()  # or reads the rest
    except (StoreError, ExecutionLost) as error:
        tell(f"orch: {error}")
        tell(f"orch: finished trials and checkpoints are kept; go on with: {typed_command()}")
        raise typer.Exit(STOPPED) from None
    if result.interrupted:
        done = any(record.is_done for record in result.records.values())
        left = f"with {answers[-1].left()} to go" if done else "before a trial was done"
        tell(f"orch: stopped {left}; go on with: {typed_command()}")
        raise typer.Exit(INTERRUPTED)
    if result.hopeless:
        left, more = answers[-1].left(begun=False), "remove the cause, or go on with --keep-going"
        tell(f"orch: stopped: {result.hopeless}; {left} not started; {more}")
    if result.failed:
        raise typer.Exit(FAILED)
    if not shown.complete:
        raise typer.Exit(USAGE)
    if check and shown.outside:
        raise typer.Exit(OUTSIDE)
    if prepared.store.waits or result.unpublished or result.waits or not printed:
        raise typer.Exit(STOPPED)
