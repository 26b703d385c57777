"""The commands of `orch` that take results out into one file, and bring them back."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.commands.options import Cell, Checkpoints, Home, Uri, sayer
from orchestrator.commands.selection import selects
from orchestrator.errors import UsageError
from orchestrator.process.exit_codes import FAILED, STOPPED
from orchestrator.process.secrets import without_secret
from orchestrator.process.words import counted, one_of
from trainers.config.families import members

if TYPE_CHECKING:
    from orchestrator.commands.request import Request

Bundle = Annotated[Path, typer.Argument(help="Bundle, such as table1.orch.zip.", show_default=False)]
MIB = 2**20
ENCODER_FORMATS = members("trainers.networks.formats")


def export(
    requests: Iterator[Request] = selects(several=True, checkpoints=True, prefer_profile_with_results=True),
    *,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Bundle to write.  [default: NAME.orch.zip]", show_default=False),
    ] = None,
    along: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            help="checkpoints: also those of trials that are not done; encoders: also those that were kept.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write sweeps, results and tables into one file, which commands read as they read a store."""
    from orchestrator.process.provenance import provenance
    from orchestrator.recording.bundle import writing

    wanted = set(along or ())
    if others := wanted - {"checkpoints", "encoders"}:
        raise UsageError(f"--with {others.pop()}: expected checkpoints or encoders")
    checkpoints, encoders = "checkpoints" in wanted, "encoders" in wanted
    sweeps = [one.exported(checkpoints=checkpoints, encoders=encoders) for one in requests]
    path = out or Path(f"{sweeps[0].key}.orch.zip")
    held, asked = writing.write(path, sweeps, provenance(), say=sayer(silent=False))
    names = ", ".join(one.key for one in sweeps)
    typer.echo(f"{path}: {names}, {held} of {counted(asked, 'trial')}, {path.stat().st_size / MIB:.1f} MiB")


def encoder(
    request: Request = selects(seeds="one", prefer_profile_with_results=True),
    *,
    cell: Cell,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="File to write.  [default: CELL-SEED.safetensors]", show_default=False
        ),
    ] = None,
    form: Annotated[str, typer.Option("--format", "-f", help=one_of(ENCODER_FORMATS))] = "plain",
) -> None:
    """Write a trial's encoder into a file, and print three lines of Python that load it."""
    from orchestrator.commands.look.write_encoder import write_encoder

    for line in write_encoder(request, cell, out, form):
        typer.echo(line)


def figures(
    request: Request = selects(prefer_profile_with_results=True),
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder to write to.  [default: figures in the home folder]",
            show_default=False,
        ),
    ] = None,
    form: Annotated[
        list[str] | None, typer.Option("--format", "-f", help="png, pdf or svg; repeatable.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="This kind instead of the file's figures.", show_default=False)
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="With --kind: a metric, or a column of it; repeatable.", show_default=False),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Without title and origin, which a paper's caption says.")
    ] = False,
) -> None:
    """Draw a sweep's figures from the store."""
    from orchestrator.answer.draw import WRITERS
    from orchestrator.commands.look.write_figures import write_figures

    formats = tuple(form or ["png"])
    if unknown := set(formats) - WRITERS.keys():
        raise UsageError(f"no figure format '{unknown.pop()}'; known: {', '.join(WRITERS)}")
    if metric and not kind:
        raise UsageError("--metric says what a figure shows; add --kind, such as --kind curves")
    if kind:
        request.ask_for_figure(kind, metric or ())
    folder = out or request.space.home / "figures" / request.folder_name
    for path in write_figures(request, folder, formats=formats, plain=plain):
        typer.echo(str(path))


def report(
    requests: Iterator[Request] = selects(several=True, prefer_profile_with_results=True),
    *,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File to write.  [default: NAME.html]", show_default=False),
    ] = None,
) -> None:
    """Write one page with the answer: tables, verdicts, figures, spectra, trials, methods, citations."""
    from orchestrator.commands.look.write_report import write_report

    typer.echo(str(write_report(list(requests), out)))


def import_(
    bundle: Bundle, *, home: Home = None, tracking_uri: Uri = None, checkpoints: Checkpoints = None
) -> None:
    """Put a bundle's results into a store, each trial once; what the store has stays as it is."""
    from orchestrator.recording.bundle.layout import parts
    from orchestrator.recording.bundle.merging import (
        checked,
        lay_out,
        merge,
        merge_checkpoints,
        merge_encoders,
    )
    from orchestrator.recording.bundle.reading import open_bundle
    from orchestrator.recording.workspace import workspace

    named = parts(bundle)
    if named is None or named[1] is not None:
        raise UsageError(f"{bundle}: expected a bundle, whose name ends in .orch.zip")
    given = {"--home": home, "--tracking-uri": tracking_uri, "--checkpoints": checkpoints}
    say, opened = sayer(silent=False), open_bundle(bundle)
    trials = checked(opened)
    space = workspace(home, tracking_uri, None, checkpoints=checkpoints)
    store = space.open_journaled(say=say)
    try:
        commands = lay_out(opened, space.home / "sweeps")
        merged = merge(opened, store, trials)
        encoders = merge_encoders(opened, space.checkpoints, store)
        begun = merge_checkpoints(opened, space.checkpoints, store)
        store.flush()
    finally:
        store.close()
    told = [f"{counted(len(merged.added), 'trial')} added"]
    told += [f"{len(merged.there)} there already"] if merged.there else []
    told += [f"{len(merged.left)} were still running there"] if merged.left else []
    told += [counted(encoders, "encoder")] if encoders else []
    told += [f"{begun} with a checkpoint to go on from"] if begun else []
    typer.echo(f"{store.describe()}: {', '.join(told)}")
    where = [word for flag, value in given.items() if value for word in (flag, without_secret(str(value)))]
    for words in commands:
        typer.echo(f"  {shlex.join([*words, *where])}")
    for line in (*merged.other, *store.notes):
        say(f"orch: {line}")
    if store.waits:
        raise typer.Exit(STOPPED)
    if merged.other:
        raise typer.Exit(FAILED)
