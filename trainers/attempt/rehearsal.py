"""What a trial costs, found by training it for a moment: seconds and memory, for forecasts and packing.

A rehearsal trains the trial itself for one epoch, evaluates it as at its end, and throws everything away.
It looks at the loop from outside, through its reports and its optimizer's steps, so every loop can be
rehearsed and none is measured by a copy of itself. The process must be fresh: memory's peak is the process's.
"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainers.attempt.isolation import run_trial
from trainers.attempt.report import EpochReport
from trainers.config.base import Frozen, LoopConfig, Runtime
from trainers.config.lazy import torch
from trainers.config.plugins import behind

WARM_STEPS = 5  # steps before any is timed: kernels are chosen, memory is taken from the system
WARM_S = 1.0  # seconds of steps that decide whether a whole epoch is affordable
GIB = 2**30
CONTEXT_GIB = 1.0  # of a GPU for each process beside torch's own memory: CUDA's context, kernels, libraries


class Cost(Frozen):
    """What one trial costs on the device where it was rehearsed."""

    start_s: float
    """Seconds before the first epoch in a fresh process: loading data, waking the device."""
    epoch_s: float
    """Seconds of one epoch, with its report and checkpoint; 0 for loops without epochs."""
    end_s: float
    """Seconds after the last epoch: the evaluation."""
    step_s: float | None = None
    """Seconds of one optimizer step; None for loops without an optimizer of torch's."""
    host_gib: float
    """Largest resident memory of the process."""
    gpu_gib: float | None = None
    """Most that the process held of the GPU, CUDA's own share included; None on the CPU."""
    room_gib: float | None = None
    """What was free of the GPU before; None on the CPU."""
    whole: bool = True
    """Whether an epoch and the evaluation were really run. If not, an epoch is its steps times `step_s`,
    and the evaluation is counted as nothing."""

    def of(self, epochs: int) -> float:
        """Seconds of a trial of so many epochs, in a process that has trained one like it."""
        return epochs * self.epoch_s + self.end_s


class RehearsalError(Exception):
    """The trial failed in its rehearsal, as it would in earnest."""


class _EnoughError(BaseException):
    """Ends a rehearsal from inside the loop; no loop catches it."""


def rehearse(config: LoopConfig, *, runtime: Runtime, limit_s: float = 60.0) -> Cost:
    """What a trial of `config` costs under `runtime`, in this process.

    Args:
        config: the trial.
        runtime: where it runs.
        limit_s: the longest epoch, in seconds, that is run to its end.

    Raises:
        RehearsalError: it fails.
    """
    if why := getattr(behind(type(config)), "NOT_REHEARSED", None):
        raise RehearsalError(why)
    epochs = int(getattr(config, "epochs", None) or 0)
    short = _shortened(config, 1)
    on_gpu = torch.device(runtime.device).type == "cuda"
    room = _free_gib(runtime.device) + CONTEXT_GIB if on_gpu else None
    first = _Watch()
    first.enough = lambda: first.steps > WARM_STEPS and first.stepping_s > WARM_S
    first.run(short, runtime)
    watch, whole = first, True
    if not first.ended:  # it stopped to see whether there is time for an epoch
        count = getattr(behind(type(config)), "steps_per_epoch", None)
        steps = count(config, runtime) if count else 0
        whole = steps * first.step_s <= limit_s
        if whole:
            # The last epoch records spectra, most others do not: of two short ones the first is measured.
            if steps * first.step_s <= limit_s / 10:
                short = _shortened(config, 2)
            watch = _Watch()
            watch.enough = lambda: watch.epoch_open and watch.stepping_s > 2 * limit_s
            watch.run(short, runtime)
            whole = watch.ended
        if not whole and not steps:
            raise RehearsalError(f"its first epoch takes longer than {limit_s:.0f} s")
    return Cost(
        start_s=first.start_s if epochs else 0.0,
        epoch_s=(watch.epoch_s if whole else steps * first.step_s) if epochs else 0.0,
        end_s=(watch.end_s if epochs else watch.stopped - watch.began) if whole else 0.0,
        step_s=watch.step_s if watch.times else None,
        host_gib=_peak_gib(),
        gpu_gib=torch.cuda.max_memory_reserved(runtime.device) / GIB + CONTEXT_GIB if on_gpu else None,
        room_gib=room,
        whole=whole,
    )


def pace(config: LoopConfig, *, runtime: Runtime, ready: Callable[[], Any], window_s: float) -> float | None:
    """Optimizer steps per second within a window that begins when `ready` returns, after the first steps.

    None for loops without an optimizer of torch's. Others may train on the same device meanwhile: `ready`
    waits for them.

    Raises:
        RehearsalError: it fails.
    """
    watch = _Watch()
    window: list[tuple[float, int]] = []

    def enough() -> bool:
        if watch.steps == WARM_STEPS:
            ready()
            _settle(runtime.device)
            window.append((time.perf_counter(), watch.steps))
        return bool(window) and time.perf_counter() - window[0][0] > window_s

    watch.enough = enough
    watch.run(config, runtime)
    if not window:
        return None
    _settle(runtime.device)
    began, steps = window[0]
    return (watch.steps - steps) / (time.perf_counter() - began)


def _shortened(config: LoopConfig, epochs: int) -> LoopConfig:
    """`config` with at most so many epochs; not validated, for its warm-up may now be longer than it."""
    own = int(getattr(config, "epochs", None) or 0)
    return config.model_copy(update={"epochs": min(own, epochs)}) if own else config


class _Watch:
    """Times the steps and reports of one run of a loop, and ends it when that is `enough`."""

    def __init__(self) -> None:
        self.enough: Callable[[], bool] = lambda: False
        self.times: list[float] = []
        """When each optimizer step of the training was done."""
        self.steps = 0
        self.reports: list[float] = []
        self.epoch_open = True
        self.ended = False
        self.began = self.stopped = 0.0

    def run(self, config: LoopConfig, runtime: Runtime) -> None:
        """Train until the end, or until it is enough."""
        from torch.optim.optimizer import register_optimizer_step_post_hook

        self.began = time.perf_counter()
        handle = register_optimizer_step_post_hook(self._stepped)
        try:
            with tempfile.TemporaryDirectory(prefix="orch-rehearsal-") as folder:
                outcome = run_trial(config, runtime=runtime, folder=Path(folder), report=self._reported)
        except _EnoughError:
            return
        finally:
            handle.remove()
            self.stopped = time.perf_counter()
        if outcome.status == "failed":
            raise RehearsalError(outcome.reason or "no reason")
        self.ended = True

    def _stepped(self, *_: Any) -> None:
        if not self.epoch_open:
            return  # the evaluation has an optimizer, too
        self.steps += 1
        self.times.append(time.perf_counter())
        if self.enough():
            raise _EnoughError

    def _reported(self, message: EpochReport) -> None:
        self.reports.append(time.perf_counter())
        self.epoch_open = message.epoch < message.epochs

    @property
    def start_s(self) -> float:
        """Until the loop's first report, which comes before its first epoch."""
        return (self.reports[0] if self.reports else self.stopped) - self.began

    @property
    def stepping_s(self) -> float:
        """Since the first step."""
        return time.perf_counter() - self.times[0]

    @property
    def step_s(self) -> float:
        """Of one step, in the middle of those after the first."""
        gaps = [b - a for a, b in zip(self.times, self.times[1:], strict=False)]
        return statistics.median(gaps[WARM_STEPS:] or gaps or [0.0])

    @property
    def epoch_s(self) -> float:
        """Between the report before an epoch and the one after it."""
        return self.reports[1] - self.reports[0] if len(self.reports) > 1 else 0.0

    @property
    def end_s(self) -> float:
        """After the last report."""
        return self.stopped - self.reports[-1] if self.reports else 0.0


def _settle(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def _free_gib(device: str) -> float:
    return float(torch.cuda.mem_get_info(device)[0] / GIB)


def _peak_gib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak / GIB if sys.platform == "darwin" else peak * 1024 / GIB)
