"""Pretended trials, which report like real ones and train nothing: a process each, or hundreds in one.

`alone` takes the place of the executor's own function in real workers. `hosted` lets Tune believe that it
starts an actor for each trial, where all of them live in a few real actors: every call that Tune makes is
still a call to another process through Ray, and every answer an object that Ray waits for. What a hosted
trial does not have is a process and an entry among Ray's actors.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import platform
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import ray
from ray import tune
from ray.tune.execution import tune_controller
from ray.tune.result import RESULT_DUPLICATE

from orchestrator.events import Event, Finished, Progressed, Started
from orchestrator.execution.child.messages import EVENTS
from orchestrator.execution.ray import executor as ray_tune
from trainers.attempt.report import EpochReport, Outcome

METRICS = 40  # in a report, about what `ssl` measures
SPECTRA_EVERY = 5  # epochs
WIDTH = 64  # of a spectrum; three of them
SENT = "sent_s"  # metric: when the report was sent, by the clock that all processes of a machine share


class Pace(NamedTuple):
    """How long a trial lasts and how often it reports."""

    epochs: int
    file: Path
    """Holds the seconds between two reports, of training alone; waiting for the driver comes on top."""

    def wait_s(self, *, first: bool) -> float:
        """Until the next report; the first comes at random, or all trials would report at once for ever."""
        period = float(self.file.read_text())
        return random.random() * period if first else period

    def set(self, period_s: float) -> None:
        """Change what trials read before their next report."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(str(period_s))
        fresh.rename(self.file)


def messages(identity: str, epochs: int) -> Iterator[tuple[Event, ...]]:
    """What a trial tells, message by message, made when it is asked for."""
    yield (Started(identity, 1, f"host:{os.getpid()}"),)
    for epoch in range(epochs + 1):
        yield (Progressed(identity, _report(epoch, epochs)),)
    final = {f"probe/metric{number}": 1 / (number + 3) for number in range(METRICS)}
    yield (Finished(identity, Outcome(status="completed", metrics=final, details={"wall_s": 0.0})),)


def _report(epoch: int, epochs: int) -> EpochReport:
    metrics = {f"train/metric{number}": 1 / (epoch + number + 3) for number in range(METRICS - 1)}
    arrays = {}
    if epoch % SPECTRA_EVERY == 0:
        arrays = {name: np.linspace(0, 1, WIDTH) for name in ("F", "Wp", "alignment")}
    return EpochReport(epoch=epoch, epochs=epochs, metrics=metrics | {SENT: time.monotonic()}, arrays=arrays)


@contextlib.contextmanager
def alone(pace: Pace) -> Iterator[None]:
    """Inside, each real worker pretends to train."""
    with mock.patch.object(ray_tune, "train_one", functools.partial(_pretend, pace=pace)):
        yield


def _pretend(word: str, common: bytes, carried: Sequence[Any], *, pace: Pace) -> None:
    time.sleep(pace.wait_s(first=True))
    for events in messages(word.partition(":")[0], pace.epochs):
        tune.report({"events": EVENTS.line(events)})
        time.sleep(pace.wait_s(first=False))


@contextlib.contextmanager
def hosted(pace: Pace, *, hosts: int, most: int) -> Iterator[None]:
    """Inside, Tune's actors are lodgers of `hosts` real ones, at most `most` in all."""
    made = [ray.remote(Host).options(num_cpus=0, max_concurrency=2 * most).remote(pace) for _ in range(hosts)]
    ray.get([host.__ray_ready__.remote() for host in made])
    kill = ray.kill

    def kill_real(actor: Any, **options: Any) -> None:
        if not isinstance(actor, Lodger):
            kill(actor, **options)

    lodging = Lodging(made)
    with (
        mock.patch.object(tune_controller._ActorClassCache, "get", lambda self, trainable: lodging),
        mock.patch.object(ray, "kill", kill_real),
    ):
        yield


class Lodging:
    """In place of the remote class of Tune's trials."""

    __class__ = ray.actor.ActorClass  # Tune asks whether it is one

    def __init__(self, hosts: list[Any]) -> None:
        self.hosts, self.number = hosts, 0

    def options(self, **options: Any) -> Lodging:
        """The trial's placement group is real, and its lodger does not live in it."""
        return self

    def remote(self, **arguments: Any) -> Lodger:
        """A new trial, in the next host."""
        self.number += 1
        lodger = Lodger(self.hosts[self.number % len(self.hosts)], self.number)
        lodger.settle.remote(**arguments)
        return lodger


class Lodger:
    """In place of the handle of one trial's actor."""

    def __init__(self, host: Any, number: int) -> None:
        self._host, self._number = host, number

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._host, {"__ray_ready__": "ready"}.get(name, name))
        return _Call(method, self._number)


class _Call(NamedTuple):
    method: Any
    number: int

    def remote(self, *arguments: Any, **named: Any) -> Any:
        return self.method.remote(self.number, *arguments, **named)


class Host:
    """A real actor in which many pretended trials live; answers as Tune's `FunctionTrainable` does."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.trials: dict[int, _Lodged] = {}

    async def settle(self, number: int, config: dict[str, Any], storage: Any) -> None:
        """A trial's actor is made."""
        self.trials[number] = _Lodged(config, self.pace.epochs)

    async def ready(self, number: int) -> bool:
        """It has started."""
        return True

    async def get_auto_filled_metrics(self, number: int, **named: Any) -> dict[str, Any]:
        """What Tune shows of a trial before its first report."""
        return {"pid": os.getpid(), "hostname": platform.node(), "node_ip": "127.0.0.1"}

    async def train(self, number: int) -> dict[str, Any]:
        """The next report."""
        trial = self.trials[number]
        await asyncio.sleep(self.pace.wait_s(first=not trial.iteration))
        return trial.result()

    async def reset(self, number: int, config: dict[str, Any], storage: Any) -> bool:
        """The actor is used again for another trial."""
        self.trials[number] = _Lodged(config, self.pace.epochs)
        return True

    async def stop(self, number: int) -> None:
        """Its last trial has ended."""
        self.trials.pop(number, None)


class _Lodged:
    def __init__(self, config: dict[str, Any], epochs: int) -> None:
        self.info = config.pop("__trial_info__")
        self.config, self.iteration = config, 0
        self.messages = messages(config["trial"].partition(":")[0], epochs)

    def result(self) -> dict[str, Any]:
        """With everything that Tune's `Trainable` adds to what a trial reports."""
        events = next(self.messages, None)
        if events is None:
            return {RESULT_DUPLICATE: True, "done": False, "should_checkpoint": False}
        self.iteration += 1
        return {
            "events": EVENTS.line(events),
            "done": False,
            "training_iteration": self.iteration,
            "trial_id": self.info.trial_id,
            "date": time.strftime("%Y-%m-%d_%H-%M-%S"),
            "timestamp": int(time.time()),
            "time_this_iter_s": 1.0,
            "time_total_s": float(self.iteration),
            "pid": os.getpid(),
            "hostname": platform.node(),
            "node_ip": "127.0.0.1",
            "config": self.config,
            "time_since_restore": float(self.iteration),
            "iterations_since_restore": self.iteration,
        }
