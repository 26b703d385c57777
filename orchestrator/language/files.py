"""Sweep files on this disk."""

from __future__ import annotations

from pathlib import Path

from orchestrator.errors import Problem, SpecError
from orchestrator.language.load import load
from orchestrator.language.sweep_spec import SweepSpec


def load_sweep(file: Path) -> SweepSpec:
    """The sweep in `file`; a file it extends is looked up beside it."""
    return load(str(file), _read)


def sweep_files(file: Path) -> dict[Path, str]:
    """The texts of `file` and of every file it extends, by path."""
    found: dict[Path, str] = {}

    def read(name: str, child: str | None) -> tuple[str, str]:
        path, text = _read(name, child)
        found[Path(path)] = text
        return path, text

    load(str(file), read)
    return found


def _read(name: str, child: str | None) -> tuple[str, str]:
    path = Path(name) if child is None else Path(child).parent / name
    place = str(path) if child is None else child
    try:
        return str(path), path.read_text(encoding="utf-8")
    except FileNotFoundError:
        hint = "; see sweeps/ for examples" if child is None else f" (extended by {child})"
        raise SpecError([Problem(place, "", f"no such file: {path}{hint}")]) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise SpecError([Problem(place, "", f"cannot be read: {reason}")]) from None
