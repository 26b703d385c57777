"""What the commands of `orch` share: options, exit codes, and how an error ends."""

from __future__ import annotations

import signal
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from orchestrator.errors import ExecutionLost, Interrupted, OrchError, SpecError, UsageError, printable
from orchestrator.execution.screen import mirrors
from orchestrator.process.command import typed_command
from orchestrator.process.exit_codes import COMPLETE, INTERRUPTED, STOPPED, USAGE
from orchestrator.process.secrets import without_secret
from orchestrator.process.signals import WARNING, ignore_signals, is_ours
from orchestrator.process.streams import FULL, ignoring_closed_pipes, not_written, plain_words
from orchestrator.process.words import one_of
from orchestrator.recording import stores

SPEC = "Sweep file; orch:smoke is one that comes with orch."
Spec = Annotated[Path, typer.Argument(help=SPEC, show_default=False)]
Specs = Annotated[list[Path], typer.Argument(help=SPEC.replace("file;", "files;"), show_default=False)]
Profile = Annotated[
    str, typer.Option("--profile", "-p", help="Profile of the sweep; auto: paper if GPU and data are here.")
]
Seeds = Annotated[
    str | None,
    typer.Option(help="Number of seeds, or a list such as 0,3,5 or 0-4 (seed 3 alone: 3,), not the file's."),
]
Precision = Annotated[
    float | None,
    typer.Option(
        help="More seeds until half of each 95 % interval is at most this, in the first table's unit.",
        show_default=False,
    ),
]
MaxSeeds = Annotated[
    int | None,
    typer.Option(help="With --precision: the most seeds of a cell.", min=3, show_default="10"),
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
        help=f"Store: {one_of(stores.forms())}.  (env MLFLOW_TRACKING_URI, default SQLite in the home "
        "folder)",
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
With = Annotated[
    str | None,
    typer.Option(
        "--with", help="imported: also what `orch import` brought of others' runs.", show_default=False
    ),
]
Marks = Annotated[
    str | None,
    typer.Option(
        help="signs, or words: trials that collapsed, failed, ... in each cell.",
        show_default="as in the file",
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
Pack = Annotated[
    bool, typer.Option("--pack", help="Find out by rehearsals how many trials fit on a GPU and in memory.")
]
Download = Annotated[bool, typer.Option("--download", help="Download missing data sets.")]
KeepGoing = Annotated[
    bool, typer.Option("--keep-going", help="Go on also when the first cells fail in their code.")
]
Keep = Annotated[
    list[str] | None,
    typer.Option("--keep", help="encoder: keep it beside the results.", show_default=False),
]
RUNNING: dict[str, Any] = {
    "download": Download,
    "executor": Annotated[str, typer.Option(help="ray, or serial: in this process.")],
    "address": Address,
    "ship_code": Annotated[
        bool,
        typer.Option("--ship-code", help="Let the cluster's workers run this driver's code, not their own."),
    ],
    "keep_checkpoints": Annotated[
        bool, typer.Option("--keep-checkpoints", help="Keep the checkpoints of finished trials.")
    ],
    "pack": Pack,
    "keep": Keep,
    "retrain_changed": Annotated[
        bool,
        typer.Option("--retrain-changed", help="Train anew what other code has trained; old runs stay."),
    ],
    "retrain_unkept": Annotated[
        bool,
        typer.Option(
            "--retrain-unkept", help="Train anew what was not kept (--keep encoder); old runs stay."
        ),
    ],
    "accept_data": Annotated[
        bool, typer.Option("--accept-data", help="Changed files of a data set are the same images.")
    ],
    "keep_going": KeepGoing,
    "mirror": Annotated[
        list[str] | None,
        typer.Option(
            help=f"{one_of(mirrors.names())}: also show trials there; repeatable.",
            show_default=False,
        ),
    ],
    "verbose": Annotated[bool, typer.Option("--verbose", "-v", help="Let Ray print what it does.")],
}
"""How a sweep is run: what sets each field of `Options`."""
Notify = Annotated[
    str | None,
    typer.Option(
        help="Webhook to tell of the end, or of the first failure; a secret.  (env ORCH_NOTIFY)",
        show_default=False,
    ),
]
OutBundle = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="Bundle to write its result to.", show_default="nothing is stored"),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the table.")]


CELL = "Cell: its label, its levels (ema=EMA,predictor=...), or the start of an id."
Cell = Annotated[str, typer.Argument(help=CELL, show_default=False)]
CellOrEvaluation = Annotated[
    str, typer.Argument(help=f"{CELL} Or an evaluation: cell · evaluation.", show_default=False)
]


def kept(words: list[str] | None) -> tuple[Literal["encoder"], ...]:
    """What `--keep` asks for.

    Raises:
        UsageError: something else than an encoder.
    """
    if other := next((word for word in words or () if word != "encoder"), None):
        raise UsageError(f"--keep {other}: expected encoder; checkpoints are kept by --keep-checkpoints")
    return ("encoder",) if words else ()


def sayer(*, silent: bool) -> Callable[[str], None]:
    """What says lines to a person, whether or not anybody still reads them; or says nothing."""

    def say(line: str) -> None:
        with ignoring_closed_pipes():
            # A live display takes stderr for itself, and understands what steers a terminal.
            typer.echo(printable(line, keep="\n\t"), err=True)

    return (lambda line: None) if silent else say


@contextmanager
def reported() -> Iterator[None]:
    """Errors end in one line each and an exit code, never in a traceback.

    What nobody foresaw, such as an error of a library or of a disk, is written down for who looks into it.
    SIGTERM is heard as Ctrl-C is; what trains hears both itself. After that no signal changes how this
    process ends.
    """
    with suppress(ValueError):  # only the main thread may
        for number in (signal.SIGTERM, *filter(is_ours, WARNING)):
            signal.signal(number, signal.default_int_handler)
        if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:  # as `orch` starts; else it is ignored
            signal.signal(signal.SIGINT, signal.default_int_handler)
    with plain_words():
        try:
            with _one_line():
                yield
        finally:
            ignore_signals()


@contextmanager
def _one_line() -> Iterator[None]:
    tell = sayer(silent=False)
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except OrchError as error:
        for line in str(error).split("\n"):
            tell(line if isinstance(error, SpecError) else f"orch: {line}")
        raise typer.Exit(STOPPED if isinstance(error, ExecutionLost) else USAGE) from None
    except KeyboardInterrupt:
        ignore_signals()
        tell("orch: interrupted; no trial was running")
        raise typer.Exit(INTERRUPTED) from None
    except Interrupted as reason:
        ignore_signals()
        left = str(reason) or "what was learnt is kept, and the same command goes on"
        tell(f"orch: stopped at once; {left}")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        raise typer.Exit(COMPLETE) from None
    except OSError as error:
        if error.errno not in FULL:
            raise _unexpected(error, tell) from None
        tell(f"orch: {not_written(error)}")
        raise typer.Exit(STOPPED) from None
    except Exception as error:  # whatever it is, it must not end in a traceback
        raise _unexpected(error, tell) from None


def _unexpected(error: Exception, tell: Callable[[str], None]) -> typer.Exit:
    """Say in a line what nobody foresaw, and where the details are; how the command ends."""
    ignore_signals()
    what = printable(without_secret(f"{type(error).__name__}: {error}"))
    tell(f"orch: `{typed_command()}` ended in an unexpected error: {what[:300]}; {_written_down(error)}")
    return typer.Exit(STOPPED)


def _written_down(error: Exception) -> str:
    """Where the traceback of `error` is, for its user alone: it may hold a secret."""
    try:
        number, name = tempfile.mkstemp(prefix="orch-error-", suffix=".log")
        with open(number, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(without_secret("".join(traceback.format_exception(error))))
    except OSError as again:
        return f"the details could not be written down: {again.strerror}"
    return f"details: {name}"
