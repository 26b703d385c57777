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
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import to_jsonable_python
from threadpoolctl import threadpool_limits

from trainers.attempt import checkpoint
from trainers.attempt.command.numbers import name_fault
from trainers.attempt.flags import flags, put_back
from trainers.attempt.folders import Folder, StorageError
from trainers.attempt.report import EpochReport, ErrorClass, Outcome, Report
from trainers.attempt.source import files_of, imported
from trainers.config.base import LoopConfig, Runtime
from trainers.config.lazy import torch
from trainers.config.plugins import behind
from trainers.datasets.base import MissingDataError

TRACEBACK = "traceback"
"""Name of a failure's traceback among the details of its outcome."""


class _Collapse(BaseModel):
    verdict: Literal["none", "dimensional", "total"] | None = None


class _Left(BaseModel):
    model_config = ConfigDict(strict=True)

    sha256: str | None = None


class _Told(BaseModel):
    """Details of which records, logs and the screen are made, where an outcome has them."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, title="Outcome.details")

    collapse: _Collapse = _Collapse()
    encoder: _Left = _Left()
    imported: None = None  # which says of a result that it was not trained here
    traceback: str | None = None
    source: dict[str, str] = {}
    output: list[str] = []
    warnings: list[str] = []
    data_fingerprint: str | None = None
    streams_fingerprint: str | None = None
    data_listing: str | None = None
    wall_s: float | None = None


def run_trial(
    config: LoopConfig,
    *,
    runtime: Runtime,
    folder: Folder | None,
    report: Report,
    anew: str | None = None,
) -> Outcome:
    """The outcome of one trial; an error in its code is a `failed` outcome, never an exception.

    Args:
        config: the trial.
        runtime: where and how it runs.
        folder: the trial's own folder for checkpoints; None keeps nothing.
        report: called after each epoch.
        anew: marks a beginning from no checkpoint of an earlier one; with the same mark it goes on later.
    """
    left_out: dict[str, str] = {}  # why, by name of a metric that no store takes

    def named(numbers: dict[str, float]) -> dict[str, float]:
        left_out.update({name: why for name in numbers if (why := name_fault(name))})
        return {name: value for name, value in numbers.items() if name not in left_out}

    def tell(message: EpochReport) -> None:
        metrics = named(message.metrics)
        same = len(metrics) == len(message.metrics)
        report(message if same else message.model_copy(update={"metrics": metrics}))

    with clean_process(threads=runtime.threads):
        try:
            if folder is not None and anew is not None:
                checkpoint.begin_anew(folder, anew)
            origin = _origin(config)  # before the training, in which files may change
            outcome = behind(type(config)).fit(config, runtime=runtime, folder=folder, report=tell)
            if not isinstance(outcome, Outcome):
                got = type(outcome).__name__
                raise TypeError(f"`fit` of trainer {config.trainer} returned {got}, expected an Outcome")
            details, metrics = _written(origin | outcome.details), named(outcome.metrics)
            if left_out:
                told = [f"metric {name[:60]!a} is left out: {why}" for name, why in left_out.items()]
                details["warnings"] = [*details.get("warnings", ()), *told[:20]]
            return outcome.model_copy(update={"details": details, "metrics": metrics})
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
    torch_flags = flags()
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
        put_back(torch_flags)
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
        checkpoint.clear(folder, hasty=True)


def _origin(config: LoopConfig) -> dict[str, Any]:
    """The code that a result is from, as far as it can be read."""
    with contextlib.suppress(OSError, UnicodeError):
        return {"source": imported(files_of(config))}
    return {}


def _written(details: dict[str, Any]) -> dict[str, Any]:
    """`details` as JSON has them: of what is none, the words by which Python shows it.

    Raises:
        ValidationError: one of those that records are made of is of another kind.
    """

    def shown(value: Any) -> Any:
        return value.tolist() if isinstance(value, np.generic | np.ndarray) else repr(value)

    written: dict[str, Any] = to_jsonable_python(details, fallback=shown, bytes_mode="base64")
    _Told.model_validate(written)
    return written


def _is_out_of_gpu_memory(error: BaseException) -> bool:
    """Whether torch's allocator, CUDA itself or one of its libraries found no room."""
    signs = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(sign in _words(error) for sign in signs)


def _words(error: BaseException) -> str:
    """What an error says; one whose own words fail, too, is still that trial's and nobody else's."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        at = ".".join(map(str, (error.title, *first["loc"])))
        return f"{at}: got {repr(first['input'])[:60]}; {first['msg']}"
    try:
        return str(error)
    except Exception as second:
        return f"its message cannot be read ({type(second).__name__})"


def _printable(text: str) -> str:
    """`text` as UTF-8 can hold it: names of files may be in any encoding."""
    return text.encode("utf-8", "backslashreplace").decode()


def _failed(error: BaseException, kind: ErrorClass) -> Outcome:
    text = _printable(" ".join(_words(error).split())) or "no message"
    return Outcome(
        status="failed",
        reason=f"{type(error).__name__}: {text[:300]}",
        error=kind,
        details={TRACEBACK: _printable(traceback.format_exc())},
    )
