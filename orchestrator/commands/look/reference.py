"""The reference as one page of Markdown: every field by its model's own words, and every metric.

`orch schema -f md > docs/reference.md` writes it; what the page says of a field is changed beside the field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any, NamedTuple

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from orchestrator.errors import UsageError
from orchestrator.language.json_schema import EXTENDS, FROM_DEFINITION, described
from orchestrator.language.sweep_spec import SweepSpec
from trainers.config.foreign import PluginError
from trainers.config.plugins import usable
from trainers.measures import catalogue

Schema = Mapping[str, Any]

_HEAD = """# Reference

What may stand in a sweep file, and what trials report. `orch schema -f md` writes this page from the code;
with `--for mine.yaml` it has the fields of your own plug-ins, too. How the parts work together is in
[sweep_files.md](sweep_files.md). `null` is YAML's word for "not set".
"""
_METRICS = """
## Metrics

F [d, d] is the moving average of z zᵀ over both views, λ_1 ≥ … ≥ λ_d its eigenvalues; W_p [d, d] is the
predictor's matrix; N is the number of images; norms are Frobenius'. A share lies in [0, 1]; tables print
accuracies in percent. A table takes a trial's last value. `trainer: command` reports what its file says.
"""
CHOOSE = ("trainer", "name", "kind")
"""Fields that choose a block; its heading says which."""


class _Section(NamedTuple):
    title: str
    schema: Schema
    level: int
    """Of its heading."""


def written_reference() -> str:
    """The page, with the plug-ins that are known by now.

    Raises:
        UsageError: one that is installed cannot be used.
    """
    try:
        return "".join([_HEAD, *_Fields().written(), _METRICS, *_metrics()])
    except PluginError as error:
        raise UsageError(str(error)) from None


class _Fields:
    """The blocks of a sweep file, each once, in the order in which a reader meets them."""

    def __init__(self) -> None:
        loops = sorted(usable("loops"), key=lambda loop: loop.model_fields["trainer"].default != "ssl")
        roots: list[type[BaseModel]] = [SweepSpec, *loops]  # what most sweeps have comes first
        keys, schema = models_json_schema([(root, "validation") for root in roots])
        self._definitions = schema["$defs"] | FROM_DEFINITION
        self._whole(keys[SweepSpec, "validation"])["properties"]["extends"] = EXTENDS
        self.sections: dict[str, _Section] = {}
        for root in roots:
            self._enter("", keys[root, "validation"], level=2)

    def written(self) -> Iterator[str]:
        """Each block as a table of its fields."""
        for title, schema, level in self.sections.values():
            yield f"\n{'#' * level} {title}\n\n{_prose(schema.get('description', ''))}\n"
            fields = {n: f for n, f in schema["properties"].items() if not (n in CHOOSE and "const" in f)}
            if fields:
                yield "\n| field | takes | default | meaning |\n|---|---|---|---|\n"
            for name, field in fields.items():
                default = _default(field, needed=name in schema.get("required", ()))
                words = _cell(field.get("description", ""))
                yield f"| `{name}` | {self._takes(field)} | {default} | {words} |\n"

    def _enter(self, path: str, schema: Schema, *, level: int) -> None:
        """Take in a block, then those in it."""
        block = described(dict(self._whole(schema)), self._whole)
        if _key(block) in self.sections:
            return
        chosen = ((word, block["properties"].get(word, {})) for word in CHOOSE)
        choice = next(((word, field["const"]) for word, field in chosen if "const" in field), None)
        title = path or "A sweep file"
        if choice is not None:
            title = f"{path or choice[0]}: {choice[1]}"
        self.sections[_key(block)] = _Section(title, block, level)
        for name, field in block["properties"].items():
            for form in _forms(field):
                if "properties" in self._whole(form) and "patternProperties" not in form:
                    self._enter(f"{path}.{name}" if path else name, form, level=3)

    def _whole(self, schema: Schema) -> dict[str, Any]:
        found: dict[str, Any] = self._definitions.get(str(schema.get("$ref")).rpartition("/")[2], schema)
        return found

    def _takes(self, field: Schema) -> str:
        """What a field takes, in words."""
        whole = self._whole(field)
        if "patternProperties" in field and "properties" in field:
            return "settings"
        if "properties" in whole:
            section = self.sections.get(_key(whole))
            return f"[{section.title}](#{_anchor(section.title)})" if section else "mapping"
        for several in ("anyOf", "oneOf"):
            if several in field:
                return ", ".join(dict.fromkeys(self._takes(form) for form in field[several]))
        if "const" in field or "enum" in field:
            return ", ".join(f"`{_yaml(value)}`" for value in field.get("enum", [field.get("const")]))
        kinds = field.get("type", "object")
        if not isinstance(kinds, str):
            return ", ".join(self._takes({**field, "type": kind}) for kind in kinds)
        if kinds == "array":
            if "prefixItems" in field:
                return "[" + ", ".join(self._takes(form) for form in field["prefixItems"]) + "]"
            return f"list of {self._takes(field['items'])}" if field.get("items") else "list"
        if kinds == "object":
            values = field.get("additionalProperties") or next(
                iter(field.get("patternProperties", {}).values()), 0
            )
            return f"mapping to {self._takes(values)}" if isinstance(values, dict) else "mapping"
        return _KINDS[kinds] + _bounds(field)


_KINDS = {
    "integer": "whole number",
    "number": "number",
    "boolean": "`true`, `false`",
    "string": "text",
    "null": "`null`",
}
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def _forms(field: Schema) -> Iterator[Schema]:
    """A field's schema, and every schema of what may stand in it."""
    yield field
    for form in (
        *field.get("anyOf", ()),
        *field.get("oneOf", ()),
        field.get("items"),
        field.get("additionalProperties"),
    ):
        if isinstance(form, dict):
            yield from _forms(form)


def _key(block: Schema) -> str:
    return json.dumps([block.get("description"), sorted(block["properties"])])


def _bounds(field: Schema) -> str:
    told = [f"{sign} {field[name]:.10g}" for name, sign in _BOUNDS.items() if name in field]
    return f" {', '.join(told)}" if told else ""


def _default(field: Schema, *, needed: bool) -> str:
    if "default" not in field:
        return "needed" if needed else ""
    value = field["default"]
    if isinstance(value, dict) and value:  # of a block: its own fields have them
        chosen = next((value[word] for word in ("name", "kind") if word in value), None)
        return f"`{chosen}`" if chosen else ""
    return f"`{_yaml(value)}`"


def _yaml(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def _cell(text: str) -> str:
    # Who writes YAML knows no None.
    words = re.sub(r"\bNone\b", "null", " ".join(text.split()))
    return words.replace("|", r"\|").replace("<", "&lt;").replace("*", r"\*")


def _prose(text: str) -> str:
    """A docstring as Markdown: indented lines stay formulas."""
    lines = (
        line if line.startswith("    ") else line.replace("<", "&lt;").replace("*", r"\*")
        for line in text.splitlines()
    )
    return re.sub(r"\bNone\b", "null", "\n".join(lines))


def _anchor(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _metrics() -> Iterator[str]:
    for heading, group in catalogue.GROUPS.items():
        yield f"\n### {heading}\n\n| metric | what | unit | formula | source |\n|---|---|---|---|---|\n"
        for metric, names in groupby(group, key=lambda name: group[name]):
            told = ", ".join(f"`{name}`" for name in names)
            cells = (metric.words, metric.unit, metric.formula, metric.source)
            yield f"| {told} | {' | '.join(_cell(text) for text in cells)} |\n"
