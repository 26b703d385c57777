"""Settings laid over a base config: dotted paths and nesting mean the same, a new name starts afresh.

Afresh but for what the old and the new one have from a common family: a momentum stays when "byol" becomes
"directpred".

Trees here are plain nested dicts as read from YAML; nothing is validated yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from orchestrator.errors import Problem, SpecError
from orchestrator.language.hints import cut
from orchestrator.language.yaml_text import MAX_DEPTH, Key
from trainers.config.plugins import of_field, shared_fields

Tree = dict[str, Any]

NAMING = ("name", "kind")
"""Fields that say which class a block has."""
FREE = ("params", "env")
"""Blocks of a command, whose fields have the names that its author chose."""
_FOLDERS = {"method": "methods", "encoder": "encoders", "data": "datasets", "optimizer": "optimizers"}


def nested(settings: Tree, place: str = "", *, depth: int = 0) -> Tree:
    """`settings` with dotted keys written out: {"method.momentum": 0} is {"method": {"momentum": 0}}.

    Raises:
        SpecError: a path is set twice or too deep, or both a value and fields below it are set.
    """
    out: Tree = {}
    for key, value in settings.items():
        at = getattr(key, "place", place)
        head, _, tail = key.partition(".")
        if not head or key.endswith(".") or ".." in key:
            wrong = "not a path; expected words joined by single dots"
            raise SpecError([Problem(at, cut(key), wrong)])
        if depth + key.count(".") > MAX_DEPTH:
            raise SpecError([Problem(at, cut(key), f"nested deeper than {MAX_DEPTH} levels")])
        if tail:
            value = nested({Key(tail, at): value}, at, depth=depth + 1)
        elif isinstance(value, dict):
            value = nested(value, at, depth=depth + 1)
        if head not in out:
            out[Key(head, at)] = value
        elif isinstance(value, dict) and isinstance(out[head], dict):
            out[head] = _joined(out[head], value, head)
        else:
            raise SpecError([Problem(at, key, "set twice in one block; keep one of the two")])
    return out


def merged(base: Tree, changes: Tree, *, free: bool = False) -> Tree:
    """`base` with `changes` (both nested) laid over it; neither is altered.

    A block whose `name` (of a method, encoder, data set, optimizer) or `kind` changes starts afresh, since
    the fields of one method mean nothing to another; only those that both have from a common family stay.
    A block without a name has the one that its trainer gives it. A bare name is a block with that name alone.
    Where names are free, `name` and `kind` are names like any other.
    """
    out = dict(base)
    trainer = changes.get("trainer", base.get("trainer"))
    for key, value in changes.items():
        old = out.pop(key, None)  # popped, so that the key of the change, with its line, takes its place
        if free or key in FREE:
            both = isinstance(old, dict) and isinstance(value, dict)
            out[key] = merged(old, value, free=True) if both else value
            continue
        naming = isinstance(value, str) or (isinstance(value, dict) and "name" in value)
        unnamed = naming and isinstance(old, dict) and "name" not in old
        plugin = of_field(trainer, key) if unnamed else None
        if isinstance(old, dict) and isinstance(value, str) and (plugin or "name" in old or key in _FOLDERS):
            value = {Key("name", getattr(key, "place", "")): value}
        if isinstance(old, str) and isinstance(value, dict):
            old = {"name": old}
        if isinstance(old, dict) and isinstance(value, dict):
            if plugin and plugin.default:
                old = {"name": plugin.default, **old}
            renamed = any(n in value and value[n] != old.get(n, value[n]) for n in NAMING)
            value = merged(_kept(key, old, value) if renamed else old, value)
        out[key] = value
    return out


class Laid(dict[str, Any]):
    """Settings of a file laid over those that it extends; knows its parts, which may undo each other."""

    parts: tuple[Tree, ...] = ()
    """Nested, the lowest first."""


def laid(under: Tree, own: Tree) -> Laid:
    """`own` settings of a file over those `under` them of the file that it extends."""
    parts = [nested(tree) for tree in (under, own)]
    whole = Laid(merged(*parts))
    whole.parts = (*(under.parts if isinstance(under, Laid) else parts[:1]), parts[1])
    return whole


def block_of(settings: Tree, name: str, *, named: bool = False) -> Tree:
    """The block `name` of nested settings, alone; its bare name is written out, also if it is `named`."""
    key = next((key for key in settings if key == name), None)
    if key is None:
        return {}
    value = settings[key]
    if (named or name in _FOLDERS) and isinstance(value, str):
        value = {Key("name", getattr(key, "place", "")): value}
    return {key: value}


def _kept(key: str, old: Tree, new: Tree) -> Tree:
    """The settings of a renamed block that mean the same under its new name."""
    if key not in _FOLDERS or not isinstance(old.get("name"), str) or not isinstance(new.get("name"), str):
        return {}
    shared = shared_fields(_FOLDERS[key], old["name"], new["name"])
    shared |= {"from"} if key == "encoder" else set()  # which says of any network where it starts
    return {field: value for field, value in old.items() if field in shared}


def _joined(first: Tree, second: Tree, path: str) -> Tree:
    out = dict(first)
    for key, value in second.items():
        if key not in out:
            out[key] = value
        elif isinstance(value, dict) and isinstance(out[key], dict):
            out[key] = _joined(out[key], value, f"{path}.{key}")
        else:
            place = getattr(key, "place", "")
            raise SpecError([Problem(place, f"{path}.{key}", "set twice in one block; keep one of the two")])
    return out


def as_in_a_file(value: Any) -> Any:
    """`value` with dictionaries, lists and Python's own numbers in place of what is like them.

    Tuples, ranges and NumPy's arrays become lists, NumPy's numbers Python's, paths text. Keys stay as they
    are: those of a file know their lines.
    """
    if isinstance(value, Mapping):
        return {key: as_in_a_file(item) for key, item in value.items()}
    if isinstance(value, list | tuple | range):
        return [as_in_a_file(item) for item in value]
    if isinstance(value, PurePath):
        return str(value)
    return value.tolist() if hasattr(value, "tolist") else value
