"""`orch`: registers the commands, which are plain functions."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator import __version__
from orchestrator.commands import checking, reading, training
from orchestrator.commands.selection import command
from orchestrator.process.command import is_orch
from orchestrator.process.exit_codes import COMPLETE
from orchestrator.process.signals import ignore_signals

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
    checking.validate,
    checking.schema,
    checking.diff,
    reading.failures,
    reading.why,
    reading.logs,
)
for _function in COMMANDS:
    app.command()(command(_function))


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
    """`orch`, as it is installed: once the exit code is known, no signal changes it."""
    try:
        app()
    finally:
        ignore_signals()
