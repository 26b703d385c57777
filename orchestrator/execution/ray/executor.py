"""Runs trials on Ray Tune: this machine's cores or a cluster's. The only file that knows Tune's runs.

It runs in a child process of the driver (`train`), for Ray ends its own whenever it likes.

Tune schedules a list of trials and nothing more: each call is a disposable experiment, and resuming is
ours (checkpoints by trial id). Workers stay warm: a function trainable on re-used actors costs 0.07 s per
trial where a fresh actor costs over a second, plus torch's import.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune
from ray.tune.progress_reporter import TrialProgressCallback

from orchestrator.errors import ExecutionError, Interrupted
from orchestrator.events import OnEvent
from orchestrator.execution.child.messages import Train
from orchestrator.execution.ray import nodes as ray_nodes
from orchestrator.execution.ray import rehearsal as ray_packing
from orchestrator.execution.ray.cluster import Doing, joined, nobody_waits, watched
from orchestrator.execution.ray.listener import STARTING, Listener
from orchestrator.execution.ray.queue import FixedListSearcher, scheduler
from orchestrator.execution.ray.worker import encode_trials, name_of, train_one
from orchestrator.language.resources import SweepResources, TrialResources
from orchestrator.language.sweep_spec import ScheduleSpec
from orchestrator.planning.trials import TrialSpec
from orchestrator.process.signals import Stop, stop_signals
from orchestrator.process.words import counted
from orchestrator.rehearsal.forecast import needs_of
from trainers.attempt.folders import Folder
from trainers.config.base import Runtime
from trainers.config.filesets import named_in, parcels

if TYPE_CHECKING:
    from orchestrator.execution.child.main import Driver

SETUP_S = 180.0  # in which Tune takes its first step


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
        resources: SweepResources,
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
            if stop.requested:  # while Ray was starting
                raise Interrupted
            self.doing(STARTING, SETUP_S)
            listener = Listener(
                on_event, stop, retries=self.resources.retries, doing=self.doing, say=self.say
            )
            listener.gpus = {identity: own.share for identity, own in needs.items()}
            left, rounds = list(trials), 0
            while left:
                scratch = tempfile.mkdtemp(prefix="orch-tune-", dir=self.scratch)
                try:
                    self._fit(left, needs, listener, stop, scratch)
                finally:
                    shutil.rmtree(scratch, ignore_errors=True)
                if listener.error is not None:
                    raise listener.error
                if stop.requested:
                    raise Interrupted
                rounds += 1
                # Tune ends without an error also when it gave trials up: where it could not reuse a worker.
                if lost := listener.untold([trial.id for trial in left]):
                    if rounds > self.resources.retries:
                        listener.give_up(lost)
                    else:
                        self.say(f"Ray Tune ended without {counted(len(lost), 'trial')}; begun again")
                left = [trial for trial in left if trial.id not in listener.finished]
                listener.deferred.clear()

    def _fit(
        self,
        trials: Sequence[TrialSpec],
        needs: dict[str, TrialResources],
        listener: Listener,
        stop: Stop,
        scratch: str,
    ) -> None:
        watched = self.schedule.metric if self.schedule else None
        payloads: dict[str, Any] = {}
        bundles: list[dict[str, float]] = []
        kinds: dict[str, int] = {}
        longest = 1
        for trial in trials:
            own = needs[trial.id].model_copy(update={"gpus": listener.gpus[trial.id]})
            bundle = listener.bundles[trial.id] = own.bundle
            if bundle not in bundles:
                bundles.append(bundle)
            kinds[trial.id] = bundles.index(bundle)
            config, where = trial.config, self.folder / trial.id
            longest = max(longest, int(getattr(config, "epochs", None) or 1))
            payloads[trial.id] = (config, own.runtime(self.runtime), where, watched, trial.anew)
        names, common = encode_trials(payloads, kinds)
        carried = parcels(one for config, *_ in payloads.values() for one in named_in(config))
        groups = [tune.PlacementGroupFactory([bundle]) for bundle in bundles]

        def train(config: dict[str, Any]) -> None:
            train_one(config["trial"], common, carried)

        trainable = tune.with_resources(train, lambda config: groups[int(config["trial"].split(":")[1])])
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=FixedListSearcher("trial", names, stop),
                num_samples=len(names),
                reuse_actors=True,
                max_concurrent_trials=self.resources.max_concurrent,
                scheduler=scheduler(self.schedule, stop, epochs=longest),
                trial_name_creator=name_of,
                trial_dirname_creator=name_of,
            ),
            run_config=tune.RunConfig(
                name="sweep",
                storage_path=scratch,
                verbose=2 if self.verbose else 0,
                callbacks=[listener, _Silence()],
                stop=_Stopper(stop, listener),
                failure_config=tune.FailureConfig(max_failures=self.resources.retries),
            ),
        )
        _count_no_trackers()
        with _secrets_kept():
            tuner.fit()

    def _look_over(self, trials: Sequence[TrialSpec], needs: dict[str, TrialResources]) -> None:
        """Raise what would go wrong in every trial, and say what a user should know.

        Raises:
            ExecutionError: a request that no node can meet, nodes that differ, data that is not there.
        """
        ray_nodes.check([own.bundle for own in needs.values()])
        if self.address is None:
            return
        self.doing("looking at the nodes", 2 * ray_nodes.ANSWER_S)
        if note := ray_nodes.check_nodes(self.folder, shipped=self.ship_code):
            if self.runtime.keep:
                raise ExecutionError("encoders would stay where this driver cannot read them", note)
            if any(getattr(one.cell.fields.get("encoder"), "from_trial", None) for one in trials):
                raise ExecutionError("encoders to start from would lie where nodes cannot read them", note)
            self.say(note)
        self.doing("looking whether the nodes can have the plug-ins", 2 * ray_nodes.ANSWER_S)
        ray_nodes.check_plugins(trials)
        if not self.runtime.download:
            self.doing("looking for the data on the nodes", 2 * ray_nodes.ANSWER_S)
            ray_nodes.check_data(trials, self.runtime.data_root)


def _count_no_trackers() -> None:
    """Load Tune's callbacks for trackers without the trackers themselves.

    Tune counts which of them it was given, ours is none, and imports all that are installed in order to:
    MLflow and W&B take seconds, in which no worker is started.
    """
    hidden = [name for name in ("mlflow", "wandb", "aim", "comet_ml") if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # an import of it fails
    try:
        for name in ("air.integrations.mlflow", "air.integrations.wandb", "tune.logger.aim"):
            with contextlib.suppress(Exception):  # another Ray's: it loads them itself, later
                importlib.import_module(f"ray.{name}")
    finally:
        for name in hidden:
            del sys.modules[name]


@contextlib.contextmanager
def _secrets_kept() -> Iterator[None]:
    """Inside, this process has no AWS_... variables.

    Tune copies them into the runtime environment of every worker, and Ray writes those into its logs. Workers
    have the variables that their node was started with, here those of this process.
    """
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("AWS_")}
    try:
        yield
    finally:
        os.environ.update(hidden)


class _Stopper(tune.Stopper):
    """Ends the experiment once it was asked to, when the epochs that run have ended."""

    def __init__(self, stop: Stop, listener: Listener) -> None:
        self.stop, self.listener = stop, listener

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return self.stop.requested

    def stop_all(self) -> bool:
        return self.stop.requested and (not self.listener.running or self.listener.error is not None)


class _Silence(TrialProgressCallback):
    """In place of Tune's own, which prints, and keeps a result of every trial in order to."""

    def on_trial_result(self, *_: Any, **__: Any) -> None:
        pass

    def on_trial_error(self, *_: Any, **__: Any) -> None:
        pass

    def on_trial_complete(self, *_: Any, **__: Any) -> None:
        pass
