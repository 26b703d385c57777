"""What the driver asks of the store and of the nodes, by their number: records, claims, entries, looks.

    python benchmarks/scaling_stores.py runs 300 1000 10000    # runs in MLflow on SQLite
    python benchmarks/scaling_stores.py nodes 8                # fake nodes: real raylets, all on this machine

Prints one JSON object a line; `scaling.py` calls both. Of the runs, the first twenty are told through the
store as a sweep tells them; the others are copies of their rows under other names.
"""

from __future__ import annotations

import json
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cloned_runs import clone
from scaling_driver import INFO, expansion_of, memory_mb
from scaling_trials import messages

from orchestrator.events import Finished, Progressed
from orchestrator.execution.ray import cluster as ray_cluster
from orchestrator.execution.ray import nodes as ray_nodes
from orchestrator.execution.run import plan_sweep
from orchestrator.planning.trials import TrialSpec
from orchestrator.process.driver import this_driver
from orchestrator.recording.claims.shared import SharedClaims
from orchestrator.recording.mlflow.reader import SqliteReader
from orchestrator.recording.mlflow.registry import MlflowRegistry
from orchestrator.recording.mlflow.store import MlflowStore

TOLD = 20  # runs that the others are copies of
EPOCHS = 5
REPEATS = 5


def runs(sizes: Sequence[int]) -> None:
    """Print what reading and writing cost while the store has so many runs."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        uri = f"sqlite:///{home / 'mlflow.db'}"
        store = MlflowStore(uri, artifacts=home / "artifacts")
        trials = expansion_of(max(sizes) + REPEATS * len(sizes)).trials
        fresh = list(trials[max(sizes) :])
        for trial in trials[:TOLD]:
            tell(store, trial)
        there = TOLD
        for size in sizes:
            clone(home / "mlflow.db", trials[0].id, [trial.id for trial in trials[there:size]])
            there = size
            expansion = expansion_of(size)
            before = memory_mb()
            read, plan = timed(lambda: plan_sweep(expansion, store))  # noqa: B023
            assert len(plan.done) == size, (len(plan.done), size)
            after = memory_mb()
            ids = [trial.id for trial in expansion.trials]
            without, records = timed(lambda: SqliteReader(home / "mlflow.db", name="").records(ids))  # noqa: B023
            assert len(records) == size
            steps = [tell(store, fresh.pop()) for _ in range(REPEATS)]
            found = {"runs": size, "plan_s": read, "plan_mb": after - before, "read_s": without}
            found |= {name: statistics.median(step[name] for step in steps) for name in steps[0]}
            print(json.dumps(found | claims(uri, ids)), flush=True)


def tell(store: MlflowStore, trial: TrialSpec) -> dict[str, float]:
    """Seconds that each kind of a trial's entries takes."""
    begun, _ = timed(lambda: store.begin(trial.facts, INFO, worker="host:1"))
    reports: list[float] = []
    ended = 0.0
    for events in messages(trial.id, EPOCHS):
        for event in events:
            if isinstance(event, Progressed):
                store.report(trial.id, event.report)
                reports.append(timed(store.flush)[0])
            elif isinstance(event, Finished):
                ended, _ = timed(lambda: store.finish(trial.id, event.outcome, INFO))  # noqa: B023
    return {"begin_s": begun, "report_s": statistics.median(reports), "finish_s": ended}


def claims(uri: str, names: list[str]) -> dict[str, float]:
    """Seconds to claim all these trials while another driver has as many others, and for one heartbeat."""
    other = SharedClaims(MlflowRegistry(uri), me=this_driver("other"))
    other.take([f"{number:012x}" for number in range(len(names))])
    mine = SharedClaims(MlflowRegistry(uri), me=this_driver("mine"))
    taken, _ = timed(lambda: mine.take(names))
    beats = [timed(mine.beat)[0] for _ in range(REPEATS)]
    mine.release()
    other.release()
    return {"claim_s": taken, "beat_s": statistics.median(beats)}


def nodes(number: int) -> None:
    """Print what looking over so many nodes costs: first, with a worker to start on each, and again."""
    import ray
    from ray.cluster_utils import Cluster

    logging.disable(logging.CRITICAL)
    ray_cluster.quiet()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        for _ in range(number - 1):
            cluster.add_node(num_cpus=1, num_gpus=8)
        ray.init(address=cluster.address, log_to_driver=False)
        with tempfile.TemporaryDirectory() as name:
            cpu = time.process_time()
            cold, _ = timed(lambda: ray_nodes.check_nodes(Path(name), shipped=False))
            spent = time.process_time() - cpu
            warm = [
                timed(lambda: ray_nodes.check_nodes(Path(name), shipped=False))[0] for _ in range(REPEATS)
            ]
        found = {"nodes": len(ray_nodes.alive()), "cold_s": cold, "cold_cpu_s": spent}
        found["warm_s"] = statistics.median(warm)
        print(json.dumps(found), flush=True)
    finally:
        ray.shutdown()
        cluster.shutdown()


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Wall seconds, and the answer."""
    begun = time.perf_counter()
    answer = function()
    return time.perf_counter() - begun, answer


def main() -> None:
    what, *numbers = sys.argv[1:]
    if what == "runs":
        runs([int(number) for number in numbers])
    else:
        nodes(int(numbers[0]))


if __name__ == "__main__":
    main()
