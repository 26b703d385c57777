"""Runs one trial so that the next in the same process starts clean, and turns its errors into outcomes.

A warm worker trains one trial after another. Whatever a trial changes in the process (random states,
threads, flags, environment, GPU memory) is put back, so its neighbours cannot tell that it was there.
"""

from __future__ import annotations

import contextlib
import gc
import os
import random
import traceback
from collections.abc import Iterator
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from trainers.attempt import checkpoint
from trainers.attempt.folders import Folder, StorageError
from trainers.attempt.report import ErrorClass, Outcome, Report
from trainers.attempt.source import files_of, imported
from trainers.config.base import LoopConfig, Runtime
from trainers.config.lazy import torch
from trainers.config.plugins import behind
from trainers.datasets.base import MissingDataError

TRACEBACK = "traceback"
"""Name of a failure's traceback among the details of its outcome."""


def run_trial(config: LoopConfig, *, runtime: Runtime, folder: Folder | None, report: Report) -> Outcome:
    """The outcome of one trial; an error in its code is a `failed` outcome, never an exception.

    Args:
        config: the trial.
        runtime: where and how it runs.
        folder: the trial's own folder for checkpoints; None keeps nothing.
        report: called after each epoch.
    """
    with clean_process(threads=runtime.threads):
        try:
            origin = _origin(config)  # before the training, in which files may change
            outcome: Outcome = behind(type(config)).fit(config, runtime=runtime, folder=folder, report=report)
            return outcome.model_copy(update={"details": origin | outcome.details})
        except MissingDataError as error:
            return Outcome(status="failed", reason=_printable(str(error)), error="data")
        except StorageError as error:
            return Outcome(status="failed", reason=_printable(str(error)), error="storage")
        except (Exception, SystemExit) as error:
            return _failed(error, "memory" if _is_out_of_gpu_memory(error) else "code")


@contextlib.contextmanager
def clean_process(*, threads: int) -> Iterator[None]:
    """Inside, torch has `threads` threads and its defaults; after, the process is as it was before."""
    environment, folder = dict(os.environ), _working_folder()
    python_state, numpy_state = random.getstate(), np.random.get_state()
    torch_state, torch_threads = torch.get_rng_state(), torch.get_num_threads()
    dtype, grad = torch.get_default_dtype(), torch.is_grad_enabled()
    deterministic = torch.are_deterministic_algorithms_enabled()
    benchmark = torch.backends.cudnn.benchmark
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)
    try:
        # NumPy's BLAS has threads of its own, which torch does not know of; sums over them round differently.
        with threadpool_limits(threads):
            torch.set_num_threads(threads)
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)
        torch.set_num_threads(torch_threads)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)
        torch.use_deterministic_algorithms(deterministic)
        torch.backends.cudnn.benchmark = benchmark
        os.environ.clear()
        os.environ.update(environment)
        with contextlib.suppress(FileNotFoundError):  # somebody has removed it meanwhile
            os.chdir(folder)
        gc.collect()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            with contextlib.suppress(RuntimeError):  # after an error of the GPU itself nothing works any more
                torch.cuda.empty_cache()


def _working_folder() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # somebody has removed it
        return "/"


def usable(device: str) -> bool:
    """Whether this process can still use `device`: an illegal access on a GPU spoils it for good."""
    try:
        if torch.device(device).type == "cuda" and torch.cuda.is_initialized():
            torch.cuda.synchronize(device)
    except RuntimeError:
        return False
    return True


def discard_checkpoints(folder: Folder) -> None:
    """Remove a finished trial's checkpoints, as far as this user may; other files stay."""
    with contextlib.suppress(OSError):
        checkpoint.clear(folder)


def _origin(config: LoopConfig) -> dict[str, Any]:
    """The code that a result is from, as far as it can be read."""
    with contextlib.suppress(OSError, UnicodeError):
        return {"source": imported(files_of(config))}
    return {}


def _is_out_of_gpu_memory(error: BaseException) -> bool:
    """Whether torch's allocator, CUDA itself or one of its libraries found no room."""
    signs = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(sign in str(error) for sign in signs)


def _printable(text: str) -> str:
    """`text` as UTF-8 can hold it: names of files may be in any encoding."""
    return text.encode("utf-8", "backslashreplace").decode()


def _failed(error: BaseException, kind: ErrorClass) -> Outcome:
    text = _printable(" ".join(str(error).split())) or "no message"
    return Outcome(
        status="failed",
        reason=f"{type(error).__name__}: {text[:300]}",
        error=kind,
        details={TRACEBACK: _printable(traceback.format_exc())},
    )
