"""Runs trials on Ray Tune: this machine's cores or a cluster's. The only file that knows Ray.

Tune schedules a list of trials and nothing more: each call is a disposable experiment, and resuming is
ours (checkpoints by trial id). Workers stay warm: a function trainable on re-used actors costs 0.07 s per
trial where a fresh actor costs over a second, plus torch's import.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

# Ray reads these when it is imported.
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
os.environ.setdefault("RAY_DEDUP_LOGS", "0")
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "1e9")  # what Tune would restore from; we never do
os.environ.setdefault("TUNE_MAX_PENDING_TRIALS_PG", "8")
os.environ.setdefault("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0")

import numpy as np
import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.schedulers import AsyncHyperBandScheduler, MedianStoppingRule

from orchestrator.adapters.signals import Stop, stop_signals
from orchestrator.errors import ExecutionError, ExecutionLost, Interrupted
from orchestrator.expand import TrialSpec
from orchestrator.ports import Deferred, Event, Finished, OnEvent, Progressed, Started
from orchestrator.spec import Resources, ScheduleSpec
from trainers.config import Runtime
from trainers.report import EpochReport, Outcome

LOOK_S = 5.0  # between two looks at whether the only node is alive
_LOGGERS = ("ray", "ray.tune", "ray.train", "ray._private", "ray.data")


class RayExecutor:
    """Trials on Ray Tune, several at a time, each taken up again when its worker is lost."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        folder: Path,
        resources: Resources,
        schedule: ScheduleSpec | None = None,
        address: str | None = None,
        verbose: bool = False,
    ) -> None:
        """Train under `runtime`.

        Args:
            runtime: device and data folder; threads come from `resources`.
            folder: each trial's checkpoints are in a folder of its id below it.
            resources: what one trial needs.
            schedule: ends unpromising trials early; None for any sweep with a table.
            address: a running cluster's address; None starts Ray on this machine, for this run only.
            verbose: whether Ray may print.
        """
        self.runtime = Runtime.model_validate(dict(runtime) | {"threads": resources.cpus})
        self.folder, self.resources, self.schedule = folder, resources, schedule
        self.address, self.verbose = address, verbose

    def run(self, trials: Sequence[TrialSpec], on_event: OnEvent) -> None:
        """Run all `trials`, in order as room becomes free."""
        if not trials:
            return
        with stop_signals() as stop, self._cluster(stop):
            self._check_room()
            if stop.asked:  # while Ray was starting
                raise Interrupted
            listener = _Listener(on_event, stop, retries=self.resources.retries)
            listener.alone = self.address is None
            listener.gpus, left = self.resources.gpus or 0.0, list(trials)
            while left:
                scratch = tempfile.mkdtemp(prefix="orch-tune-")
                try:
                    self._fit(left, listener, stop, scratch)
                finally:
                    shutil.rmtree(scratch, ignore_errors=True)
                if listener.error is not None:
                    raise listener.error
                if stop.asked:
                    raise Interrupted
                listener.close([trial.id for trial in left])
                left = [trial for trial in left if trial.id in listener.deferred]
                listener.deferred.clear()
                listener.gpus = min(1.0, 2 * listener.gpus)

    def _fit(self, trials: Sequence[TrialSpec], listener: _Listener, stop: Stop, scratch: str) -> None:
        watched = self.schedule.metric if self.schedule else None
        names, packed = _packed({t.id: (t.config, self.runtime, self.folder / t.id, watched) for t in trials})
        needs: dict[str, float] = {"cpu": self.resources.cpus}
        if listener.gpus:
            needs["gpu"] = listener.gpus
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(_train, packed=packed), needs),
            param_space={"trial": tune.grid_search(names)},
            tune_config=tune.TuneConfig(
                reuse_actors=True,
                max_concurrent_trials=self.resources.max_concurrent,
                scheduler=_scheduler(self.schedule, trials) if self.schedule else None,
                trial_name_creator=_name,
                trial_dirname_creator=_name,
            ),
            run_config=tune.RunConfig(
                name="sweep",
                storage_path=scratch,
                verbose=2 if self.verbose else 0,
                callbacks=[listener, _Silence()],
                stop=_Stopper(stop),
                failure_config=tune.FailureConfig(max_failures=self.resources.retries),
            ),
        )
        tuner.fit()

    @contextlib.contextmanager
    def _cluster(self, stop: Stop) -> Iterator[None]:
        """Ray, started or joined; what was started here ends here."""
        if not self.verbose:
            quiet()
        started = not ray.is_initialized()
        if started:
            if self.address:
                _check_address(self.address)
            local: dict[str, Any] = {"num_cpus": os.cpu_count(), "include_dashboard": False}
            try:
                with stop.uninterrupted():
                    ray.init(
                        address=self.address or "local",
                        log_to_driver=self.verbose,
                        logging_level=logging.INFO if self.verbose else logging.CRITICAL,
                        **({} if self.address else local),
                    )
            except Exception as error:  # Ray raises many types, bare exceptions among them
                where = f"at {self.address}" if self.address else "on this machine"
                reason = " ".join(str(error).split())[:200]
                raise ExecutionError(
                    f"no Ray {where}: {reason}; check the address, or run with --executor serial"
                ) from None
        try:
            yield
        finally:
            if started:
                with stop.uninterrupted():
                    ray.shutdown()

    def _check_room(self) -> None:
        """A request that no node can meet would wait for ever."""
        wanted = {"CPU": float(self.resources.cpus), "GPU": self.resources.gpus or 0.0}
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if not any(all(node.get(k, 0) >= v for k, v in wanted.items()) for node in nodes):
            most = {k: max((node.get(k, 0) for node in nodes), default=0) for k in wanted}
            raise ExecutionError(
                f"a trial asks for {wanted['CPU']:g} CPUs and {wanted['GPU']:g} GPUs, but the largest node "
                f"has {most['CPU']:g} and {most['GPU']:g}; lower `resources:` in the sweep file"
            )


def quiet() -> None:
    """Let Ray print nothing of its own in this process."""
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)


_KEPT_FOR_NOBODY = ("time_since_restore", "iterations_since_restore", "time_this_iter_s", "time_total_s")


class _Stopper(tune.Stopper):
    """Ends the experiment once it was asked to."""

    def __init__(self, stop: Stop) -> None:
        self.stop = stop

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return self.stop.asked

    def stop_all(self) -> bool:
        return self.stop.asked


class _Silence(TrialProgressCallback):
    """In place of Tune's own, which prints, and keeps a result of every trial in order to."""

    def on_trial_result(self, *_: Any, **__: Any) -> None:
        pass

    def on_trial_error(self, *_: Any, **__: Any) -> None:
        pass

    def on_trial_complete(self, *_: Any, **__: Any) -> None:
        pass


class _Listener(tune.Callback):
    """Turns what Tune tells into events, in the driver's own thread."""

    def __init__(self, on_event: OnEvent, stop: Stop, *, retries: int) -> None:
        self.on_event, self.stop, self.retries = on_event, stop, retries
        self.gpus = 0.0
        """Share of a GPU that a trial has."""
        self.alone = False
        """Whether nobody else can add a node to this Ray."""
        self.deferred: set[str] = set()
        """Trials that need a larger share."""
        self.last: dict[str, EpochReport] = {}
        self.error: Exception | None = None
        self.attempts: dict[str, int] = {}
        self.finished: set[str] = set()
        self._looked = time.monotonic()

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks to restore an experiment, which we never do; a display has locks."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """End what would wait for ever: Tune does not notice that the only node is gone."""
        if not self.alone or time.monotonic() - self._looked < LOOK_S:
            return
        self._looked = time.monotonic()
        if not any(node["Alive"] for node in ray.nodes()) and self.error is None:
            reason = "Ray's only node has died (was its raylet killed, or memory short?)"
            self.error, self.stop.asked = ExecutionLost(reason), True

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        # Tune keeps the last result of every trial, and statistics of each number in it, until the end of
        # the experiment: of thousands of trials that is hundreds of megabytes.
        for name in _KEPT_FOR_NOBODY:
            result.pop(name, None)
        for event in pickle.loads(result.pop("events")):
            if isinstance(event, Started):
                self.attempts[event.trial_id] = self.attempts.get(event.trial_id, 0) + 1
                event = Started(event.trial_id, self.attempts[event.trial_id], event.worker)
            elif isinstance(event, Finished):
                if event.trial_id in self.finished:
                    continue
                if event.outcome.error == "memory" and 0 < self.gpus < 1:
                    self.deferred.add(event.trial_id)
                    share = min(1.0, 2 * self.gpus)
                    reason = f"out of GPU memory with {self.gpus:g} of a GPU; tried again with {share:g}"
                    self._tell(Deferred(event.trial_id, reason))
                    continue
                self.finished.add(event.trial_id)
                self.last.pop(event.trial_id, None)
            elif isinstance(event, Progressed):
                self.last[event.trial_id] = event.report
                if not event.report.replayed:
                    # Losing a worker counts only while the trial does not go forward in between: a node
                    # that is taken away now and then costs time, and never the trial.
                    trial.max_failures = trial.num_failures + self.retries
            self._tell(event)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        identity = _name(trial)
        trial.run_metadata.metric_analysis.clear()
        trial.run_metadata.metric_n_steps.clear()
        if identity in self.finished | self.deferred or self.stop.asked or identity not in self.last:
            return
        last = self.last[identity]  # it ended without saying so: the schedule ended it
        self.finished.add(identity)
        reason = f"ended by the schedule after epoch {last.epoch} of {last.epochs}"
        self._tell(Finished(identity, Outcome(status="pruned", reason=reason, metrics=last.metrics)))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        identity = _name(trial)
        if identity not in self.finished:
            self.finished.add(identity)
            tries = self.retries + 1
            times = f"{tries} times without an epoch in between" if tries > 1 else "once"
            reason = f"worker lost {times}: {_cause(trial)}"
            self._tell(Finished(identity, Outcome(status="failed", reason=reason, error="worker")))

    def _tell(self, event: Event) -> None:
        """Pass `event` on; what it raises ends the experiment and is kept, for Tune would wrap it."""
        if self.error is not None:
            return
        try:
            self.on_event(event)
        except Exception as error:
            self.error, self.stop.asked = error, True

    def close(self, asked: list[str]) -> None:
        """Tune returns without an error also when it gave trials up: those must not vanish."""
        for identity in asked:
            if identity not in self.finished | self.deferred:
                reason = "Ray Tune ended without running it to its end; run the sweep again"
                self._tell(Finished(identity, Outcome(status="failed", reason=reason, error="worker")))


def _train(config: dict[str, Any], packed: np.ndarray) -> None:
    """What a worker does with one trial; events travel as bytes, which Tune does not look into."""
    from trainers.isolation import run_trial

    identity, begin, end = config["trial"].split(":")
    trial, runtime, folder, watched = pickle.loads(packed[int(begin) : int(end)].data)
    worker = f"{ray.util.get_node_ip_address()}:{os.getpid()}"

    def tell(*events: Any) -> None:
        last = events[-1]
        seen: dict[str, Any] = {}
        if watched and isinstance(last, Progressed) and watched in last.report.metrics:
            seen = {"epoch": last.report.epoch, watched: last.report.metrics[watched]}
        tune.report({"events": pickle.dumps(events), **seen})

    pending: list[Any] = [Started(identity, 1, worker)]

    def report(message: Any) -> None:
        # Tune waits for the driver at each report: repeated epochs go with the first new one.
        pending.append(Progressed(identity, message))
        if not message.replayed:
            tell(*pending)
            pending.clear()

    outcome = run_trial(trial, runtime=runtime, folder=folder, report=report)
    tell(*pending, Finished(identity, outcome))


def _scheduler(spec: ScheduleSpec, trials: Sequence[TrialSpec]) -> Any:
    """Tune's scheduler; it counts in epochs."""
    watched: dict[str, Any] = {"time_attr": "epoch", "metric": spec.metric, "mode": spec.mode}
    if spec.name == "median":
        return MedianStoppingRule(grace_period=spec.grace_epochs, **watched)
    longest = max(int(getattr(trial.config, "epochs", 1)) for trial in trials)
    return AsyncHyperBandScheduler(
        max_t=max(longest, spec.grace_epochs),
        grace_period=spec.grace_epochs,
        reduction_factor=spec.reduction,
        stop_last_trials=False,
        **watched,
    )


def _packed(payloads: dict[str, Any]) -> tuple[list[str], np.ndarray]:
    """A word for each trial, "id:begin:end", and the bytes in which its payload lies there.

    Tune copies, searches and rewrites parameters, and keeps several copies of each until the experiment
    ends; an array lies in Ray's object store once, and workers read it where it lies.
    """
    pickled = {identity: pickle.dumps(payload) for identity, payload in payloads.items()}
    ends = list(accumulate(map(len, pickled.values())))
    words = [
        f"{identity}:{end - len(one)}:{end}"
        for (identity, one), end in zip(pickled.items(), ends, strict=True)
    ]
    return words, np.frombuffer(b"".join(pickled.values()), dtype=np.uint8)


def _name(trial: Trial) -> str:
    identity: str = trial.config["trial"].partition(":")[0]
    return identity


def _cause(trial: Trial) -> str:
    error = trial.get_error() if hasattr(trial, "get_error") else None
    text = " ".join(str(error or "unknown").split())
    return text[:200]


def _check_address(address: str) -> None:
    """Nothing, if something listens at host:port; Ray itself waits for minutes without a word.

    Raises:
        ExecutionError: nothing does.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdigit():
        return  # "auto" and names that only Ray knows
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except OSError as error:
        reason = error.strerror or "no answer"
        raise ExecutionError(
            f"no Ray at {address}: {reason}; check the address, or leave out --address to start one here"
        ) from None
