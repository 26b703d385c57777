"""One driver under load, measured: `run_sweep`, the executor, Tune and a store as they are, trials pretended.

    python benchmarks/scaling_driver.py '{"trials": 1000, "width": 2, ...}'    # fields of `Case`

Prints one JSON object. `scaling.py` runs this once for each point, so that no point inherits memory,
threads or a Ray from another.

The processor time of the driver's main thread is split where the work is done:

    tune     the rest: its controller, and Ray's calls in that thread
    wait     ray.wait over one pending answer of every running trial
    get      ray.get, which unpacks an answer
    listen   our listener, without what it tells
    record   `run_sweep` and the store: the line in the journal, by MLflow nothing, which has its own thread
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import ray
from scaling_trials import SENT, Pace, alone, hosted

from orchestrator.errors import Interrupted
from orchestrator.events import Event, Finished, Progressed, Started
from orchestrator.execution.ray import executor as ray_tune
from orchestrator.execution.run import run_sweep
from orchestrator.language.sweep_spec import SweepResources, SweepSpec
from orchestrator.language.yaml_text import parse
from orchestrator.planning.expand import Expansion, expand
from orchestrator.planning.plan import make_plan
from orchestrator.recording.journal.store import JournaledStore
from orchestrator.recording.mlflow.store import MlflowStore
from orchestrator.recording.store_port import Store
from orchestrator.records import Provenance, SweepInfo
from trainers.config.base import Runtime

SWEEP = """
version: 1
name: scaling
base:
  trainer: ssl
  method: {name: byol, predictor: {hidden: 8}}
  data: {name: shapes, size: 8, train: 16, test: 16}
  encoder: {name: mlp, widths: [8]}
"""
INFO = SweepInfo(name="scaling", profile=None, provenance=Provenance(code_version="benchmark"))
HOSTS_FOR = 250  # hosted trials in one process
FILLED = 300.0  # seconds in which all trials must have begun


class Case(NamedTuple):
    """One point of a measurement."""

    trials: int
    width: int
    """Trials that run at once."""
    trial: str = "hosted"
    """Where they live: "hosted" or "alone"."""
    store: str = "none"
    """Or "journal" (with nothing behind it) or "mlflow" (behind the journal, SQLite)."""
    epochs: int = 1
    rates: tuple[float, ...] = ()
    """Reports per second of all trials together, one after another; 0 for as many as go. Then the sweep is
    interrupted. Empty: the sweep runs to its end, and trials last no time."""
    phase_s: float = 15.0


def expansion_of(trials: int) -> Expansion:
    """A sweep of so many trials that differ in their seeds."""
    return expand(SweepSpec.model_validate(parse(SWEEP, "scaling")), seeds=range(trials))


class Clock:
    """Processor time of the main thread by part, each without the parts inside it."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self._inside: list[float] = []

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, its time counted as `part`."""

        def measured(*arguments: Any, **named: Any) -> Any:
            if threading.current_thread() is not threading.main_thread():
                return function(*arguments, **named)
            self._inside.append(0.0)
            begun = time.thread_time()
            try:
                return function(*arguments, **named)
            finally:
                taken = time.thread_time() - begun
                self.spent[part] += taken - self._inside.pop()
                if self._inside:
                    self._inside[-1] += taken

        return measured


class Look(NamedTuple):
    """The driver at one moment."""

    at: float
    cpu: float
    main: float
    carrier: float
    parts: dict[str, float]
    reports: int
    told: int
    carried: int
    memory_mb: float
    head: float


class Driver:
    """What is counted while a sweep runs."""

    def __init__(self, store: JournaledStore | None) -> None:
        self.clock, self.store = Clock(), store
        self.main = threading.main_thread().ident
        self.begun = time.monotonic()
        self.reports = self.told = 0
        self.started: list[float] = []
        self.ended: list[tuple[float, float]] = []  # when, and the main thread's processor time
        self.lags: list[float] = []
        self.memory: list[float] = []
        self.enough = False

    def look(self) -> Look:
        """How far it is, and what it has spent."""
        carriers = [one for one in threading.enumerate() if one.name == "orch-journal"]
        return Look(
            at=time.monotonic() - self.begun,
            cpu=time.process_time(),
            main=_thread_cpu(self.main),
            carrier=sum(_thread_cpu(one.ident) for one in carriers),
            parts=dict(self.clock.spent),
            reports=self.reports,
            told=self.told,
            carried=self.store.carried if self.store else 0,
            memory_mb=memory_mb(),
            head=_head_cpu(),
        )

    def on_event(self, event: Event) -> None:
        """Called by `run_sweep` after the event was recorded."""
        now = time.monotonic()
        self.told += 1
        if isinstance(event, Progressed):
            self.reports += 1
            self.lags.append(now - event.report.metrics[SENT])
        elif isinstance(event, Started):
            self.started.append(now - self.begun)
        elif isinstance(event, Finished) and not self.enough:
            if event.outcome.status == "failed":
                raise SystemExit(f"a pretended trial failed: {event.outcome.reason}")
            self.ended.append((now - self.begun, time.thread_time()))
            if len(self.ended) % 100 == 1:
                self.memory.append(memory_mb())
        if self.enough and not isinstance(event, Finished):
            raise Interrupted


def _thread_cpu(ident: int | None) -> float:
    return time.clock_gettime(time.pthread_getcpuclockid(ident)) if ident else 0.0


def memory_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _head_cpu() -> float:
    """Processor time of the GCS server and the raylet, which are this process's children."""
    spent = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
            fields = rest.split()
            if name in ("gcs_server", "raylet") and int(fields[1]) == os.getpid():
                spent += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return spent


@contextlib.contextmanager
def _clocked(clock: Clock) -> Iterator[None]:
    """Inside, Tune's and our parts of the main thread are told apart."""
    listener = ray_tune.Listener
    parts = [
        (ray, "wait", "wait"),
        (ray, "get", "get"),
        (listener, "on_trial_result", "listen"),
        (listener, "_tell", "record"),
    ]
    kept = [(owner, name, getattr(owner, name)) for owner, name, _ in parts]
    for owner, name, part in parts:
        setattr(owner, name, clock.timed(part, getattr(owner, name)))
    try:
        yield
    finally:
        for owner, name, function in kept:
            setattr(owner, name, function)


def measure(case: Case) -> dict[str, Any]:
    """Run one case from start to end, in a Ray of its own."""
    expansion = expansion_of(case.trials)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        home = Path(name)
        store = _store(case.store, home)
        ray.init(
            address="local",
            num_cpus=case.width + 1,
            num_gpus=case.width,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=200_000_000,
            _system_config={"prestart_worker_first_driver": False},
        )
        try:
            return _run(case, expansion, store, home)
        finally:
            ray.shutdown()
            if store:
                store.close()


class Nowhere:
    """A store that keeps nothing, so that memory and time are the driver's own."""

    def begin(self, *_: Any, **__: Any) -> None: ...  # noqa: D102 - the port's
    def report(self, *_: Any) -> None: ...  # noqa: D102
    def finish(self, *_: Any) -> None: ...  # noqa: D102
    def flush(self) -> None: ...  # noqa: D102
    def records(self, trial_ids: Any) -> dict[str, Any]:  # noqa: D102
        return {}


class Unwaited:
    """A journal that nobody waits for in the end: what arrives while trials run is what is measured."""

    def __init__(self, store: JournaledStore) -> None:
        self.begin, self.report, self.finish = store.begin, store.report, store.finish
        self.flush, self.records = Nowhere().flush, Nowhere().records


def _store(kind: str, home: Path) -> JournaledStore | None:
    if kind == "none":
        return None
    nowhere: Any = Nowhere()

    def connect() -> Store:
        if kind == "journal":
            return nowhere
        return MlflowStore(f"sqlite:///{home / 'mlflow.db'}", artifacts=home / "artifacts")

    return JournaledStore(connect, root=home / "journal", name="scaling")


def _run(case: Case, expansion: Expansion, store: JournaledStore | None, home: Path) -> dict[str, Any]:
    driver = Driver(store)
    pace = Pace(case.epochs, home / "period")
    pace.set(_period(case, case.rates[0] if case.rates else 0))
    place = (
        alone(pace)
        if case.trial == "alone"
        else hosted(pace, hosts=-(-case.width // HOSTS_FOR), most=case.width)
    )
    executor = ray_tune.RayExecutor(runtime=Runtime(), folder=home / "trials", resources=SweepResources())
    phases = Phases(case, driver, pace)
    with place, _clocked(driver.clock):
        plan = make_plan(expansion, {})
        driver.begun = time.monotonic()
        before = driver.look()
        if case.rates:
            phases.start()
        run_sweep(
            plan,
            store=Unwaited(store) if store else Nowhere(),
            executor=executor,
            info=INFO,
            on_event=driver.on_event,
            discard=lambda trial_id: None,
        )
        after = driver.look()
    result = {"case": case._asdict(), "first_s": driver.started[0], "whole": _between(before, after, [])}
    if not case.rates:
        return result | _queue(driver, after.at)
    if phases.filled is None:
        raise SystemExit(f"{case}: not all trials began within {FILLED:.0f} s")
    result["filled_s"] = phases.filled.at
    result["fill"] = _between(before, phases.filled, [])
    result["phases"] = [
        {"rate": rate} | _between(*looks) for rate, looks in zip(case.rates, phases.looks, strict=True)
    ]
    return result


def _period(case: Case, rate: float) -> float:
    return case.width / rate if rate else 0.0


class Phases(threading.Thread):
    """Lets trials report at one rate after another, looks at the driver before and after, and ends it all."""

    def __init__(self, case: Case, driver: Driver, pace: Pace) -> None:
        super().__init__(daemon=True)
        self.case, self.driver, self.pace = case, driver, pace
        self.filled: Look | None = None
        """When all trials had begun."""
        self.looks: list[tuple[Look, Look, list[float]]] = []
        """For each rate: before, after, and the lags in between."""

    def run(self) -> None:  # noqa: D102 - a thread's own name
        driver, begun, period = self.driver, time.monotonic(), 0.0
        while len(driver.started) < self.case.width and time.monotonic() - begun < FILLED:
            time.sleep(0.1)
        if len(driver.started) >= self.case.width:
            self.filled = driver.look()
            for rate in self.case.rates:
                settle, period = period, _period(self.case, rate)
                self.pace.set(period)
                time.sleep(1 + settle)  # until every trial has come to the end of its old period
                number, look = len(driver.lags), driver.look()
                time.sleep(self.case.phase_s)
                self.looks.append((look, driver.look(), driver.lags[number:]))
        driver.enough = True


def _between(before: Look, after: Look, lags: list[float]) -> dict[str, Any]:
    """What happened between two looks; parts of the main thread's time in seconds."""
    seconds, reports = after.at - before.at, after.reports - before.reports
    parts = {p: after.parts[p] - before.parts.get(p, 0.0) for p in after.parts}
    main = after.main - before.main
    parts = {"tune": main - sum(parts.values()), **parts}
    found = {
        "seconds": seconds,
        "reports": reports,
        "reports_per_s": reports / seconds,
        "main_share": main / seconds,
        "carrier_share": (after.carrier - before.carrier) / seconds,
        "process_share": (after.cpu - before.cpu) / seconds,
        "head_share": (after.head - before.head) / seconds,
        "main_s": parts,
        "told_per_s": (after.told - before.told) / seconds,
        "carried_per_s": (after.carried - before.carried) / seconds,
        "waiting": after.told - after.carried,
        "memory_mb": after.memory_mb,
    }
    if lags:
        found["lag_ms"] = [1000 * float(value) for value in np.quantile(lags, (0.5, 0.99))]
    return found


def _queue(driver: Driver, over: float) -> dict[str, Any]:
    """How a sweep went that ran to its end."""
    ends = driver.ended
    tenth = max(1, len(ends) // 10)
    early, late = ends[tenth : 2 * tenth + 1], ends[-tenth - 1 :]
    marks = range(0, len(ends) - 1, max(1, len(ends) // 50))
    return {
        "ended": len(ends),
        "run_s": over,
        "last_s": ends[-1][0],
        "wall_s_per_trial": [(part[-1][0] - part[0][0]) / (len(part) - 1) for part in (early, late)],
        "main_s_per_trial": [(part[-1][1] - part[0][1]) / (len(part) - 1) for part in (early, late)],
        "ends": [(number, *ends[number]) for number in marks],
        "memory_mb": driver.memory[:1] + driver.memory[-1:],
    }


def main() -> None:
    asked = json.loads(sys.argv[1])
    asked["rates"] = tuple(asked.get("rates", ()))
    random.seed(0)
    print(json.dumps(measure(Case(**asked))))


if __name__ == "__main__":
    main()
