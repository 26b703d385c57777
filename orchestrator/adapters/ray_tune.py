"""Runs trials on Ray Tune: this machine's cores or a cluster's. The only file that knows Tune's runs.

It runs in a child process of the driver (`train`), for Ray ends its own whenever it likes.

Tune schedules a list of trials and nothing more: each call is a disposable experiment, and resuming is
ours (checkpoints by trial id). Workers stay warm: a function trainable on re-used actors costs 0.07 s per
trial where a fresh actor costs over a second, plus torch's import.
"""

from __future__ import annotations

import base64
import contextlib
import os
import pickle
import shutil
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.adapters import ray_nodes, ray_packing  # before ray: it says how
from orchestrator.adapters.ray_cluster import Doing, joined, nobody_waits, watched
from orchestrator.adapters.ray_queue import Given, InOrder

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.schedulers import AsyncHyperBandScheduler, MedianStoppingRule

from orchestrator.adapters.signals import Stop, stop_signals
from orchestrator.errors import Interrupted
from orchestrator.execution.messages import Train, packed_events, unpacked_events
from orchestrator.expand import TrialSpec
from orchestrator.forecast import needs_of
from orchestrator.needs import Needs, Resources
from orchestrator.events import Deferred, Event, Finished, OnEvent, Progressed, Started
from orchestrator.spec import ScheduleSpec
from trainers.config import Runtime
from trainers.folders import Folder
from trainers.report import EpochReport, Outcome

if TYPE_CHECKING:
    from orchestrator.execution.child_process import Driver

SILENT_S = 45.0  # in which Tune takes its next step; without Ray's head it takes none
SETUP_S = 180.0  # in which Tune takes its first step
STARTING = "starting workers, which load torch"


def train(job: Train, driver: Driver, after: contextlib.ExitStack) -> None:
    """Do what a driver asks of its child: run the trials that follow.

    Args:
        job: the executor's settings.
        driver: is told what happens.
        after: ends what is left when the driver has heard everything.
    """
    own = job.settings
    assert own.checkpoints is not None
    executor = RayExecutor(
        runtime=own.runtime,
        folder=own.checkpoints,
        resources=own.resources,
        schedule=own.schedule,
        address=own.address,
        ship_code=own.ship_code,
        scratch=job.scratch,
        say=driver.say,
        doing=driver.doing,
        verbose=own.verbose,
    )
    trials = None if job.certain else driver.trials()
    after.enter_context(executor.joined())
    if not own.address:
        after.enter_context(watched(driver.give_up))
    executor.run(driver.trials() if trials is None else trials, driver.event)


class RayExecutor:
    """Trials on Ray Tune, several at a time, each taken up again when its worker is lost."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        folder: Folder,
        resources: Resources,
        schedule: ScheduleSpec | None = None,
        address: str | None = None,
        ship_code: bool = False,
        scratch: Path | None = None,
        say: Callable[[str], None] = lambda note: None,
        doing: Doing = nobody_waits,
        verbose: bool = False,
    ) -> None:
        """Train under `runtime`.

        Args:
            runtime: data folder and the like; device and threads come from `resources` and the nodes.
            folder: each trial's checkpoints are in a folder of its id below it.
            resources: what one trial needs.
            schedule: ends unpromising trials early; None for any sweep with a table.
            address: a running cluster's address; None starts Ray on this machine, for this run only.
            ship_code: whether the cluster's workers run this driver's code, sent to them, or their own.
            scratch: folder for what may be forgotten after the run; None: a new one for each run.
            say: is told what a user should know of the cluster before trials start.
            doing: is told what is done, again and again.
            verbose: whether Ray may print.
        """
        self.runtime, self.folder, self.resources, self.schedule = runtime, folder, resources, schedule
        self.address, self.ship_code, self.scratch, self.verbose = address, ship_code, scratch, verbose
        self.say, self.doing = say, doing

    def joined(self) -> contextlib.AbstractContextManager[None]:
        """Ray, inside."""
        return joined(
            self.address,
            verbose=self.verbose,
            ship_code=self.ship_code,
            scratch=self.scratch,
            doing=self.doing,
        )

    def run(self, trials: Sequence[TrialSpec], on_event: OnEvent) -> None:
        """Run all `trials`, in order as room becomes free."""
        if not trials:
            return
        with stop_signals() as stop, self.joined():
            needs = needs_of(trials, self.resources, gpus=float(ray_nodes.has_gpus()))
            self._look_over(trials, needs)
            needs = ray_packing.settled(
                trials,
                needs,
                self.runtime,
                most=self.resources.max_concurrent,
                stop=stop,
                say=self.say,
                doing=self.doing,
            )
            if stop.asked:  # while Ray was starting
                raise Interrupted
            self.doing(STARTING, SETUP_S)
            listener = _Listener(on_event, stop, retries=self.resources.retries, doing=self.doing)
            listener.gpus = {identity: own.share for identity, own in needs.items()}
            left = list(trials)
            while left:
                scratch = tempfile.mkdtemp(prefix="orch-tune-", dir=self.scratch)
                try:
                    self._fit(left, needs, listener, stop, scratch)
                finally:
                    shutil.rmtree(scratch, ignore_errors=True)
                if listener.error is not None:
                    raise listener.error
                if stop.asked:
                    raise Interrupted
                listener.close([trial.id for trial in left])
                left = [trial for trial in left if trial.id in listener.deferred]
                listener.deferred.clear()

    def _fit(
        self,
        trials: Sequence[TrialSpec],
        needs: dict[str, Needs],
        listener: _Listener,
        stop: Stop,
        scratch: str,
    ) -> None:
        watched = self.schedule.metric if self.schedule else None
        payloads: dict[str, Any] = {}
        asked: list[dict[str, float]] = []
        kinds: dict[str, int] = {}
        for trial in trials:
            own = needs[trial.id].model_copy(update={"gpus": listener.gpus[trial.id]})
            bundle = own.bundle
            if bundle not in asked:
                asked.append(bundle)
            kinds[trial.id] = asked.index(bundle)
            payloads[trial.id] = (trial.config, own.runtime(self.runtime), self.folder / trial.id, watched)
        names, common = _packed(payloads, kinds)
        groups = [tune.PlacementGroupFactory([bundle]) for bundle in asked]

        def train(config: dict[str, Any]) -> None:
            _train(config["trial"], common)

        trainable = tune.with_resources(train, lambda config: groups[int(config["trial"].split(":")[1])])
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=Given("trial", names),
                num_samples=len(names),
                reuse_actors=True,
                max_concurrent_trials=self.resources.max_concurrent,
                scheduler=_scheduler(self.schedule, trials) if self.schedule else InOrder(),
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

    def _look_over(self, trials: Sequence[TrialSpec], needs: dict[str, Needs]) -> None:
        """Raise what would go wrong in every trial, and say what a user should know.

        Raises:
            ExecutionError: a request that no node can meet, nodes that differ, data that is not there.
        """
        ray_nodes.check([own.bundle for own in needs.values()])
        if self.address is None:
            return
        self.doing("looking at the nodes", 2 * ray_nodes.ANSWER_S)
        if note := ray_nodes.look_over(self.folder, shipped=self.ship_code):
            self.say(note)
        if not self.runtime.download:
            self.doing("looking for the data on the nodes", 2 * ray_nodes.ANSWER_S)
            ray_nodes.check_data(trials, self.runtime.data_root)


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
    """Turns what Tune tells into events, in the thread that runs Tune."""

    def __init__(self, on_event: OnEvent, stop: Stop, *, retries: int, doing: Doing = nobody_waits) -> None:
        self.on_event, self.stop, self.retries, self.doing = on_event, stop, retries, doing
        self.gpus: dict[str, float] = {}
        """Share of a GPU that each trial has."""
        self.deferred: set[str] = set()
        """Trials that need a larger share."""
        self.last: dict[str, EpochReport] = {}
        self.error: Exception | None = None
        self.attempts: dict[str, int] = {}
        self.finished: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks to restore an experiment, which we never do; a display has locks."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Say that Tune goes on."""
        self.doing("" if self.attempts else STARTING, SILENT_S)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        # Tune keeps the last result of every trial, and statistics of each number in it, until the end of
        # the experiment: of thousands of trials that is hundreds of megabytes.
        for name in _KEPT_FOR_NOBODY:
            result.pop(name, None)
        for event in unpacked_events(result.pop("events")):
            if event.trial_id in self.finished:
                continue  # its worker was lost after its end was told, and Tune began it again
            if isinstance(event, Started):
                self.attempts[event.trial_id] = self.attempts.get(event.trial_id, 0) + 1
                event = Started(event.trial_id, self.attempts[event.trial_id], event.worker)
            elif isinstance(event, Finished):
                trial.max_failures = trial.num_failures  # nothing is left to begin again for
                share = self.gpus.get(event.trial_id, 0.0)
                if event.outcome.error == "memory" and 0 < share < 1:
                    self.deferred.add(event.trial_id)
                    more = self.gpus[event.trial_id] = min(1.0, 2 * share)
                    reason = f"out of GPU memory with {share:g} of a GPU; tried again with {more:g}"
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
        if self._is_told(identity) or self.stop.asked or identity not in self.last:
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

    def _is_told(self, identity: str) -> bool:
        return identity in self.finished or identity in self.deferred

    def close(self, asked: list[str]) -> None:
        """Tune returns without an error also when it gave trials up: those must not vanish."""
        for identity in asked:
            if not self._is_told(identity):
                reason = "Ray Tune ended without running it to its end; run the sweep again"
                self._tell(Finished(identity, Outcome(status="failed", reason=reason, error="worker")))


class _PrunedError(BaseException):
    """The schedule ended the trial: Tune says so with a SystemExit, which a trial takes for its own."""


def _train(word: str, common: bytes) -> None:
    """What a worker does with one trial; events travel as bytes, which Tune does not look into."""
    from trainers.isolation import run_trial, usable

    identity, _, packed = word.split(":")
    unpacking = zlib.decompressobj(zdict=common)
    trial, runtime, folder, watched = pickle.loads(unpacking.decompress(base64.b64decode(packed)))
    worker = f"{ray.util.get_node_ip_address()}:{os.getpid()}"
    if runtime.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Ray hides no GPU from a worker that asked for none

    seen: dict[str, Any] = {}  # what a schedule looks at; Tune keeps it from the last report, too

    def tell(*events: Any) -> None:
        for event in events:
            if watched and isinstance(event, Progressed) and watched in event.report.metrics:
                seen.update({"epoch": event.report.epoch, watched: event.report.metrics[watched]})
        try:
            tune.report({"events": packed_events(events), **seen})
        except SystemExit:
            raise _PrunedError from None

    pending: list[Any] = [Started(identity, 1, worker)]

    def report(message: Any) -> None:
        # Tune waits for the driver at each report: repeated epochs go with the first new one.
        pending.append(Progressed(identity, message))
        if not message.replayed:
            tell(*pending)
            pending.clear()

    try:
        outcome = run_trial(trial, runtime=runtime, folder=folder, report=report)
        tell(*pending, Finished(identity, outcome))
    except _PrunedError:
        raise SystemExit(0) from None  # to return would be a report, which nobody takes any more
    if outcome.status == "failed" and not usable(runtime.device):
        os._exit(1)  # no other trial can run in this process; the driver knows how this one ended


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


def _packed(payloads: dict[str, Any], kinds: dict[str, int]) -> tuple[list[str], bytes]:
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
        packed = base64.b64encode(packing.compress(one) + packing.flush()).decode()
        words.append(f"{identity}:{kinds[identity]}:{packed}")
    return words, common


def _name(trial: Trial) -> str:
    identity: str = trial.config["trial"].partition(":")[0]
    return identity


def _cause(trial: Trial) -> str:
    error = trial.get_error() if hasattr(trial, "get_error") else None
    text = " ".join(str(error or "unknown").split())
    return text[:200]
