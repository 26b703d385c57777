"""What orchestration adds to a trial: Ray Tune on warm workers, events, MLflow on SQLite. No claim without n.

    python benchmarks/overhead.py [--trials 100] [--rounds 1] [--beside]

Trains many trials that cost almost nothing through the same code as `orch sweep`, and compares the wall
time with the time that the trials themselves took on the workers:

    added per trial = (wall time × workers - Σ time inside trials) / trials

over all trials but the first four of each worker, in which Ray and torch start. With `--beside` the same
trials also go through plain Ray Tune, which keeps no record of them: as its documentation begins, with an
actor for each trial, and with `reuse_actors`. Each is measured in a process of its own, in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks_machine import machine

from orchestrator.events import Event, Finished
from orchestrator.execution.child.executor import ChildExecutor
from orchestrator.execution.child.messages import Settings
from orchestrator.execution.run import plan_sweep, run_sweep
from orchestrator.language.resources import SweepResources
from orchestrator.language.sweep_spec import SweepSpec
from orchestrator.language.yaml_text import parse
from orchestrator.planning.expand import Expansion, expand
from orchestrator.planning.trials import TrialSpec
from orchestrator.recording.mlflow.store import MlflowStore
from orchestrator.records import Provenance, SweepInfo
from trainers.attempt.isolation import run_trial
from trainers.config.base import Runtime

SWEEP = """
version: 1
name: overhead
base:
  trainer: ssl
  method: {name: byol, predictor: {hidden: 8}}
  data: {name: shapes, size: 8, train: 16, test: 16}
  encoder: {name: mlp, widths: [8]}
  projector: {hidden: [8], output: 8}
  batch_size: 16
  epochs: 1
  probe: {epochs: 1}
  knn: {k: 5}
"""


def ours(expansion: Expansion) -> list[tuple[float, float]]:
    """When each trial ended, and the seconds inside it; by executor, events and MLflow."""
    ends: list[tuple[float, float]] = []

    def on_event(event: Event) -> None:
        if isinstance(event, Finished):
            assert event.outcome.status in ("completed", "collapsed"), event.outcome
            ends.append((time.perf_counter(), event.outcome.details["wall_s"]))

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        store = MlflowStore(f"sqlite:///{home / 'mlflow.db'}", artifacts=home / "artifacts")
        settings = Settings(runtime=Runtime(), checkpoints=home / "trials", resources=SweepResources())
        executor = ChildExecutor("ray", settings, logs=home / "logs")
        run_sweep(
            plan_sweep(expansion, store),
            store=store,
            executor=executor,
            info=SweepInfo(name="overhead", profile=None, provenance=Provenance(code_version="benchmark")),
            on_event=on_event,
            discard=lambda trial_id: None,
        )
        executor.close()
    return ends


def plain(trials: Sequence[TrialSpec], workers: int, *, reuse: bool) -> list[tuple[float, float]]:
    """The same of Ray Tune alone; each epoch's metrics are reported, and nothing is kept."""
    import ray
    from ray import tune

    configs, ends = [trial.config for trial in trials], list[tuple[float, float]]()

    def train(config: dict[str, int]) -> None:
        outcome = run_trial(
            configs[config["trial"]],
            runtime=Runtime(),
            folder=None,
            report=lambda message: tune.report(dict(message.metrics)),
        )
        tune.report({"wall_s": outcome.details["wall_s"]})

    class Ends(tune.Callback):  # type: ignore[misc]
        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            ends.append((time.perf_counter(), trial.last_result["wall_s"]))

    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as folder:
        tune.Tuner(
            train,
            param_space={"trial": tune.grid_search(list(range(len(configs))))},
            tune_config=tune.TuneConfig(reuse_actors=reuse),
            run_config=tune.RunConfig(storage_path=folder, verbose=0, callbacks=[Ends()]),
        ).fit()
    ray.shutdown()
    return ends


SIDES = ("orch", "Ray Tune", "Ray Tune, reuse_actors")


def measured(side: str, number: int) -> dict[str, float]:
    """What a side adds per trial, in seconds of a worker's time, and what it took."""
    workers = os.cpu_count() or 1
    expansion = expand(SweepSpec.model_validate(parse(SWEEP, "overhead")), seeds=range(number))
    trials, started = expansion.trials, time.perf_counter()
    ends = ours(expansion) if side == "orch" else plain(trials, workers, reuse=side != "Ray Tune")
    skipped = min(4 * workers, len(ends) - 1)
    wall, counted = ends[-1][0] - ends[skipped - 1][0], len(ends) - skipped
    inside = sum(seconds for _, seconds in ends[skipped:])
    return {
        "n": counted,
        "workers": workers,
        "warm_s": ends[skipped - 1][0] - started,
        "inside_s": inside / counted,
        "wall_s": wall / counted,
        "added_s": (wall * workers - inside) / counted,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--beside", action="store_true", help="plain Ray Tune, too")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.side:
        print(json.dumps(measured(asked.side, asked.trials)))
        return
    print(machine())
    found: dict[str, list[dict[str, float]]] = {}
    for _ in range(asked.rounds):
        for side in SIDES if asked.beside else SIDES[:1]:
            words = [sys.executable, __file__, "--trials", str(asked.trials), "--side", side]
            done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
            found.setdefault(side, []).append(json.loads(done.stdout.splitlines()[-1]))
    for side, rounds in found.items():
        first, added = rounds[0], [one["added_s"] for one in rounds]
        middle = {name: statistics.median(one[name] for one in rounds) for name in first}
        print(f"{side}: {len(rounds)} times {first['n']:.0f} trials on {first['workers']:.0f} workers")
        print(f"  until warm           {middle['warm_s']:.1f} s")
        print(f"  inside a trial       {middle['inside_s']:.3f} s")
        print(f"  wall time per trial  {middle['wall_s']:.3f} s")
        spread = f"{min(added):.3f}-{max(added):.3f}"
        print(f"  added per trial      {middle['added_s']:.3f} s of a worker's time ({spread})")


if __name__ == "__main__":
    main()
