"""What a worker of Ray's does with one trial, and how the trial gets there."""

from __future__ import annotations

import base64
import os
import pickle
import zlib
from collections.abc import Sequence
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial

from orchestrator.events import Finished, Progressed, Started
from orchestrator.execution.child.messages import EVENTS
from trainers.config.filesets import Parcel, receive


def encode_trials(payloads: dict[str, Any], kinds: dict[str, int]) -> tuple[list[str], bytes]:
    """A word for each trial, "id:kind:payload", and what the payloads have in common.

    Tune copies, searches and rewrites parameters that are not plain text, and keeps several copies of each
    until the experiment ends. So a payload holds only what the first one does not. Nothing is put into
    Ray's object store: a driver that needs an object which died with a raylet is ended by Ray.
    """
    pickled = {identity: pickle.dumps(payload) for identity, payload in payloads.items()}
    common = next(iter(pickled.values()))
    words = []
    for identity, one in pickled.items():
        packing = zlib.compressobj(level=9, zdict=common)
        encoded = base64.b64encode(packing.compress(one) + packing.flush()).decode()
        words.append(f"{identity}:{kinds[identity]}:{encoded}")
    return words, common


def name_of(trial: Trial) -> str:
    """The id of the trial that Tune runs as `trial`."""
    identity: str = trial.config["trial"].partition(":")[0]
    return identity


class _PrunedError(BaseException):
    """The schedule ended the trial: Tune says so with a SystemExit, which a trial takes for its own."""


def train_one(word: str, common: bytes, carried: Sequence[Parcel]) -> None:
    """What a worker does with one trial; events travel as bytes, which Tune does not look into."""
    import torch as torch  # takes seconds the first time, which are no time of the trial's

    receive(carried)
    from trainers.attempt.isolation import run_trial, usable

    identity, _, encoded = word.split(":")
    unpacking = zlib.decompressobj(zdict=common)
    trial, runtime, folder, watched, anew = pickle.loads(unpacking.decompress(base64.b64decode(encoded)))
    worker = f"{ray.util.get_node_ip_address()}:{os.getpid()}"
    if runtime.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Ray hides no GPU from a worker that asked for none

    seen: dict[str, Any] = {}  # what a schedule looks at; Tune keeps it from the last report, too

    def tell(*events: Any) -> None:
        for event in events:
            if watched and isinstance(event, Progressed) and watched in event.report.metrics:
                seen.update({"epoch": event.report.epoch, watched: event.report.metrics[watched]})
        try:
            tune.report({"events": EVENTS.line(events), **seen})
        except SystemExit:
            raise _PrunedError from None

    pending: list[Any] = []

    def report(message: Any) -> None:
        # Tune waits for the driver at each report: repeated epochs go with the first new one.
        pending.append(Progressed(identity, message))
        if not message.replayed:
            tell(*pending)
            pending.clear()

    try:
        tell(Started(identity, 1, worker))
        outcome = run_trial(trial, runtime=runtime, folder=folder, report=report, anew=anew)
        tell(*pending, Finished(identity, outcome))
    except _PrunedError:
        raise SystemExit(0) from None  # to return would be a report, which nobody takes any more
    if outcome.status == "failed" and not usable(runtime.device):
        os._exit(1)  # no other trial can run in this process; the driver knows how this one ended
