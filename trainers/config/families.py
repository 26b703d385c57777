"""Families of files: dropping one into a package is its registration; there is no list to edit."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from types import ModuleType

SINGULAR = {
    "methods": "method",
    "encoders": "encoder",
    "datasets": "data set",
    "optimizers": "optimizer",
    "loops": "trainer",
}
"""Families of the trainers' plug-ins, and what one of each is called."""
SHOWN = {"figures": "figure kind", "formats": "table format"}
"""Families of what shows results, which are drawn and written where no trial runs."""
INSIDE = {"evaluations": "evaluation"}
"""Families that are part of another room's, and of which nobody brings others."""
CALLED = SINGULAR | SHOWN


def package_of(kind: str) -> str:
    """The package that a family's own files are in."""
    if kind in INSIDE:
        return f"trainers.measures.{kind}"
    return f"trainers.{kind}" if kind in SINGULAR else f"orchestrator.answer.{kind}"


@functools.cache
def members(package: str) -> tuple[str, ...]:
    """The names of all files of a family, sorted: those of a package but `base` and what begins with _."""
    path = importlib.import_module(package).__path__
    found = (one.name for one in pkgutil.iter_modules(path))
    return tuple(sorted(name for name in found if name != "base" and not name.startswith("_")))


def module(package: str, name: str) -> ModuleType:
    """The member of a family, by a name that it has."""
    return importlib.import_module(f"{package}.{name}")
