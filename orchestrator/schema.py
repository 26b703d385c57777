"""JSON Schema of a sweep file, so that editors complete and check it while it is written."""

from __future__ import annotations

from typing import Any

from pydantic import GetJsonSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema

from trainers.plugins import config_type, names

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

    def __init__(self, *, with_loops: bool) -> None:
        self.with_loops = with_loops

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        loops = [handler(config_type("loops", name).__pydantic_core_schema__) for name in names("loops")]
        full = [handler.resolve_ref_schema(loop) for loop in loops]
        properties = {k: v for one in full for k, v in one["properties"].items()}
        heads = "|".join(properties)
        return {
            "type": "object",
            "description": _SETTINGS["description"],
            "properties": {name: _partial(value) for name, value in properties.items()},
            "patternProperties": {rf"^({heads})\..+": {}},
            "additionalProperties": False,
        }


def _partial(value: dict[str, Any]) -> dict[str, Any]:
    """A field's schema for a base or an override: a block may leave out what another one gives."""
    kept = {k: v for k, v in value.items() if k in ("description", "title", "type", "enum", "const")}
    block = any(k in value for k in ("$ref", "anyOf", "oneOf", "allOf"))
    return (
        {"description": value.get("description", ""), "type": ["object", "string", "null"]} if block else kept
    )


config_tree_schema = _ConfigTree(with_loops=True)
settings_schema = _ConfigTree(with_loops=False)
