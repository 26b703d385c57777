"""Any command, in any language: it reports its numbers, or they are read from what it writes."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Collection, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from trainers.attempt.command.attempt import PYTHON, Attempt, search_path
from trainers.attempt.command.collected import Collector, DivergedError, listed
from trainers.attempt.command.csv_file import Csv
from trainers.attempt.command.ending import failure
from trainers.attempt.command.numbers import ReportError
from trainers.attempt.command.output import Output
from trainers.attempt.command.process import GRACE_S, run
from trainers.attempt.command.readers import found as found_by
from trainers.attempt.command.spec import Metrics, Reads
from trainers.attempt.command.words import ALL, finite, names_in, word_of, words_of
from trainers.attempt.folders import Folder
from trainers.attempt.report import Outcome, Report
from trainers.config.base import NOT_IDENTITY, FieldError, LoopConfig, Runtime, flat
from trainers.config.filesets import FileSet, Named

FIGURES = ("curves", "eigenspace", "spectra", "slope")
"""Kinds of figures that its trials can fill: all but the first where it writes the arrays that they show."""
MANY_GPUS = True
"""A trial may have more than one GPU, all of one node."""
NOT_REHEARSED = "what a command takes is not known before it has run"
"""Why its trials are not rehearsed."""
PAIRED = "declared"
"""Nobody has looked whether trials of one seed draw the same random numbers."""
OWN = ("checkpoints", "data", "device", "epochs", "folder", "gpus", "seed", "threads", ALL)
"""What stands in braces beside parameters."""


class Config(LoopConfig):
    """A command, its parameters, the files that it needs, and the numbers that must come of it."""

    trainer: Literal["command"] = "command"
    run: Annotated[
        tuple[str, ...], BeforeValidator(words_of, json_schema_input_type=tuple[str | int | float, ...])
    ]
    """Its words. {lr} stands for a parameter; {seed}, {epochs}, {folder}, {checkpoints}, {data}, {device},
    {gpus}, {threads} are given, {params} is all parameters as JSON; {ema:--ema} is a word if ema is true; {{
    is a brace. `python` as the first word is the worker's own."""
    params: Annotated[dict[str, Any], AfterValidator(finite)] = {}
    """Parameters, for axes to vary: numbers, words, true and false, lists, and blocks of them. null leaves
    out the word that has it."""
    epochs: int | None = Field(None, ge=1)
    """How many epochs it trains, if it does: {epochs}, and what progress is measured by."""
    files: Named = FileSet()
    """Files and folders that it needs, from where the sweep file lies; they are laid out in its working
    folder under these names, without any leading `../`. What is in them is part of a trial's identity; a pair
    [name, place] gives another name."""
    env: dict[
        Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")],
        Annotated[str, BeforeValidator(word_of, json_schema_input_type=str | int | float)],
    ] = {}
    """Variables of its environment, with placeholders as in `run`."""
    metrics: Metrics = Field({}, json_schema_extra=NOT_IDENTITY)
    """Numbers that every trial must report, by name: {loss: {kind: curve}, top1: {kind: final, unit:
    percent}}, or {loss: curve, top1: final}."""
    reads: Reads = Reads()
    """Where numbers are read that it writes anyway; its own reports need nothing here."""
    limit: float | None = Field(None, gt=0, json_schema_extra=NOT_IDENTITY)
    """Minutes after which it is ended, and has failed; unless said, it may take for ever."""

    @model_validator(mode="after")
    def _words_fit(self) -> Config:
        if not self.run or not self.run[0].strip():
            raise FieldError("run", "no command; expected its words, such as [python, train.py, --lr={lr}]")
        if self.run[0].split()[1:] and self.run[0][0] not in "/.{":
            message = f"{self.run[0]!r} is one word, and no shell reads it; write a word for each part, or "
            raise FieldError("run", message + "[bash, -c, ...]")
        params = dict(flat(self.params))
        if taken := next((name for name in params if name in OWN), None):
            raise FieldError(
                f"params.{taken}", f"{{{taken}}} has another meaning; give the parameter another name"
            )
        used = self._used({*params, *OWN})
        for name in params if ALL not in used else ():
            if name not in used:
                message = (
                    f"no word uses it; write {{{name}}} in `run` or `env`, or pass all of them by {{{ALL}}}"
                )
                raise FieldError(f"params.{name}", message)
        if "seed" not in used:
            message = "no word uses {seed}, so all seeds would be the same; write it, such as --seed={seed}"
            raise FieldError("run", message + ", or env: {SEED: '{seed}'}")
        if "epochs" in used and self.epochs is None:
            raise FieldError("run", "uses {epochs}, and `epochs` is not set; set it beside `run`")
        _check_script(self.run, self.files)
        return self

    def _used(self, there: Collection[str]) -> set[str]:
        """Names that words use.

        Raises:
            FieldError: one is none, or a brace belongs to none.
        """
        used: set[str] = set()
        reads = {
            f"reads.{name}": path for name in ("csv", "tensorboard") if (path := getattr(self.reads, name))
        }
        named = [
            *(("run", word) for word in self.run),
            *((f"env.{name}", word) for name, word in self.env.items()),
        ]
        for at, word in (*named, *reads.items()):
            try:
                names = names_in(word)
            except ValueError as error:
                raise FieldError(at, str(error)) from None
            for name in names:
                if name not in there:
                    known = ", ".join(f"{{{one}}}" for one in sorted(there))
                    raise FieldError(at, f"{{{name}}} in {word!r}: nothing sets it; known are {known}")
                used.add(name)
        if reserved := next((name for name in self.env if name.startswith("ORCH_")), None):
            raise FieldError(f"env.{reserved}", "names that begin with ORCH_ are orch's own; choose another")
        return used


def declared(config: Config) -> Collection[str] | None:
    """Names of the metrics that its trials report for sure; None: nobody knows."""
    return config.metrics or None


def needs(config: Config) -> str | None:
    """What is not installed on this machine that it needs, in one sentence; None: nothing is missing."""
    program = config.run[0]
    if program in PYTHON or "{" in program or "PATH" in config.env:
        return None
    if "/" in program:
        found = not program.startswith("/") or os.access(program, os.X_OK)
    else:
        found = shutil.which(program, path=search_path()) is not None
    if found:
        return None
    if program in (_laid_out(config.files) or ()):
        return f"run: {program} is one of its files, and looked for in PATH; write ./{program}"
    return f"run: no such program on this machine: {program}; install it, or give its path"


def fit(config: Config, *, runtime: Runtime, folder: Folder | None, report: Report) -> Outcome:
    """Run the command to its end, and take in what it reports.

    What it reports after each epoch goes on at once; arrays in {folder}/arrays with the epoch's number go
    with it. A later attempt first repeats what former ones have reported before the epoch at which it goes
    on.
    """
    started = time.perf_counter()
    with Attempt(config, runtime, folder) as attempt:
        collector = Collector(
            report,
            epochs=config.epochs,
            declared=config.metrics,
            settles=not config.reads.model_dump(exclude_defaults=True),  # steps of an epoch are no epochs
            arrays=attempt.folder / "arrays",
            past=attempt.past(),
            history=attempt.history,
        )
        readers, on_line = attempt.readers()
        output = Output(attempt.log, on_line)

        def look(*, is_over: bool = False) -> None:
            for reader in readers:
                for epoch, numbers in found_by(reader, is_over=is_over):
                    collector.add(epoch, numbers)
            collector.finish() if is_over else collector.settle()

        details: dict[str, Any] = {"device": runtime.device, "threads": runtime.threads}
        details |= {"attempt": attempt.number, "words": list(attempt.words)}
        try:
            ending = run(
                attempt.words,
                environment=attempt.environment,
                folder=attempt.working,
                temporary=attempt.temporary,
                output=output,
                look=look,
                limit_s=config.limit and 60 * config.limit,
                grace_s=GRACE_S,
            )
            output.close()
            look(is_over=True)
            columns = [name for one in readers if isinstance(one, Csv) for name in one.columns]
            found = failure(ending, output.tail, limit=config.limit) or _missing(config, collector, columns)
        except DivergedError as error:
            collector.finish()
            found = Outcome(status="diverged", reason=str(error))
        except ReportError as error:
            collector.finish()
            found = Outcome(status="failed", reason=str(error), error="code")
        finally:
            output.close()
        details |= {"wall_s": time.perf_counter() - started, "output": output.tail}
        if collector.warnings:
            details["warnings"] = collector.warnings[:20]
        if found is None:
            return Outcome(status="completed", metrics=collector.final, details=details)
        return found.model_copy(update={"details": details})


def _missing(config: Config, collector: Collector, columns: Sequence[str]) -> Outcome | None:
    """The failure of a trial that has not reported what it must."""
    reported = {name for numbers in collector.by_epoch.values() for name in numbers} | {*collector.at_end}
    said, missing = "", [name for name in config.metrics if name not in reported]
    if missing:
        word = "metrics" if len(missing) > 1 else "metric"
        said = f"{word} {listed(missing)} never reported; reported: {listed(reported)}"
    for name, metric in config.metrics.items() if not missing else ():
        if metric.kind == "final" and name not in collector.final:
            when = f"epoch {collector.last_of(name)} of {collector.last}"
            said = f"metric {name} must be there at the end, and was last reported at {when}"
        elif metric.kind == "curve" and collector.last_of(name) is None:
            said = f"metric {name} must have a curve, and was reported without an epoch"
    if not reported and not said:
        said = "it reported no number; have it write to the file ORCH_REPORT, or say what it `reads`"
    if said and columns:
        said += f"; columns of {config.reads.csv}: {listed(map(ascii, columns))}"
    return Outcome(status="failed", reason=said, error="code") if said else None


def _check_script(words: tuple[str, ...], files: FileSet) -> None:
    """Refuse a command whose script is not among its files.

    Raises:
        FieldError: it is not, or cannot be run.
    """
    names = _laid_out(files)
    if names is None or "{" in words[0]:
        return
    first = words[0].removeprefix("./")
    if words[0] in PYTHON:
        script = next((word for word in words[1:] if word[:1] != "-"), "")
        if (
            "-m" in words[1:]
            or "-c" in words[1:]
            or not script.endswith(".py")
            or script.startswith(("/", "{"))
        ):
            return
        if script.removeprefix("./") not in names:
            raise FieldError(
                "run", f"{script} is not among the `files`, which are {listed(files.digests)}; add it"
            )
    elif "/" in words[0] and not words[0].startswith("/") and first not in names:
        raise FieldError(
            "run", f"{words[0]} is not among the `files`, which are {listed(files.digests)}; add it"
        )
    elif first in names and not names[first]:
        raise FieldError(
            "run", f"{words[0]} does not begin with #!; say what runs it, such as [bash, {first}]"
        )


def _laid_out(files: FileSet) -> dict[str, bool] | None:
    """Whether each file can be run, by its name; None where this process has not got them."""
    try:
        return files.runnable
    except FileNotFoundError:
        return None
