"""`orch`: registers the commands, which are plain functions."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from orchestrator import __version__
from orchestrator.commands import checking, exchanging, reading, training
from orchestrator.commands.options import sayer
from orchestrator.commands.selection import Command, WrongWords, command
from orchestrator.process.command import is_orch, let_libraries_warn
from orchestrator.process.exit_codes import COMPLETE, STOPPED, USAGE
from orchestrator.process.secrets import without_secret
from orchestrator.process.signals import ignore_signals
from orchestrator.process.streams import (
    FULL,
    forget_what_cannot_be_written,
    help_for_nobody,
    not_written,
    open_closed_streams,
)


class Commands(TyperGroup):
    """The commands; words that none of them takes are told in one line, as every other error."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> Any:
        """Read what stands before the command; no words at all ask for help."""
        with _one_line() if args else contextlib.nullcontext():
            return super().make_context(info_name, args, *rest, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Read what stands behind the command, and do it."""
        with _one_line():
            return super().invoke(ctx)


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except WrongWords as error:
        near = getattr(error, "possibilities", None)
        text = getattr(error, "message", "") if near else error.format_message()  # type: ignore[attr-defined]
        if (wrong := getattr(error.__cause__, "errors", None)) is not None:  # pydantic's, which has the word
            got = f"got {str(wrong()[0]['input'])[:60]!r}, expected "
            text = re.sub(r", unable to parse.*", "", text).replace("Input should be ", got)
        told = re.split(r"\.\s+", without_secret(" ".join(text.split())).rstrip("."))
        told += [f"did you mean {near[0]}?"] if near else []
        if not told[-1].endswith("?"):
            context = getattr(error, "ctx", None)
            told.append(f"`{context.command_path if context else 'orch'} --help` tells what it takes")
        sayer(silent=False)("orch: " + "; ".join(part[:1].lower() + part[1:] for part in told))
        raise typer.Exit(USAGE) from None


app = typer.Typer(
    name="orch",
    cls=Commands,
    help="Typed experiment sweeps for self-supervised learning: from a YAML file to the ablation table.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS = (
    training.sweep,
    training.retry,
    training.submit,
    training.stop,
    training.sync,
    training.trial,
    checking.ui,
    checking.doctor,
    reading.plan,
    reading.status,
    reading.table,
    reading.compare,
    reading.cost,
    exchanging.encoder,
    exchanging.figures,
    exchanging.report,
    exchanging.export,
    exchanging.import_,
    checking.validate,
    checking.schema,
    checking.diff,
    checking.check_plugin,
    checking.init,
    reading.failures,
    reading.why,
    reading.logs,
)
for _function in COMMANDS:
    app.command(_function.__name__.rstrip("_").replace("_", "-"), cls=Command)(command(_function))


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Typed experiment sweeps for self-supervised learning: from a YAML file to the ablation table."""
    is_orch()
    if version:
        typer.echo(f"orch {__version__}")
        raise typer.Exit(COMPLETE)


def run() -> None:
    """`orch` in a process of its own: once the exit code is known, neither signal nor stream changes it."""
    open_closed_streams()
    let_libraries_warn()
    try:
        with help_for_nobody():
            app()
    except OSError as error:  # of typer's own words, such as --help
        if error.errno not in FULL:
            raise
        sayer(silent=False)(f"orch: {not_written(error)}")
        sys.exit(STOPPED)
    finally:
        ignore_signals()
        forget_what_cannot_be_written()
