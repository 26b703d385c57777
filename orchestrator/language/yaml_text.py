"""YAML text to plain data whose keys know the line they stand on. Knows nothing of sweeps.

A subset of YAML 1.2 read by a safe loader: `1e-3` is a number, `on` and `yes` are words, a key given
twice is an error, and size, depth, the keys of a mapping and the reach of aliases are limited.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import yaml

from orchestrator.errors import Problem, SpecError

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 40
MAX_NODES = 200_000  # aliases counted as often as they are used
MAX_KEYS = 2_000
"""Keys of one mapping; more values than that are a list's."""


class Key(str):
    """A mapping's key and where it stands; equal to the plain string."""

    place: str

    def __new__(cls, value: str, place: str) -> Key:
        """The key `value` at `place`, written file:line."""
        key = super().__new__(cls, value)
        key.place = place
        return key

    def __reduce__(self) -> tuple[type[Key], tuple[str, str]]:
        """Pickle with the place."""
        return Key, (str(self), self.place)


_PLAIN = "plain"
"""Tag of what is written without quotes and without a tag of its own."""
_TAGS = "tag:yaml.org,2002:"


class _Loader(yaml.CSafeLoader):
    """Composes nodes only; scalars are typed by YAML 1.2's core schema."""

    yaml_implicit_resolvers = {None: [(_PLAIN, re.compile(""))]}


_INT = re.compile(r"[-+]?[0-9]+(_[0-9]+)*")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_ASSIGNMENT = re.compile(r"[\s-]*([A-Za-z_][\w.]{0,60})\s*=\s*([\w.+-]{1,40})\s*")
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "Null": None, "true": True, "false": False}
_WORDS |= {"True": True, "False": False}
_WORDS |= {sign + word: float(sign + "inf") for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")}
_WORDS |= {word: math.nan for word in (".nan", ".NaN", ".NAN")}
_TYPES = {"int": int, "float": float, "bool": bool, "null": type(None)}


def parse(text: str, file: str) -> dict[str, Any]:
    """The mapping that YAML `text` holds; every key is a `Key`.

    Raises:
        SpecError: not YAML, not a mapping, a key given twice, or over a limit; with file:line.
    """
    if len(text) > MAX_CHARACTERS:
        message = f"{len(text)} characters; a sweep file may have at most {MAX_CHARACTERS}"
        raise SpecError([Problem(file, "", message)])
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
        message = f"not valid YAML: {problem}{_hint(text, error)}"
        raise SpecError([Problem(f"{file}:{line}", "", message)]) from None
    except RecursionError:
        raise SpecError([Problem(f"{file}:1", "", f"nested deeper than {MAX_DEPTH} levels")]) from None
    if not isinstance(node, yaml.MappingNode):
        kinds = {type(None): "nothing", yaml.SequenceNode: "a list"}
        got = kinds.get(type(node), "a single value")
        message = f"the file holds {got}; expected a mapping with version, name, base and axes"
        raise SpecError([Problem(f"{file}:1", "", message)])
    reader = _Reader(file)
    data = reader.value(node, depth=0)
    if reader.problems:
        raise SpecError(reader.problems)
    assert isinstance(data, dict)
    return data


def _hint(text: str, error: yaml.YAMLError) -> str:
    """What to do about an error of YAML that people often meet; empty where it is another."""
    lines = text.splitlines()
    marks = [getattr(error, name, None) for name in ("problem_mark", "context_mark")]
    near = [lines[mark.line] for mark in marks if mark and mark.line < len(lines)]
    if any("\t" in line[: len(line) - len(line.lstrip())] for line in near):
        return "; a tab stands before the first word: indent with spaces"
    for found in filter(None, (_ASSIGNMENT.fullmatch(line) for line in near)):
        return f"; write `{found[1]}: {found[2]}`, as `{found[1]}={found[2]}` is for --set"
    return ""


class _Reader:
    """Turns nodes into data, counting as it goes."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.nodes = 0
        self.problems: list[Problem] = []

    def place(self, node: yaml.Node) -> str:
        return f"{self.file}:{node.start_mark.line + 1}"

    def value(self, node: yaml.Node, *, depth: int) -> Any:
        self.nodes += 1
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            what = f"nested deeper than {MAX_DEPTH} levels" if depth > MAX_DEPTH else "too many values"
            raise SpecError([Problem(self.place(node), "", f"{what}; is an alias inside itself?")])
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        kind = "map" if isinstance(node, yaml.MappingNode) else "seq"
        if node.tag != _TAGS + kind:
            self._wrong_tag(node, "a mapping" if kind == "map" else "a list")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, depth)
        return [self.value(item, depth=depth + 1) for item in node.value]

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        if node.tag == _PLAIN:
            return _plain(node.value)
        tag, value = node.tag.removeprefix(_TAGS), _plain(node.value)
        if tag == "str":
            return node.value
        if tag == "float" and type(value) is int:
            value = float(value)
        if tag not in _TYPES or type(value) is not _TYPES[tag]:
            self._wrong_tag(node, f"'{node.value[:60]}'")
        return value

    def _wrong_tag(self, node: yaml.Node, what: str) -> None:
        tag = node.tag.replace(_TAGS, "!!")
        message = f"tag {tag[:60]} does not fit {what}; expected !!str, !!int, !!float, !!bool or !!null of "
        self.problems.append(Problem(self.place(node), "", f"{message}such a value; or leave the tag out"))

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Any]:
        out: dict[str, Any] = {}
        first: dict[str, str] = {}
        if len(node.value) > MAX_KEYS:
            message = f"{len(node.value)} keys in one mapping; at most {MAX_KEYS}"
            raise SpecError([Problem(self.place(node), "", message)])
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(Problem(self.place(key_node), "", "a key must be a single word"))
                continue
            if key_node.tag not in (_PLAIN, _TAGS + "str"):
                self._wrong_tag(key_node, f"the key {key_node.value[:60]}")
            key = Key(key_node.value, self.place(key_node))
            if key == "<<":
                message = "merge keys (<<) are not read; use `extends:` or repeat the lines"
                self.problems.append(Problem(key.place, "", message))
            elif key in out:
                self.problems.append(Problem(key.place, key, f"given twice; first at {first[key]}"))
            else:
                first[key] = key.place
                out[key] = self.value(value_node, depth=depth + 1)
        return out


def _plain(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text) and len(text) < 40:
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def place_of(tree: Any, path: tuple[str | int, ...], default: str) -> str:
    """Where the deepest key on `path` stands in `tree`, as file:line."""
    place = default
    for part in path:
        if isinstance(tree, dict):
            key = next((k for k in tree if k == part), None)
            if key is None:
                continue  # pydantic names the branch of a union too, which no file has
            place = getattr(key, "place", place)
            tree = tree[key]
        elif isinstance(tree, list) and isinstance(part, int) and part < len(tree):
            tree = tree[part]
        else:
            break
    return place


class _Dumper(yaml.SafeDumper):
    """Writes words so that `parse` reads them as words."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write what occurs twice twice: a reader need not look for it."""
        return True


def _word(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    plain = yaml.ScalarNode("tag:yaml.org,2002:str", text)
    style = None if isinstance(_plain(text), str) else '"'
    return dumper.represent_scalar(plain.tag, str(text), style=style)


_Dumper.add_multi_representer(str, _word)
_Dumper.add_representer(str, _word)


_UNWRITABLE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
"""What JSON may leave as it is, and YAML takes for a new line, or not at all."""
_OF_JSON = {"Infinity": ".inf", "-Infinity": "-.inf", "NaN": ".nan"}


def in_a_line(value: Any) -> str:
    """`value` in one line that `parse` reads as the same, such as behind `--set path=`."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    text = _UNWRITABLE.sub(lambda found: rf"\u{ord(found[0]):04x}", text)
    return re.sub(r'"(?:[^"\\]|\\.)*"|-?Infinity|NaN', lambda found: _OF_JSON.get(found[0], found[0]), text)


def written(tree: dict[str, Any]) -> str:
    """`tree` as YAML that `parse` reads as the same."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
