"""Plug-ins that are not of this package: how they get their names, and how they reach other processes."""

from __future__ import annotations

import functools
import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from trainers.config.examined import Carried, Foreign, examined, from_files, from_module, texts
from trainers.config.examined import PluginError as PluginError
from trainers.config.families import CALLED, members, package_of

CODE = "plug-in"
"""Key under which an identity says which code a plug-in is; no field can be called so."""
_by_name: dict[tuple[str, str], Foreign] = {}
_by_class: dict[type[Any], Foreign] = {}


def is_path(entry: str) -> bool:
    """Whether what a sweep names is a file or a folder; else it is a module."""
    return entry.endswith(".py") or "/" in entry or entry.startswith(".")


def resolved(entry: str, folder: Path) -> str:
    """`entry`, which is relative to `folder`, as it is named from the working folder."""
    if not is_path(entry):
        return entry
    path = str(folder / entry)
    return path if is_path(path) else f"./{path}"


def named_from(entry: str, folder: Path) -> str:
    """`entry`, which is named from the working folder, as a file in `folder` names it."""
    return f"./{os.path.relpath(entry, folder)}" if is_path(entry) else entry


def join(entry: str) -> list[Foreign]:
    """The plug-ins of a file, of a folder's files, or of an importable module; from now on they have names.

    Raises:
        PluginError: one cannot be used, or has the name of another.
    """
    made = from_files(Path(entry)) if is_path(entry) else [from_module(entry)]
    for one in made:
        _name(one)
    return made


def names(kind: str) -> set[str]:
    """Names of those of a family that are known here."""
    return {name for family, name in (*_by_name, *installed()) if family == kind}


def find(kind: str, name: str) -> Foreign | None:
    """The plug-in of that name; None: none but the package's own can have it.

    Raises:
        PluginError: the installed one cannot be used, or the name is given twice.
    """
    if (kind, name) not in _by_name and (entries := installed().get((kind, name))):
        found = from_module(entries[0].module)
        if (found.kind, found.name) != (kind, name):
            raise PluginError(
                f"{found.path}: is the {CALLED[found.kind]} '{found.name}', and its package's entry point "
                f"says {CALLED[kind]} '{name}'; they must be the same"
            )
        _name(found)
    return _by_name.get((kind, name))


@functools.cache
def installed() -> dict[tuple[str, str], tuple[EntryPoint, ...]]:
    """Entry points of installed packages by family and name; none of them is imported yet."""
    found: dict[tuple[str, str], tuple[EntryPoint, ...]] = {}
    there = entry_points()
    for kind in CALLED:
        for entry in there.select(group=f"orch.{'trainers' if kind == 'loops' else kind}"):
            found[kind, entry.name] = (*found.get((kind, entry.name), ()), entry)
    return found


def code_of(config: type[Any]) -> str | None:
    """What the plug-in whose config this is, is identified by; None for the package's own."""
    own = _by_class.get(config)
    return own.carried.code if own else None


def used_by(value: Any) -> Iterator[Foreign]:
    """The plug-ins whose configs are in a config, itself among them."""
    if not _by_class:
        return
    if (own := _by_class.get(type(value))) is not None:
        yield own
    if isinstance(value, list | tuple):
        parts: Iterable[Any] = value
    else:
        parts = (getattr(value, field) for field in getattr(type(value), "model_fields", ()))
    for part in parts:
        yield from used_by(part)


def receive(carried: Iterable[Carried]) -> None:
    """Have the plug-ins that came from another process.

    Raises:
        PluginError: one cannot be imported here, or is other code than there.
    """
    for one in carried:
        texts.update(one.files)
        made = examined(one.module, one.place) if one.files else from_module(one.module)
        if made.carried.code != one.code:
            raise PluginError(
                f"{one.place}: is {made.carried.code} here and {one.code} where the sweep was started; "
                "install the same everywhere"
            )
        _by_name[made.kind, made.name] = made
        if made.config is not None:
            _by_class[made.config] = made


def pickled_with_code(config: Any) -> tuple[Callable[..., Any], tuple[Any, ...]] | None:
    """How a config is pickled that needs plug-ins: with their code; None: it needs none."""
    carried = list({one.carried.module: one.carried for one in used_by(config)}.values())
    return (_unpickled, (carried, pickle.dumps((type(config), config.__getstate__())))) if carried else None


def _unpickled(carried: Sequence[Carried], content: bytes) -> Any:
    receive(carried)
    kind, state = pickle.loads(content)
    config = kind.__new__(kind)
    config.__setstate__(state)
    return config


def _name(one: Foreign) -> None:
    """Let a plug-in be found by its name; what was made of the same file before is not found any more.

    Raises:
        PluginError: the name is another's.
    """
    key, others = (one.kind, one.name), list[str]()
    if one.name in members(package_of(one.kind)):
        others.append(f"{package_of(one.kind).replace('.', '/')}/{one.name}.py")
    others += [entry.module for entry in installed().get(key, ()) if entry.module != one.path]
    if (other := _by_name.get(key)) is not None and other.path != one.path and other.digest != one.digest:
        others.append(other.carried.place)
    if others:
        raise PluginError(
            f"{one.carried.place}:{one.line}: {CALLED[one.kind]} '{one.name}' is also in {others[0]}; "
            "give it another name"
        )
    for known in [known for known, by in _by_name.items() if by.path == one.path]:
        del _by_name[known]
    _by_name[key] = one
    if one.config is not None:
        _by_class[one.config] = one


def forget() -> None:
    """Know no plug-in by its name any more; for tests. Modules and configs stay what they are."""
    _by_name.clear()
    installed.cache_clear()
