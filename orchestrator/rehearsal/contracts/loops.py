"""What every trainer promises: reports in order, an outcome, and the same numbers after an interruption."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from orchestrator.rehearsal.contracts.laws import Broken, Laws, Subject
from trainers.attempt.report import EpochReport, Outcome
from trainers.config.base import LoopConfig, Runtime
from trainers.config.plugins import behind
from trainers.loops import ssl

KEEP = "keep all that changes in the checkpoint, and draw from trainers.randomness.stream(seed, purpose)"
Run = tuple[Outcome, list[EpochReport]]


class Interrupted(Exception):
    """Stands for a worker that is killed while it reports."""


def tiny_trial(**changes: Any) -> ssl.Config:
    """A self-supervised trial of three epochs and twelve steps."""
    tiny = {
        "method": "byol",
        "data": {"name": "shapes", "size": 8, "train": 64, "test": 40},
        "encoder": {"name": "mlp", "widths": [16]},
        "projector": {"hidden": [12], "output": 6},
        "epochs": 3,
        "batch_size": 16,
        "probe": {"epochs": 2},
        "knn": {"k": 5},
    }
    return ssl.Config.model_validate(tiny | changes)


def _run(config: LoopConfig, folder: Path | None, until: int | None = None) -> Run:
    """Outcome and reports of a trial; `until`: it is interrupted while it makes its report of that number."""
    heard: list[EpochReport] = []

    def report(message: EpochReport) -> None:
        if not isinstance(message, EpochReport):
            raise Broken(f"`report` was given a {type(message).__name__}, expected an EpochReport")
        heard.append(message)
        if until is not None and len(heard) > until:
            raise Interrupted

    outcome = behind(type(config)).fit(config, runtime=Runtime(), folder=folder, report=report)
    if not isinstance(outcome, Outcome):
        raise Broken(f"`fit` gave a {type(outcome).__name__}, expected an Outcome")
    return outcome, heard


_latest: list[tuple[LoopConfig, Run]] = []


def whole(subject: Subject) -> Run:
    """An uninterrupted trial, which the checks of one plug-in share."""
    config = subject.config
    assert isinstance(config, LoopConfig)
    if not any(known is config for known, _ in _latest):
        _latest[:] = [(config, _run(config, None))]
    return _latest[0][1]


def timeless(metrics: dict[str, float]) -> dict[str, float]:
    """The metrics that must not depend on how fast the machine is."""
    return {name: value for name, value in metrics.items() if not name.startswith("time/")}


def _numbers(run: Run) -> list[tuple[Any, dict[str, float]]]:
    outcome, heard = run
    return [
        *((one.epoch, timeless(one.metrics)) for one in heard),
        (outcome.status, timeless(outcome.metrics)),
    ]


def _difference(one: Run, other: Run) -> str | None:
    """The first number that two runs do not share."""
    for (when, first), (also, second) in zip(_numbers(one), _numbers(other), strict=False):
        if when != also:
            return f"{when} instead of {also}"
        for name in sorted(first.keys() | second.keys()):
            if first.get(name) != second.get(name):
                at = f"epoch {when}" if isinstance(when, int) else "the end"
                return f"{name} of {at} is {first.get(name)} instead of {second.get(name)}"
    return None if len(one[1]) == len(other[1]) else f"{len(one[1])} reports instead of {len(other[1])}"


def resumes(config: LoopConfig, folder: Path) -> None:
    """A trial that is interrupted once goes on to the numbers of one that is not.

    Raises:
        Broken: it does not, or it fails.
    """
    expected = _run(config, None)
    if expected[0].status not in ("completed", "collapsed"):
        raise Broken(f"the trial ended as {expected[0].status}: {expected[0].reason}")
    with contextlib.suppress(Interrupted):
        _run(config, folder, until=2 * len(expected[1]) // 3)
    if difference := _difference(_run(config, folder), expected):
        raise Broken(f"after an interruption, {difference}; {KEEP}")


def ends(subject: Subject) -> None:
    """With its defaults, it neither fails nor diverges."""
    outcome, _ = whole(subject)
    if outcome.status not in ("completed", "collapsed"):
        raise Broken(f"it ended as {outcome.status}: {outcome.reason}")


def reports_in_order(subject: Subject) -> None:
    """Its last report is of its last epoch."""
    _, heard = whole(subject)
    epochs = [one.epoch for one in heard]
    if not epochs or epochs != sorted(set(epochs)):
        raise Broken(f"it reported epochs {epochs[:8]}, expected each once, in order")
    if epochs[-1] != heard[-1].epochs:
        raise Broken(
            f"its last report is of epoch {epochs[-1]} of {heard[-1].epochs}; report after the last, too"
        )


def reports_what_it_declares(subject: Subject) -> None:
    """A sweep file that asks for another metric is refused before training."""
    declared, at_end = getattr(subject.module, "METRICS", None), getattr(subject.module, "FINAL_METRICS", ())
    if declared is None:
        return
    outcome, heard = whole(subject)
    told = {name for one in heard for name in one.metrics}
    if more := sorted(told - set(declared)):
        raise Broken(f"it reports {', '.join(more[:3])}, which METRICS does not have; add it there")
    if more := sorted(outcome.metrics.keys() - told - set(at_end)):
        raise Broken(
            f"its outcome has {', '.join(more[:3])}, which FINAL_METRICS does not have; add it there"
        )


def is_repeatable(subject: Subject) -> None:
    """One config, one set of numbers."""
    assert isinstance(subject.config, LoopConfig)
    # Both here: every check begins with the same global random states.
    first = _run(subject.config, None)
    if difference := _difference(_run(subject.config, None), first):
        raise Broken(
            f"run again, {difference}; derive random numbers by trainers.randomness.stream(seed, purpose)"
        )


def trial_resumes(subject: Subject) -> None:
    """However often it is interrupted."""
    assert isinstance(subject.config, LoopConfig)
    resumes(subject.config, subject.folder)


LAWS: Laws = {
    "a trial ends in an outcome": ends,
    "it reports its epochs in order": reports_in_order,
    "it reports what it declares": reports_what_it_declares,
    "a trial has the same numbers every time": is_repeatable,
    "a resumed trial equals an uninterrupted one": trial_resumes,
}
