"""JSON Schema of a sweep file, so that editors complete and check it while it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pydantic import GetJsonSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema

from orchestrator.language.cells.chains import PARENTS, StartsFrom
from trainers.config.base import Frozen
from trainers.config.plugins import usable

_SETTINGS = {
    "type": "object",
    "description": "Settings by path, dotted (method.momentum: 0.99) or nested.",
}

EXTENDS = {
    "type": "string",
    "description": "Another sweep file, beside this one, that this one changes.",
}
FROM_DEFINITION: dict[str, Any] = {"StartsFrom": StartsFrom.model_json_schema()}
PARENTS_SCHEMA = {
    "type": "object",
    "description": "Sweeps that `encoder.from` names, whole; left out: they are read from their files.",
}
axis_schema = WithJsonSchema(
    {
        "description": "A factor: labelled levels, or path with values, zip, or a sampler.",
        "type": "object",
        "anyOf": [
            {
                "description": "Any but {label: settings, label: settings}, which needs no such words.",
                "properties": {
                    "levels": {
                        "type": "object",
                        "description": "Levels by label: settings by path.",
                        "additionalProperties": _SETTINGS,
                    },
                    "path": {"type": "string", "description": "The setting that varies."},
                    "values": {"type": "array", "minItems": 1, "description": "Its values, a level each."},
                    "zip": {
                        "type": "object",
                        "additionalProperties": {"type": "array"},
                        "description": "Lists of values by path, which move together.",
                    },
                    "labels": {
                        "type": "array",
                        "items": {"type": "string"},
                        "description": "What the levels are called, one each.",
                    },
                    "when": {
                        "type": "object",
                        "description": "Levels of earlier axes under which this axis is there.",
                    },
                    "uniform": {"type": "array", "description": "[low, high], drawn evenly."},
                    "loguniform": {
                        "type": "array",
                        "description": "[low, high], drawn evenly in the logarithm.",
                    },
                    "integers": {"type": "array", "description": "[low, high], both included."},
                    "choice": {"type": "array", "description": "What is drawn from."},
                    "samples": {
                        "type": "integer",
                        "minimum": 1,
                        "description": "How many are drawn; more keep the first.",
                    },
                    "sample_seed": {"type": "integer", "description": "Seed of the draws; 0 unless given."},
                },
                "additionalProperties": False,
            },
            {"additionalProperties": {"anyOf": [_SETTINGS, {"type": "null"}]}, "minProperties": 1},
        ],
    }
)


class _ConfigTree:
    """Schema of a part of a trial's config: any subset of its fields, dotted or nested."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        loops = [handler(loop.__pydantic_core_schema__) for loop in usable("loops")]
        properties: dict[str, Any] = {}
        for loop in loops:
            whole = described(handler.resolve_ref_schema(loop), handler.resolve_ref_schema)
            for name, value in whole["properties"].items():
                kept = {k: v for k, v in value.items() if k != "default"}
                known = properties.setdefault(name, {"anyOf": [{"type": ["string", "null"]}]})
                if kept not in known["anyOf"]:  # trainers share names; `trainer` is another of each
                    known["anyOf"].insert(-1, kept)
                if "description" in value:
                    properties[name]["description"] = value["description"]
        return _SETTINGS | {
            "properties": properties,
            "patternProperties": _dotted(properties),
            "additionalProperties": False,
        }


settings_schema = _ConfigTree()


def sweep_schema(plain: dict[str, Any]) -> dict[str, Any]:
    """The schema of sweep files, from pydantic's schema of `SweepSpec`.

    Blocks of a trial's config may be given in parts and with dotted keys, so that their definitions are
    loosened: nothing is required, and "field.more" is as good as "field".
    """
    own = set(_defined_here(Frozen))
    for name, definition in plain["$defs"].items():
        _say_from(definition)
        if name not in own and definition.get("additionalProperties") is False:
            definition.pop("required", None)
            definition["patternProperties"] = _dotted(definition["properties"])
    definitions = plain["$defs"]
    definitions |= FROM_DEFINITION

    def target(schema: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = definitions.get(str(schema.get("$ref")).rpartition("/")[2], schema)
        return found

    for part in _objects(plain):
        described(part, target)
    plain["properties"] |= {"extends": EXTENDS, PARENTS: PARENTS_SCHEMA}
    plain["required"] = ["version", "name"]  # a file that extends another may have everything else from there
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **plain}


def _defined_here(model: type[Frozen]) -> Iterator[str]:
    """Names of what a sweep file says beside configs of trials."""
    for one in model.__subclasses__():
        if one.__module__.startswith("orchestrator.language."):
            yield one.__name__
        yield from _defined_here(one)


def _objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Every schema of an object with named fields in `schema`."""
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict):
            yield schema
        for part in schema.values():
            yield from _objects(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _objects(part)


def described(schema: dict[str, Any], target: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """`schema`, each of whose fields says what it is.

    A field without words of its own has those of its block; the name that chooses a block, those of what it
    chooses.
    """
    _say_from(schema)
    for name, field in schema["properties"].items():
        forms = [field, *field.get("anyOf", ()), *field.get("allOf", ())]
        said = [target(form).get("description", "") for form in forms]
        if name in ("name", "kind", "trainer"):
            said.append(schema.get("description", ""))
        told = next((text for text in said if text), None)
        if "description" not in field and told is not None:
            field["description"] = told.splitlines()[0]
    return schema


def _say_from(schema: dict[str, Any]) -> None:
    """Let a file say of an encoder whose it starts from; the other trial's id is what becomes of that."""
    if schema.get("properties", {}).pop("from_trial", None):
        forms = [{"$ref": "#/$defs/StartsFrom"}, {"type": "null"}]
        told = FROM_DEFINITION["StartsFrom"]["description"]
        schema["properties"]["from"] = {"anyOf": forms, "description": told, "default": None}


def _dotted(properties: dict[str, Any]) -> dict[str, Any]:
    return {rf"^({'|'.join(properties)})\..+": {}}
