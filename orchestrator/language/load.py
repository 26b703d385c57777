"""From the text of a sweep file, and of those it extends, to its spec."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.errors import Problem, SpecError
from orchestrator.language.cross_checks import cross_references
from orchestrator.language.hints import problems_of
from orchestrator.language.settings import merged, nested
from orchestrator.language.sweep_spec import SweepSpec
from orchestrator.language.yaml_text import parse, place_of
from trainers.config.examined import PluginError
from trainers.config.foreign import is_path, join, resolved


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
        SpecError: with every name of an axis, level or profile that does not exist, and every plug-in that
            cannot be used.
    """
    _join(spec.plugins, tree, default)
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
    if isinstance(own := tree.get("plugins"), list) and all(isinstance(entry, str) for entry in own):
        tree["plugins"] = own = [resolved(entry, Path(name).parent) for entry in own]
        _join(own, tree, f"{name}:1")  # before anything is merged: names decide what is kept
    parent = tree.pop("extends", None)
    if parent is None:
        return tree
    if not isinstance(parent, str):
        raise SpecError([Problem(f"{name}:1", "extends", f"expected a file name, got {parent!r}")])
    above = _with_parents(parent, name, read, (*seen, name))
    if "base" in above and isinstance(above["base"], dict) and isinstance(tree.get("base"), dict):
        tree["base"] = merged(nested(above["base"]), nested(tree["base"]))
    if isinstance(above.get("plugins"), list) and isinstance(tree.get("plugins"), list):
        tree["plugins"] = [*dict.fromkeys([*above["plugins"], *tree["plugins"]])]
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


def _join(entries: Sequence[str], tree: Any, default: str) -> None:
    """Let plug-ins be known, which are named from the working folder.

    Raises:
        SpecError: with every one that cannot be used.
    """
    problems: list[Problem] = []
    for entry in entries:
        try:
            join(entry)
        except PluginError as error:
            place = place_of(tree, ("plugins",), default)
            problems += [Problem(place, "plugins", line) for line in str(error).splitlines()]
    if problems:
        raise SpecError(problems)


def join_plugins(file: Path) -> None:
    """Let the plug-ins of a sweep file be known, whatever else it says.

    Raises:
        SpecError: one cannot be used, or the file cannot be read.
    """
    _with_parents(str(file), None, _read, ())


def load_sweep(file: Path) -> SweepSpec:
    """The sweep in `file`; a file it extends is looked up beside it."""
    return load(str(file), _read)


def sweep_files(file: Path) -> dict[Path, str]:
    """The texts of `file`, of every file it extends and of their plug-ins, by path.

    Raises:
        SpecError: a plug-in is named in a way that means nothing elsewhere.
    """
    found: dict[Path, str] = {}
    problems: list[Problem] = []

    def read(name: str, child: str | None) -> tuple[str, str]:
        path, text = _read(name, child)
        found[Path(path)] = text
        tree = parse(text, path)
        for entry in tree.get("plugins") or ():
            if is_path(entry) and Path(entry).is_absolute():
                message = f"{entry} means nothing on another machine; name it relative to this file"
                problems.append(Problem(place_of(tree, ("plugins",), path), "plugins", message))
        return path, text

    spec = load(str(file), read)
    if problems:
        raise SpecError(problems)
    carried = [one.carried for entry in spec.plugins for one in join(entry)]
    return found | {Path(path): text for one in carried for path, text in one.files.values()}


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
