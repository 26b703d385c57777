"""From the text of a sweep file, and of those it extends, to its spec."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.errors import Problem, SpecError
from orchestrator.language.cross_checks import cross_references
from orchestrator.language.hints import problems_of
from orchestrator.language.settings import merged, nested
from orchestrator.language.sweep_spec import SweepSpec
from orchestrator.language.yaml_text import parse


def load(file: str, read: Callable[[str, str | None], tuple[str, str]]) -> SweepSpec:
    """The sweep that `file` describes, its `extends` resolved.

    Args:
        file: the file as the user named it.
        read: (name, name of the file that refers to it) to (resolved name, text).

    Raises:
        SpecError: with every problem found.
    """
    tree = _with_parents(file, None, read, ())
    return cross_checked(validated(tree, f"{file}:1"), f"{file}:1", tree)


def validated(tree: dict[str, Any], default: str) -> SweepSpec:
    """The sweep that `tree` says, from the place `default` where its keys know none.

    Raises:
        SpecError: with every problem found.
    """
    if "extends" in tree:  # files have been laid over what they extend
        raise SpecError([Problem(default, "extends", "only a file extends another; read it by Sweep.load")])
    try:
        return SweepSpec.model_validate(tree)
    except ValidationError as error:
        raise SpecError(problems_of(error, tree, default=default)) from None


def cross_checked(spec: SweepSpec, default: str, tree: Any = None) -> SweepSpec:
    """`spec`, if its parts fit each other.

    Args:
        spec: a sweep.
        default: where it is from.
        tree: what it was read from, whose keys know their lines; None: it was built in Python.

    Raises:
        SpecError: with every name of an axis, level or profile that does not exist.
    """
    if problems := list(cross_references(spec, {} if tree is None else tree, default)):
        raise SpecError(problems)
    return spec


def _with_parents(
    file: str,
    child: str | None,
    read: Callable[[str, str | None], tuple[str, str]],
    seen: tuple[str, ...],
) -> dict[str, Any]:
    name, text = read(file, child)
    if name in seen:
        raise SpecError([Problem(f"{child}:1", "extends", f"a circle: {' -> '.join((*seen, name))}")])
    tree = parse(text, name)
    parent = tree.pop("extends", None)
    if parent is None:
        return tree
    if not isinstance(parent, str):
        raise SpecError([Problem(f"{name}:1", "extends", f"expected a file name, got {parent!r}")])
    above = _with_parents(parent, name, read, (*seen, name))
    if "base" in above and isinstance(above["base"], dict) and isinstance(tree.get("base"), dict):
        tree["base"] = merged(nested(above["base"]), nested(tree["base"]))
    if isinstance(above.get("axes"), dict) and isinstance(tree.get("axes"), dict):
        tree["axes"] = above["axes"] | tree["axes"]
    if isinstance(above.get("profiles"), dict) and isinstance(tree.get("profiles"), dict):
        tree["profiles"] = above["profiles"] | {
            name: merged(nested(above["profiles"][name]), nested(own))
            if isinstance(above["profiles"].get(name), dict) and isinstance(own, dict)
            else own
            for name, own in tree["profiles"].items()
        }
    return above | tree


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
        said = "no such file" if child is None else f"no such file: {path} (extended by {child})"
        beside = sorted(one.name for one in path.parent.glob("*.y*ml"))
        close = difflib.get_close_matches(path.name, beside, n=1, cutoff=0.6)
        hint = f"; did you mean '{path.with_name(close[0])}'?" if close else ""
        raise SpecError([Problem(place, "", f"{said}{hint}")]) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise SpecError([Problem(place, "", f"cannot be read: {reason}")]) from None
