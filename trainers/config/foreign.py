"""Plug-ins that are not of this package: how they get their names, and how they reach other processes.

What a name means is a matter of the sweep that is read or expanded: each has its own names, in force for as
long as it is looked at (`knowing`). Which code a config class is of is the same whoever asks.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.config.examined import Carried, Foreign, from_files, from_module, of_text
from trainers.config.families import CALLED, SHOWN, members, package_of
from trainers.config.files import PluginError as PluginError
from trainers.config.files import texts

if TYPE_CHECKING:
    from pydantic import BaseModel

CODE = "plug-in"
"""Key under which an identity says which code a plug-in is; no field can be called so."""
Known = dict[tuple[str, str], Foreign]
"""Plug-ins by family and name."""
_anywhere: Known = {}
"""Kinds of figure and table formats, which are no part of any trial, for who has only a table or a figure."""
_known: ContextVar[Known] = ContextVar("_known", default=Known())  # noqa: B039 - for who asks for no sweep
_by_class: dict[type[Any], Foreign] = {}


@contextlib.contextmanager
def knowing(known: Known) -> Iterator[Known]:
    """Within, names mean these plug-ins, and those that join are added; after it, what they meant before."""
    token = _known.set(known)
    try:
        yield known
    finally:
        _known.reset(token)


def is_path(entry: str) -> bool:
    """Whether what a sweep names is a file or a folder; else it is a module."""
    return entry.endswith(".py") or "/" in entry or entry.startswith(".")


def resolved(entry: str, folder: Path) -> str:
    """`entry`, which is relative to `folder`, wherever the working folder is later."""
    return str(folder.absolute() / entry) if is_path(entry) else entry


def named_from(entry: str, folder: Path) -> str:
    """`entry` as a file in `folder` names it."""
    return f"./{os.path.relpath(entry, folder)}" if is_path(entry) else entry


def join(*entries: str) -> list[Foreign]:
    """The plug-ins of files, of folders' files and of importable modules; from now on they have names.

    Raises:
        PluginError: one cannot be used, or has the name of another; with a line for each.
    """
    made: list[Foreign] = []
    problems: list[str] = []
    with _collecting(problems):
        made += from_files([Path(entry) for entry in entries if is_path(entry)])
    for entry in entries:
        if not is_path(entry):
            with _collecting(problems):
                made.append(from_module(entry))
    for one in made if not problems else ():
        with _collecting(problems):
            _name(one)
    if problems:
        raise PluginError("\n".join(problems))
    return made


@contextlib.contextmanager
def _collecting(problems: list[str]) -> Iterator[None]:
    try:
        yield
    except PluginError as error:
        problems.append(str(error))


def names(kind: str) -> set[str]:
    """Names of those of a family that are known here."""
    return {name for family, name in (*_known.get(), *_anywhere, *installed()) if family == kind}


def find(kind: str, name: str) -> Foreign | None:
    """The plug-in of that name; None: none but the package's own can have it.

    Raises:
        PluginError: the installed one cannot be used, or the name is given twice.
    """
    known, key = _known.get(), (kind, name)
    if key in known or key in _anywhere or name in members(package_of(kind)):
        return known.get(key, _anywhere.get(key))
    if entries := installed().get((kind, name)):
        found = from_module(entries[0].module)
        if (found.kind, found.name) != (kind, name):
            raise PluginError(
                f"{found.path}: is the {CALLED[found.kind]} '{found.name}', and its package's entry point "
                f"says {CALLED[kind]} '{name}'; they must be the same"
            )
        _name(found)
    return known.get((kind, name))


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
    found = configs_in(value) if _by_class else ()
    return (own for config in found if (own := _by_class.get(type(config))) is not None)


def configs_in(value: Any) -> Iterator[BaseModel]:
    """Every config in a value, itself among them, however deep."""
    parts: Iterable[Any] = ()
    if hasattr(type(value), "model_fields"):  # without pydantic, which help does not load
        yield value
        parts = (getattr(value, field) for field in type(value).model_fields)
    elif isinstance(value, dict):
        parts = value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        parts = value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = (getattr(value, field.name) for field in dataclasses.fields(value))
    for part in parts:
        yield from configs_in(part)


def receive(carried: Iterable[Carried]) -> None:
    """Have the plug-ins that came from another process; from now on they have names.

    Raises:
        PluginError: one cannot be imported here, or is other code than there.
    """
    for one in _received(carried):
        _known.get()[one.kind, one.name] = one


def _received(carried: Iterable[Carried]) -> list[Foreign]:
    received = []
    for one in carried:
        texts.update(one.files)
        made = of_text(one.module, one.place) if one.files else from_module(one.module, as_imported=True)
        if made.carried.code != one.code:
            raise PluginError(
                f"{one.place}: is {made.carried.code} here and {one.code} where the sweep was started; "
                "install the same everywhere"
            )
        if made.config is not None:
            _by_class[made.config] = made
        received.append(made)
    return received


def pickled_with_code(config: Any) -> tuple[Callable[..., Any], tuple[Any, ...]] | None:
    """How a config is pickled that needs plug-ins: with their code; None: it needs none."""
    carried = list({one.carried.module: one.carried for one in used_by(config)}.values())
    return (_unpickled, (carried, pickle.dumps((type(config), config.__getstate__())))) if carried else None


def _unpickled(carried: Sequence[Carried], content: bytes) -> Any:
    _received(carried)  # without names: those are of the sweep that is looked at
    kind, state = pickle.loads(content)
    config = kind.__new__(kind)
    config.__setstate__(state)
    return config


def _name(one: Foreign) -> None:
    """Let a plug-in be found by its name; what was made of the same file before is not found any more.

    Raises:
        PluginError: the name is another's.
    """
    known, key, others = _known.get(), (one.kind, one.name), list[str]()
    if one.name in members(package_of(one.kind)):
        others.append(f"{package_of(one.kind).replace('.', '/')}/{one.name}.py")
    others += [entry.module for entry in installed().get(key, ()) if entry.module != one.path]
    if (other := known.get(key)) is not None and other.path != one.path and other.digest != one.digest:
        others.append(other.carried.place)
    if others:
        raise PluginError(
            f"{one.carried.place}:{one.line}: {CALLED[one.kind]} '{one.name}' is also in {others[0]}; "
            "give it another name"
        )
    for former in [former for former, by in known.items() if by.path == one.path]:
        del known[former]
    known[key] = one
    if one.config is not None:
        _by_class[one.config] = one
    if one.kind in SHOWN:
        _anywhere[key] = one
