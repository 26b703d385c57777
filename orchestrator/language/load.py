"""From the text of a sweep file, and of those it extends, to its spec."""

from __future__ import annotations

import codecs
import itertools
import re
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.errors import Problem, SpecError
from orchestrator.language.cross_checks import cross_references
from orchestrator.language.hints import MOST_PROBLEMS, closest, problems_of, shown
from orchestrator.language.settings import merged, nested
from orchestrator.language.sweep_spec import SweepSpec
from orchestrator.language.yaml_text import MAX_CHARACTERS, parse, place_of
from trainers.config.foreign import PluginError, is_path, join, knowing, named_from, resolved

MAX_FILES = 20
"""Files that extend each other in one chain."""
_SWEEP_KEYS = frozenset({"version", "name", "extends", "base", "axes"})
_VERSION = re.compile(r"\bversion['\"]?\s*:")


def load(file: str, read: Callable[[str, str | None], tuple[str, str]], *, trust: bool = False) -> SweepSpec:
    """The sweep that `file` describes, its `extends` resolved.

    Args:
        file: the file as the user named it.
        read: (name, name of the file that refers to it) to (resolved name, text).
        trust: whether it may ask for more than a million trials.

    Raises:
        SpecError: with every problem found.
    """
    with knowing({}):
        tree = _with_parents(file, None, read, ())
    return cross_checked(validated(tree, f"{file}:1"), f"{file}:1", tree, trust=trust)


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


def cross_checked(
    spec: SweepSpec, default: str, tree: Any = None, *, seeds: int | None = None, trust: bool = False
) -> SweepSpec:
    """`spec`, if its parts fit each other, with its plug-ins as they are now.

    Args:
        spec: a sweep.
        default: where it is from.
        tree: what it was read from, whose keys know their lines; None: it was built in Python.
        seeds: number of seeds instead of its own.
        trust: whether it may ask for more than a million trials.

    Raises:
        SpecError: with every name of an axis, level or profile that does not exist, and every plug-in that
            cannot be used.
    """
    read = {} if tree is None else tree
    with knowing({}) as known:
        _join(spec.plugins, read, default)
        found = cross_references(spec, read, default, seeds=seeds, trust=trust)
        if problems := list(itertools.islice(found, MOST_PROBLEMS)):
            raise SpecError(problems)
    return spec.with_plugins(known)


def _with_parents(
    file: str,
    child: str | None,
    read: Callable[[str, str | None], tuple[str, str]],
    seen: tuple[str, ...],
) -> dict[str, Any]:
    name, text = read(file, child)
    if name in seen:
        raise SpecError([Problem(f"{child}:1", "extends", f"a circle: {' -> '.join((*seen, name))}")])
    if len(seen) == MAX_FILES:
        message = f"more than {MAX_FILES} files extend each other; lay some of them together"
        raise SpecError([Problem(f"{child}:1", "extends", message)])
    # Refused before anything of it is repeated: it may be a file of secrets.
    if child is not None and not _VERSION.search(text):
        raise _no_sweep(name, child)
    tree = parse(text, name)
    if not tree.keys() & _SWEEP_KEYS if child is None else "version" not in tree:
        raise _no_sweep(name, child)
    if isinstance(own := tree.get("plugins"), list) and all(isinstance(entry, str) for entry in own):
        tree["plugins"] = own = [resolved(entry, Path(name).parent) for entry in own]
        _join(own, tree, f"{name}:1")  # before anything is merged: names decide what is kept
    parent = tree.pop("extends", None)
    if parent is None:
        return tree
    if not isinstance(parent, str):
        raise SpecError([Problem(f"{name}:1", "extends", f"expected a file name, got {shown(parent)}")])
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
    try:
        join(*entries)
    except PluginError as error:
        place = place_of(tree, ("plugins",), default)
        problems = [Problem(place, "plugins", line) for line in str(error).splitlines()]
        raise SpecError(problems[:MOST_PROBLEMS]) from None


def join_plugins(file: Path, *, trust: bool = False) -> None:
    """Let the plug-ins of a sweep file be known, whatever else it says.

    Raises:
        SpecError: one cannot be used, or the file cannot be read.
    """
    _with_parents(str(file), None, _reader(file, trust=trust), ())


def _no_sweep(name: str, child: str | None) -> SpecError:
    message = "no sweep file; expected a mapping with version, name, base and axes"
    if child is None:
        return SpecError([Problem(f"{name}:1", "", message)])
    return SpecError([Problem(f"{child}:1", "extends", f"{name} is {message}")])


def load_sweep(file: Path, *, trust: bool = False) -> SweepSpec:
    """The sweep in `file`; a file it extends is looked up beside it.

    Args:
        file: the sweep file.
        trust: whether it may extend files from anywhere, else from its own folder, the one above and the
            current one; and ask for more than a million trials.

    Raises:
        SpecError: with every problem found.
    """
    return load(str(file), _reader(file, trust=trust), trust=trust)


def tree_of(spec: SweepSpec, folder: Path) -> dict[str, Any]:
    """What a file in `folder` says of a sweep."""
    tree = spec.model_dump(mode="json", exclude_defaults=True)
    if spec.plugins:
        tree["plugins"] = [named_from(entry, folder) for entry in spec.plugins]
    return tree


def sweep_files(file: Path, *, trust: bool = False) -> dict[Path, str]:
    """The texts of `file`, of every file it extends and of their plug-ins, by path.

    Raises:
        SpecError: a plug-in is named in a way that means nothing elsewhere.
    """
    found: dict[Path, str] = {}
    problems: list[Problem] = []
    read_one = _reader(file, trust=trust)

    def read(name: str, child: str | None) -> tuple[str, str]:
        path, text = read_one(name, child)
        found[Path(path)] = text
        tree = parse(text, path)
        for entry in tree.get("plugins") or ():  # strings: the sweep was read before
            if is_path(entry) and Path(entry).is_absolute():
                message = f"{entry} means nothing on another machine; name it relative to this file"
                problems.append(Problem(place_of(tree, ("plugins",), path), "plugins", message))
        return path, text

    spec = load(str(file), read, trust=trust)
    if problems:
        raise SpecError(problems)
    with knowing({}):
        carried = [one.carried for one in join(*spec.plugins)]
    return found | {Path(path): text for one in carried for path, text in one.files.values()}


def _reader(file: Path, *, trust: bool) -> Callable[[str, str | None], tuple[str, str]]:
    """What reads `file` and those it extends."""

    def read(name: str, child: str | None) -> tuple[str, str]:
        path = Path(name) if child is None else Path(child).parent / name
        place = str(path) if child is None else f"{child}:1"
        try:
            if child is not None and not trust and not _is_near(path, file):
                message = f"{path} is in none of the folders that a sweep file may extend: "
                message += "its own, the one above, and the current one; allow it with --trust"
                raise SpecError([Problem(place, "extends", message)])
            return str(path), _text(path, place)
        except FileNotFoundError:
            said = "no such file" if child is None else f"no such file: {path} (extended by {child})"
            beside = sorted(one.name for one in path.parent.glob("*.y*ml"))
            close = closest(path.name, beside)
            hint = f"; did you mean '{path.with_name(close)}'?" if close else ""
            if child is None and "=" in name:
                hint = f"; a setting is given as --set {name}"
            raise SpecError([Problem(place, "", f"{said}{hint}")]) from None
        except OSError as error:
            what = "" if child is None else f"{path} "
            raise SpecError([Problem(place, "", f"{what}cannot be read: {error.strerror}")]) from None
        except (ValueError, RuntimeError):  # a NUL, or links in a circle
            raise SpecError([Problem(place, "", f"names no file: {shown(str(path))}")]) from None

    return read


def _is_near(path: Path, file: Path) -> bool:
    """Whether `path` is one that the sweep in `file` may extend without being trusted."""
    own = file.absolute().parent.resolve()
    roots = {own, own.parent, file.resolve().parent, Path.cwd()}
    return any(root in path.resolve().parents for root in roots if root.parent != root)


def _text(path: Path, place: str) -> str:
    """The text of a file that is looked at before it is read: a pipe has no end, a device no size."""
    if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
        raise SpecError([Problem(place, "", f"{path} is no regular file; copy it into one")])
    with path.open("rb") as file:
        content = file.read(4 * MAX_CHARACTERS + 1)
    if len(content) > 4 * MAX_CHARACTERS:
        message = f"{path} is larger than the {MAX_CHARACTERS} characters that a sweep file may have"
        raise SpecError([Problem(place, "", message)])
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise SpecError([Problem(place, "", f"{path} is UTF-16; save it as UTF-8")])
    try:
        return content.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        message = f"{path} is not UTF-8 in line {line}; save it as UTF-8"
        raise SpecError([Problem(place, "", message)]) from None
