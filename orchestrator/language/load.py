"""From the text of a sweep file, and of those it extends, to its spec."""

from __future__ import annotations

import codecs
import contextlib
import functools
import itertools
import re
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.errors import Problem, SpecError
from orchestrator.language.cells.chains import PARENTS, Load, parents_of, whole
from orchestrator.language.cells.files import files_from as files_from
from orchestrator.language.cross_checks import cross_references
from orchestrator.language.hints import MOST_PROBLEMS, closest, problems_of, shown
from orchestrator.language.settings import laid
from orchestrator.language.sweep_spec import SweepSpec
from orchestrator.language.yaml_text import MAX_CHARACTERS, parse, place_of
from trainers.config.filesets import placed
from trainers.config.foreign import PluginError, join, knowing, resolved

MAX_FILES = 20
"""Files that extend each other in one chain."""
SHIPPED = Path(__file__).parents[1] / "sweeps"
"""The sweeps that come with orch."""
_SHIPPED_NAME = re.compile(r"orch:/{0,2}(.*?)(\.yaml)?")
_SWEEP_KEYS = frozenset({"version", "name", "extends", "base", "axes"})
_VERSION = re.compile(r"\bversion['\"]?\s*:")
Read = Callable[[str, str | None], tuple[str, str]]


def load(
    file: str, read: Read, *, trust: bool = False, child: str | None = None, within: tuple[str, ...] = ()
) -> SweepSpec:
    """The sweep that `file` describes, its `extends` resolved, with those from whose encoders it starts.

    Args:
        file: the file as the user named it, or `child` does.
        read: (name, name of the file that refers to it) to (resolved name, text).
        trust: whether it may ask for more than a million trials.
        child: the file that names it, if one does.
        within: sweeps that start from its encoders.

    Raises:
        SpecError: with every problem found.
    """
    own = real = file if child is None else str(Path(child).parent / file)
    with contextlib.suppress(OSError, RuntimeError, ValueError):  # no name of a file: told when it is read
        real = str(Path(own).resolve())
    if real in within:
        raise SpecError([Problem(f"{child}:1", "", "starts from itself; to mean this file, leave it out")])
    with knowing({}):
        tree = _with_parents(file, child, read, ())
    others = functools.partial(load, read=read, trust=trust, within=(*within, real))
    return cross_checked(validated(tree, f"{own}:1", others), f"{own}:1", tree, trust=trust)


def validated(tree: dict[str, Any], default: str, others: Load | None = None) -> SweepSpec:
    """The sweep that `tree` says, from the place `default` where its keys know none.

    Sweeps from whose encoders it starts are in the tree, or `others` reads them; None: where we work.

    Raises:
        SpecError: with every problem found.
    """
    if "extends" in tree:  # files have been laid over what they extend
        raise SpecError([Problem(default, "extends", "only a file extends another; read it by Sweep.load")])
    others = others or functools.partial(load, read=reader(Path(), trust=False))
    parents = parents_of(tree, default, others, lambda one: cross_checked(validated(one, default), default))
    with knowing({}):
        _join(_named_in(tree), tree, default)  # its kinds of figure must be known
        try:
            spec = SweepSpec.model_validate({key: tree[key] for key in tree if key != PARENTS})
        except ValidationError as error:
            raise SpecError(problems_of(error, tree, default=default)) from None
    return spec.with_parents(parents)


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


def _with_parents(file: str, child: str | None, read: Read, seen: tuple[str, ...]) -> dict[str, Any]:
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
    for one in whole(tree):
        if own := _named_in(one):
            one["plugins"] = own = [resolved(entry, Path(name).parent) for entry in own]
    if own := _named_in(tree):
        _join(own, tree, f"{name}:1")  # before anything is merged: names decide what is kept
    files_from(tree, functools.partial(placed, folder=Path(name).parent))
    parent = tree.pop("extends", None)
    if parent is None:
        return tree
    if not isinstance(parent, str):
        raise SpecError([Problem(f"{name}:1", "extends", f"expected a file name, got {shown(parent)}")])
    above = _with_parents(parent, name, read, (*seen, name))
    if "base" in above and isinstance(above["base"], dict) and isinstance(tree.get("base"), dict):
        tree["base"] = laid(above["base"], tree["base"])
    if isinstance(above.get("plugins"), list) and isinstance(tree.get("plugins"), list):
        tree["plugins"] = [*dict.fromkeys([*above["plugins"], *tree["plugins"]])]
    if isinstance(above.get("axes"), dict) and isinstance(tree.get("axes"), dict):
        tree["axes"] = above["axes"] | tree["axes"]
    if isinstance(above.get("profiles"), dict) and isinstance(tree.get("profiles"), dict):
        tree["profiles"] = above["profiles"] | {
            name: laid(above["profiles"][name], own)
            if isinstance(above["profiles"].get(name), dict) and isinstance(own, dict)
            else own
            for name, own in tree["profiles"].items()
        }
    return above | tree


def _named_in(tree: dict[str, Any]) -> list[str]:
    """The plug-ins that a tree names, if it does so as it should."""
    own = tree.get("plugins")
    return own if isinstance(own, list) and all(isinstance(entry, str) for entry in own) else []


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
    _with_parents(str(file), None, reader(file, trust=trust), ())


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
    return load(str(file), reader(file, trust=trust), trust=trust)


def shipped() -> dict[str, Path]:
    """The files that come with orch by name, such as `table1`; those that they extend are `base/...`."""
    found = sorted(SHIPPED.rglob("*.yaml"))
    return {path.relative_to(SHIPPED).with_suffix("").as_posix(): path for path in found}


def _located(name: str, folder: Path, place: str) -> Path:
    """The file that is called `name` in `folder`; `orch:table1` comes with orch.

    Raises:
        SpecError: orch has none of that name; with those that it has.
    """
    named = _SHIPPED_NAME.fullmatch(name)
    if named is None:
        return folder / name
    asked, there = named[1], shipped()
    if asked not in there:
        close = closest(asked, there)
        known = ", ".join(one for one in there if "/" not in one)
        hint = f"did you mean 'orch:{close}'?" if close else f"known: {known}"
        raise SpecError([Problem(place, "", f"no sweep of that name comes with orch; {hint}")])
    return there[asked]


def reader(file: Path, *, trust: bool) -> Read:
    """What reads `file` and those it extends: (name, name of the file that names it) to (path, text)."""

    def read(name: str, child: str | None) -> tuple[str, str]:
        place = name if child is None else f"{child}:1"
        path = _located(name, Path() if child is None else Path(child).parent, place)
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
            elif not hint and path.stem in shipped():
                hint = f"; did you mean 'orch:{path.stem}', which comes with orch?"
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
    roots = {own, own.parent, file.resolve().parent, Path.cwd(), SHIPPED.resolve()}
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
    if content.startswith(b"PK\x03\x04"):
        message = f"{path} is a zip file, and a sweep file is text; a bundle's name ends in .orch.zip"
        raise SpecError([Problem(place, "", message)])
    try:
        return content.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        message = f"{path} is not UTF-8 in line {line}; save it as UTF-8"
        raise SpecError([Problem(place, "", message)]) from None
