"""What the commands of `orch` share: options, exit codes, and how an error ends."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.errors import ExecutionLost, Interrupted, OrchError, SpecError
from orchestrator.process.exit_codes import COMPLETE, INTERRUPTED, STOPPED, USAGE
from orchestrator.process.signals import ignore_signals

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
Trust = Annotated[
    bool,
    typer.Option(
        "--trust", help="Let a file extend files from anywhere, and ask for more than a million trials."
    ),
]
Home = Annotated[
    Path | None,
    typer.Option(
        help="Folder for results and checkpoints.  (env ORCH_HOME, default ./runs)", show_default=False
    ),
]
Uri = Annotated[
    str | None,
    typer.Option(
        "--tracking-uri",
        help="MLflow store.  (env MLFLOW_TRACKING_URI, default SQLite in the home folder)",
        show_default=False,
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(help="Folder of data sets.  (env ORCH_DATA, default ./data)", show_default=False),
]
Checkpoints = Annotated[
    str | None,
    typer.Option(
        help="Folder, or s3://bucket/prefix, for checkpoints.  (env ORCH_CHECKPOINTS, default trials in the "
        "home folder)",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Address = Annotated[
    str | None,
    typer.Option(
        help="Address of a running Ray cluster that this machine is a node of.  (env RAY_ADDRESS)",
        envvar="RAY_ADDRESS",
        show_envvar=False,
        show_default=False,
    ),
]
ShipCode = Annotated[
    bool, typer.Option("--ship-code", help="Let the cluster's workers run this driver's code, not their own.")
]
Pack = Annotated[
    bool, typer.Option("--pack", help="Find out by rehearsals how many trials fit on a GPU and in memory.")
]
Executor = Annotated[str, typer.Option(help="ray, or serial: in this process.")]
Download = Annotated[bool, typer.Option("--download", help="Download missing data sets.")]
KeepGoing = Annotated[
    bool, typer.Option("--keep-going", help="Go on also when the first cells fail in their code.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the table.")]


CELL = "Cell: its label, its levels (ema=EMA,predictor=...), or the start of an id."
Cell = Annotated[str, typer.Argument(help=CELL, show_default=False)]


def sayer(*, silent: bool) -> Callable[[str], None]:
    """What says lines to a person, whether or not anybody still reads them; or says nothing."""
    from orchestrator.process.streams import ignoring_closed_pipes

    def say(line: str) -> None:
        with ignoring_closed_pipes():
            typer.echo(line, err=True)

    return (lambda line: None) if silent else say


@contextmanager
def reported() -> Iterator[None]:
    """Errors that a user may meet end in one line each and an exit code, never in a traceback.

    SIGTERM is heard as Ctrl-C is; what trains hears both itself. After that no signal changes how this
    process ends.
    """
    with suppress(ValueError):  # only the main thread may
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except OrchError as error:
        for line in str(error).splitlines():
            typer.echo(line if isinstance(error, SpecError) else f"orch: {line}", err=True)
        raise typer.Exit(STOPPED if isinstance(error, ExecutionLost) else USAGE) from None
    except KeyboardInterrupt:
        ignore_signals()
        typer.echo("orch: interrupted; nothing was running yet", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except Interrupted as reason:
        ignore_signals()
        left = str(reason) or "what was learnt is kept, and the same command goes on"
        typer.echo(f"orch: stopped at once; {left}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        raise typer.Exit(COMPLETE) from None
    finally:
        ignore_signals()
