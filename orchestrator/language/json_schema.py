"""JSON Schema of a sweep file, so that editors complete and check it while it is written."""

from __future__ import annotations

from typing import Any

from pydantic import GetJsonSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema

from trainers.config.plugins import config_type, names

_SETTINGS = {
    "type": "object",
    "description": "Settings by path, dotted (method.momentum: 0.99) or nested.",
}

axis_schema = WithJsonSchema(
    {
        "description": "A factor: labelled levels, or path with values, zip, or a sampler.",
        "type": "object",
        "anyOf": [
            {
                "properties": {
                    "levels": {"type": "object", "additionalProperties": _SETTINGS},
                    "path": {"type": "string"},
                    "values": {"type": "array", "minItems": 1},
                    "zip": {"type": "object", "additionalProperties": {"type": "array"}},
                    "labels": {"type": "array", "items": {"type": "string"}},
                    "when": {"type": "object"},
                    "uniform": {"type": "array"},
                    "loguniform": {"type": "array"},
                    "integers": {"type": "array"},
                    "choice": {"type": "array"},
                    "samples": {"type": "integer", "minimum": 1},
                    "sample_seed": {"type": "integer"},
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
        loops = [handler(config_type("loops", name).__pydantic_core_schema__) for name in names("loops")]
        properties: dict[str, Any] = {}
        for loop in loops:
            for name, value in handler.resolve_ref_schema(loop)["properties"].items():
                kept = {k: v for k, v in value.items() if k != "default"}
                properties[name] = {"anyOf": [kept, {"type": ["string", "null"]}]}
                if "description" in value:
                    properties[name]["description"] = value["description"]
        return _SETTINGS | {
            "properties": properties,
            "patternProperties": _dotted(properties),
            "additionalProperties": False,
        }


config_tree_schema = _ConfigTree()
settings_schema = _ConfigTree()


def sweep_schema(plain: dict[str, Any]) -> dict[str, Any]:
    """The schema of sweep files, from pydantic's schema of `SweepSpec`.

    Blocks of a trial's config may be given in parts and with dotted keys, so that their definitions are
    loosened: nothing is required, and "field.more" is as good as "field".
    """
    own = ("Published", "TableSpec", "FigureSpec", "ScheduleSpec", "SweepResources")
    for name, definition in plain["$defs"].items():
        if name not in own and definition.get("additionalProperties") is False:
            definition.pop("required", None)
            definition["patternProperties"] = _dotted(definition["properties"])
    plain["properties"]["extends"] = {
        "type": "string",
        "description": "Another sweep file, beside this one, that this one changes.",
    }
    plain["required"] = ["version", "name"]  # a file that extends another may have everything else from there
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **plain}


def _dotted(properties: dict[str, Any]) -> dict[str, Any]:
    return {rf"^({'|'.join(properties)})\..+": {}}
