"""Which profile of a sweep is meant where nobody says."""

from __future__ import annotations

from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.language.hints import nearest
from orchestrator.language.sweep_spec import SweepSpec
from orchestrator.planning.data import missing_data
from orchestrator.planning.expand import expand
from orchestrator.process.machine import has_gpu


def choose_profile(spec: SweepSpec, requested: str, *, data_root: Path | None) -> tuple[str | None, str]:
    """The profile to use and why, in a few words.

    "auto" takes "paper" when a GPU and the data are there, else "laptop", else the only one.

    Raises:
        UsageError: the sweep has no profile of that name.
    """
    if requested != "auto":
        if requested not in spec.profiles:
            raise UsageError(
                f"no profile '{requested}' in sweep '{spec.name}'; {nearest(requested, spec.profiles)}"
            )
        return requested, "as asked"
    if not spec.profiles:
        return None, "the sweep has none"
    if "paper" in spec.profiles and has_gpu():
        missing = next(missing_data(expand(spec, profile="paper").trials, data_root), None)
        if missing is None:
            return "paper", "a GPU and the data are here"
        why = f"paper's data is not here: {missing}"
    else:
        why = "no GPU found"
    if "laptop" in spec.profiles:
        return "laptop", f"{why}; --profile {_others(spec, 'laptop')}" if len(spec.profiles) > 1 else why
    first = next(iter(spec.profiles))
    return first, "the first in the file"


def _others(spec: SweepSpec, chosen: str) -> str:
    return " or ".join(name for name in spec.profiles if name != chosen)
