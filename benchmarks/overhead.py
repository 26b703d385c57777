"""What orchestration adds to a trial: Ray Tune on warm workers, events, MLflow on SQLite. No claim without n.

    python benchmarks/overhead.py [--trials 100]

Trains many trials that cost almost nothing through the same code as `orch sweep`, and compares the wall
time with the time that the trials themselves took on the workers:

    added per trial = (wall time × workers - Σ time inside trials) / trials

over all trials but the first four of each worker, in which Ray and torch start.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from benchmarks_machine import machine

from orchestrator.events import Event, Finished
from orchestrator.execution.child.executor import ChildExecutor
from orchestrator.execution.child.messages import Settings
from orchestrator.execution.run import plan_sweep, run_sweep
from orchestrator.language.resources import SweepResources
from orchestrator.language.sweep_spec import SweepSpec
from orchestrator.language.yaml_text import parse
from orchestrator.planning.expand import expand
from orchestrator.recording.mlflow.store import MlflowStore
from orchestrator.records import Provenance, SweepInfo
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    number = parser.parse_args().trials
    workers = os.cpu_count() or 1
    spec = SweepSpec.model_validate(parse(SWEEP, "overhead"))
    expansion = expand(spec, seeds=range(number))
    ends: list[tuple[float, float]] = []  # (when it ended, seconds inside)

    def on_event(event: Event) -> None:
        if isinstance(event, Finished):
            assert event.outcome.status in ("completed", "collapsed"), event.outcome
            ends.append((time.perf_counter(), event.outcome.details["wall_s"]))

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        store = MlflowStore(f"sqlite:///{home / 'mlflow.db'}", artifacts=home / "artifacts")
        started = time.perf_counter()
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
    skipped = min(4 * workers, len(ends) - 1)
    wall = ends[-1][0] - ends[skipped - 1][0]
    inside = sum(seconds for _, seconds in ends[skipped:])
    counted = len(ends) - skipped
    print(machine())
    print(f"n = {counted} trials on {workers} workers, {ends[skipped - 1][0] - started:.1f} s until warm")
    print(f"inside a trial       {inside / counted:.3f} s")
    print(f"wall time per trial  {wall / counted:.3f} s")
    print(f"added per trial      {(wall * workers - inside) / counted:.3f} s of a worker's time")


if __name__ == "__main__":
    main()
