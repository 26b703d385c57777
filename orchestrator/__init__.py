"""orch: typed experiment sweeps for self-supervised learning.

`from orchestrator import Sweep` is the way in from Python; `orch` is the command.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from orchestrator.errors import (
        ExecutionError,
        ExecutionLost,
        OrchError,
        SpecError,
        StoreError,
        UsageError,
    )
    from orchestrator.events import Deferred, Finished, Progressed, Started
    from orchestrator.execution.run import SweepResult
    from orchestrator.language.figure_spec import FigureSpec
    from orchestrator.language.sweep_spec import SweepSpec
    from orchestrator.language.table_spec import TableSpec
    from orchestrator.recording.reporting import report
    from orchestrator.sweep import Sweep
    from trainers.networks.kept import load_encoder

__all__ = [
    "Deferred",
    "ExecutionError",
    "ExecutionLost",
    "FigureSpec",
    "Finished",
    "OrchError",
    "Progressed",
    "SpecError",
    "Started",
    "StoreError",
    "Sweep",
    "SweepResult",
    "SweepSpec",
    "TableSpec",
    "UsageError",
    "__version__",
    "load_encoder",
    "report",
]
_HOME = {
    **dict.fromkeys(("Deferred", "Finished", "Progressed", "Started"), "orchestrator.events"),
    "FigureSpec": "orchestrator.language.figure_spec",
    "Sweep": "orchestrator.sweep",
    "SweepResult": "orchestrator.execution.run",
    "SweepSpec": "orchestrator.language.sweep_spec",
    "TableSpec": "orchestrator.language.table_spec",
    "load_encoder": "trainers.networks.kept",
    "report": "orchestrator.recording.reporting",
}


def __getattr__(name: str) -> Any:
    """Load what is asked for only now: `orch --help` must not wait for pydantic."""
    if name not in __all__:
        raise AttributeError(f"module 'orchestrator' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_HOME.get(name, "orchestrator.errors")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
