"""`orch`: registers the commands, which are plain functions."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from orchestrator import __version__
from orchestrator.commands import checking, exchanging, reading, training
from orchestrator.commands.options import sayer
from orchestrator.commands.selection import Command, command
from orchestrator.process.command import is_orch, let_libraries_warn
from orchestrator.process.exit_codes import COMPLETE, STOPPED
from orchestrator.process.signals import ignore_signals
from orchestrator.process.streams import (
    FULL,
    forget_what_cannot_be_written,
    help_for_nobody,
    not_written,
    open_closed_streams,
)

app = typer.Typer(
    name="orch",
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
    reading.figures,
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
    app.command(_function.__name__.rstrip("_"), cls=Command)(command(_function))


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
