"""The commands of `orch` that take results out into one file, and bring them back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.commands.options import SPEC, Cell, Checkpoints, Home, Uri, With, sayer
from orchestrator.commands.selection import selects
from orchestrator.errors import UsageError
from orchestrator.process.words import counted, one_of
from orchestrator.recording.bundle.others import sources
from trainers.config.families import members

if TYPE_CHECKING:
    from orchestrator.commands.request import Request

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
    numbers_only: Annotated[
        bool,
        typer.Option(
            "--numbers-only", help="Without what is drawn from the numbers: pictures of trials, and reports."
        ),
    ] = False,
) -> None:
    """Write sweeps, results and tables into one file, which commands read as they read a store."""
    from orchestrator.process.provenance import provenance
    from orchestrator.recording.bundle import writing

    wanted = set(along or ())
    if others := wanted - {"checkpoints", "encoders"}:
        raise UsageError(f"--with {others.pop()}: expected checkpoints or encoders")
    checkpoints, encoders = "checkpoints" in wanted, "encoders" in wanted
    sweeps = [
        one.exported(checkpoints=checkpoints, encoders=encoders, numbers_only=numbers_only)
        for one in requests
    ]
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
    axis: Annotated[
        list[str] | None,
        typer.Option(
            help="With --kind interaction, response, parallel: an axis that it shows; repeatable.",
            show_default=False,
        ),
    ] = None,
    width: Annotated[
        str | None,
        typer.Option(help="column, text or page, as of a paper; or inches.", show_default=False),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Without title and origin, which a paper's caption says.")
    ] = False,
    beside: With = None,
) -> None:
    """Draw a sweep's figures from the store."""
    from orchestrator.answer.draw import WRITERS
    from orchestrator.commands.look.write_figures import inches, write_figures

    formats = tuple(form or ["png"])
    if unknown := set(formats) - WRITERS.keys():
        raise UsageError(f"no figure format '{unknown.pop()}'; known: {', '.join(WRITERS)}")
    for option, given, such in (("metric", metric, "curves"), ("axis", axis, "interaction")):
        if given and not kind:
            raise UsageError(f"--{option} says what a figure shows; add --kind, such as --kind {such}")
    if kind:
        request.ask_for_figure(kind, metric or (), axis or ())
    if width is not None:
        request.size_figures(inches(width))
    folder = out or request.space.home / "figures" / request.folder_name
    others = request.others(beside)
    for path in write_figures(request, folder, formats=formats, plain=plain, others=others):
        typer.echo(str(path))


def report(
    requests: Iterator[Request] = selects(several=True, prefer_profile_with_results=True),
    *,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File to write.  [default: NAME.html]", show_default=False),
    ] = None,
    form: Annotated[
        str, typer.Option("--format", "-f", help="html; md: an index of claims alone, for a repository.")
    ] = "html",
    notes: Annotated[
        Path | None,
        typer.Option(
            help="With -f md: what to write above it, and below each `## sweep`.", show_default=False
        ),
    ] = None,
    beside: With = None,
) -> None:
    """Write one page with the answer: tables, verdicts, figures, spectra, trials, methods, citations."""
    from orchestrator.commands.look.write_index import write_index
    from orchestrator.commands.look.write_report import write_report

    if form not in ("html", "md"):
        raise UsageError(f"no report format '{form}'; known: html, md")
    if form == "html" and notes is not None:
        raise UsageError("--notes is for the index of claims; add -f md")
    if form == "md" and beside is not None:
        raise UsageError("--with imported is for a page of html; leave out -f md")
    if form == "md":
        typer.echo(str(write_index(list(requests), out, notes=notes, say=sayer(silent=False))))
    else:
        typer.echo(str(write_report(list(requests), out, beside=beside)))


def import_(
    bundle: Annotated[
        str, typer.Argument(help=f"Bundle, or what has others' runs: {one_of(sources.names())}.")
    ],
    source: Annotated[
        str | None, typer.Argument(help="Of others' runs: file, folder or address.", show_default=False)
    ] = None,
    *,
    into: Annotated[
        Path | None,
        typer.Option("--into", help=f"Others' runs: beside this sweep. {SPEC}", show_default=False),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--map", help="NAME=COLUMN of an axis, seed, metric or epoch; or a YAML file; repeatable."
        ),
    ] = None,
    percent: Annotated[bool, typer.Option("--percent", help="Accuracies are in percent there.")] = False,
    experiment: Annotated[
        str | None, typer.Option(help="Of mlflow: name of the experiment.", show_default=False)
    ] = None,
    called: Annotated[
        str | None,
        typer.Option("--as", help="What tables call the source.  [default: its name]", show_default=False),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Import it; without, see what would be.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Instead of what was imported of this source before.")
    ] = False,
    home: Home = None,
    tracking_uri: Uri = None,
    checkpoints: Checkpoints = None,
) -> None:
    """Put a bundle's results, or others' runs beside a sweep, into a store; what it has stays as it is."""
    from orchestrator.commands.look import write_imports
    from orchestrator.recording.bundle.layout import parts

    named = parts(Path(bundle))
    of_runs = {
        "--into": into, "--map": columns, "--percent": percent, "--experiment": experiment, "--as": called,
        "--yes": yes, "--replace": replace,
    }  # fmt: skip
    if named is None and source is None and bundle not in sources.names():
        likely = f"; did you mean `orch import csv {bundle} --into {into or 'SPEC'}`?"
        raise UsageError(
            f"{bundle}: expected a bundle, whose name ends in .orch.zip, or others' runs: "
            "csv FILE, mlflow ADDRESS, tensorboard FOLDER or wandb FOLDER, with --into SPEC"
            + likely
            * bundle.lower().endswith(".csv")
        )
    if named is None:
        how = write_imports.How(columns or [], percent, experiment, called, yes, replace)
        write_imports.of_runs(bundle, source, into, how, home=home, tracking_uri=tracking_uri)
        return
    if flag := next((flag for flag, value in of_runs.items() if value), None):
        raise UsageError(f"{flag} is for runs of others, such as csv FILE; {bundle} is a bundle")
    if named[1] is not None or source is not None:
        raise UsageError(f"{bundle}: expected one bundle, whose name ends in .orch.zip")
    write_imports.of_bundle(Path(bundle), home=home, tracking_uri=tracking_uri, checkpoints=checkpoints)
