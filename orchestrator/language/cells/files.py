"""Names of the files of commands in the settings of a sweep file, wherever it says them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator.language.cells.axes import as_labelled
from orchestrator.language.cells.chains import inside

_TOLD = ("files", "trainer")


def files_from(tree: dict[str, Any], change: Callable[[Any], Any]) -> None:
    """Change how a sweep file names the files of commands, wherever it does."""
    for one in inside(tree):
        files_from(one, change)
    parts = [tree.get("base"), *_values(tree.get("profiles"))]
    axes: Any = tree.get("axes")
    for name, axis in axes.items() if isinstance(axes, dict) else ():
        if isinstance(axis, dict) and (axis.get("path") in _TOLD or _zips(axis)):
            axes[name] = axis = as_labelled(axis)  # its labels are those of the names as they are written
        parts += _values(axis.get("levels", axis) if isinstance(axis, dict) else None)
    given = [part for part in parts if isinstance(part, dict)]
    trainers = {part["trainer"] for part in given if isinstance(part.get("trainer"), str)}
    if trainers and "command" not in trainers:
        return  # another trainer may have a field of that name
    for part in given:
        if isinstance(part.get("files"), list):
            part["files"] = [change(entry) for entry in part["files"]]


def _zips(axis: dict[str, Any]) -> bool:
    columns = axis.get("zip")
    return isinstance(columns, dict) and any(path in columns for path in _TOLD)


def _values(tree: Any) -> list[Any]:
    return list(tree.values()) if isinstance(tree, dict) else []
