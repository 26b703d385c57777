"""Why a command failed, in one line, from how it ended and what it printed last."""

from __future__ import annotations

from collections.abc import Sequence

from trainers.attempt.command.process import Ending, signal_name
from trainers.attempt.report import ErrorClass, Outcome

LONGEST = 200
_MEMORY = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "OutOfMemoryError: CUDA",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "RESOURCE_EXHAUSTED: Out of memory",
    "hipErrorOutOfMemory",
)
"""What PyTorch, CUDA's libraries and JAX say of a GPU that is full."""


def failure(ending: Ending, tail: Sequence[str], *, limit: float | None) -> Outcome | None:
    """The outcome of a command that failed; None: it did not.

    Args:
        ending: how it ended.
        tail: what it printed last.
        limit: minutes that it had.
    """
    last = f": {tail[-1].strip()[:LONGEST]}" if tail else ", and printed nothing"
    error: ErrorClass = "memory" if any(sign in line for line in tail for sign in _MEMORY) else "code"
    if ending.error:
        return Outcome(status="failed", reason=f"could not be run: {ending.error}", error="code")
    if ending.late:
        reason = f"ran longer than its limit of {limit:g} minutes{last}"
        return Outcome(status="failed", reason=reason, error="code")
    if ending.code > 0:
        return Outcome(status="failed", reason=f"exit code {ending.code}{last}", error=error)
    if ending.code < 0:
        name = signal_name(-ending.code)
        hint = " (the system does that when memory is short)" if name == "SIGKILL" else ""
        return Outcome(status="failed", reason=f"ended by {name}{hint}{last}", error=error)
    return None
