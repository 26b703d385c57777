"""Axes of a sweep: a factor and its levels, from any of the ways a file may write them."""

from __future__ import annotations

import hashlib
import math
from typing import Annotated, Any

from pydantic import BeforeValidator, model_serializer, model_validator

from orchestrator.language.json_schema import axis_schema
from orchestrator.language.yaml_text import Key
from trainers.config.base import Frozen

_SAMPLERS = ("uniform", "loguniform", "integers", "choice")
_FORMS = ("levels", "path", "zip", *_SAMPLERS)
_FIELDS = (*_FORMS, "values", "labels", "when", "samples", "sample_seed")


class Level(Frozen):
    """One labelled setting of an axis."""

    label: str
    settings: Any
    """Settings by path, as read."""


class _Axis(Frozen):
    """A factor: its levels in order, and when it applies."""

    levels: tuple[Level, ...]
    when: dict[str, tuple[str, ...]] = {}
    """The axis applies only where these earlier axes have one of these levels."""

    @model_serializer
    def _as_a_file_has_it(self) -> dict[str, Any]:
        written: dict[str, Any] = {"levels": {level.label: level.settings for level in self.levels}}
        if self.when:
            written["when"] = {axis: list(labels) for axis, labels in self.when.items()}
        return written

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the levels, in order."""
        return tuple(level.label for level in self.levels)

    @model_validator(mode="after")
    def _levels_differ(self) -> _Axis:
        if not self.levels:
            raise ValueError("an axis needs at least one level; got none")
        seen: set[str] = set()
        for label in self.labels:
            if label in seen:
                raise ValueError(f"two levels are labelled '{label}'; labels must differ")
            seen.add(label)
        return self


def _read(value: Any) -> Any:
    """Any written form of an axis as `levels` and `when`."""
    if not isinstance(value, dict):
        raise ValueError(
            "expected labelled levels, or path and values, zip, or a sampler"
            f" ({', '.join(_SAMPLERS)}); got {value!r}"
        )
    forms = [form for form in _FORMS if form in value]
    labelled = all(isinstance(v, dict) for v in value.values())
    if not forms or (labelled and not set(value) <= set(_FIELDS)):
        return {"levels": _labelled(value)}
    unknown = [key for key in value if key not in _FIELDS]
    if unknown:
        raise ValueError(f"unknown key '{unknown[0]}' beside '{forms[0]}'; known: {', '.join(_FIELDS)}")
    condition = value.get("when") or {}
    if not isinstance(condition, dict):
        raise ValueError(f"when: expected {{axis: level}}, or {{axis: [level, ...]}}; got {condition!r}")
    when = {axis: wanted if isinstance(wanted, list) else [wanted] for axis, wanted in condition.items()}
    if "levels" in value:
        return {"levels": _labelled(value["levels"]), "when": when}
    if "zip" in value:
        rows = _zipped(value["zip"])
    elif "path" in value:
        path = value["path"]
        if not isinstance(path, str):
            raise ValueError(f"path: expected a dotted path, got {path!r}")
        values = _samples(value) if "values" not in value else value["values"]
        if not isinstance(values, list):
            raise ValueError(f"values: expected a list, got {values!r}")
        # The path takes the line of the key "path", so that an error in it can name one.
        place = next(getattr(key, "place", "") for key in value if key == "path")
        rows = [{Key(path, place): v} for v in values]
    else:
        raise ValueError(f"'{forms[0]}' needs a 'path' to set")
    labels = value.get("labels") or [", ".join(_label(v) for v in row.values()) for row in rows]
    if len(labels) != len(rows):
        raise ValueError(f"{len(labels)} labels for {len(rows)} levels; give one each")
    pairs = zip(labels, rows, strict=True)
    return {"levels": [{"label": str(label), "settings": row} for label, row in pairs], "when": when}


Axis = Annotated[_Axis, BeforeValidator(_read), axis_schema]


def _labelled(levels: Any) -> list[dict[str, Any]]:
    if not isinstance(levels, dict) or not levels:
        raise ValueError("an axis needs at least one level; got none")
    for label, settings in levels.items():
        if not isinstance(settings, dict | None):
            raise ValueError(f"level '{label}': expected settings by path, got {settings!r}")
    return [{"label": str(label), "settings": settings or {}} for label, settings in levels.items()]


def _zipped(columns: Any) -> list[dict[str, Any]]:
    if not isinstance(columns, dict) or not all(isinstance(v, list) for v in columns.values()):
        raise ValueError("zip: expected a list of values for each path")
    lengths = {path: len(values) for path, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"zip: lists of different lengths {lengths}; they move together")
    number = next(iter(lengths.values()), 0)
    return [{path: values[i] for path, values in columns.items()} for i in range(number)]


def _samples(value: dict[str, Any]) -> list[Any]:
    """Draws of a sampler. The i-th draw depends on path and seed alone: asking for more keeps the first."""
    kind = next((sampler for sampler in _SAMPLERS if sampler in value), None)
    if kind is None:
        raise ValueError(f"'path' needs 'values' or a sampler ({', '.join(_SAMPLERS)})")
    number, bounds = value.get("samples"), value[kind]
    if not isinstance(number, int) or number < 1:
        raise ValueError(f"{kind}: 'samples' must say how many, 1 or more; got {number!r}")
    if not isinstance(bounds, list) or not bounds:
        raise ValueError(f"{kind}: expected a list, got {bounds!r}")
    if kind != "choice":
        numbers = all(isinstance(b, int | float) and not isinstance(b, bool) for b in bounds)
        if len(bounds) != 2 or not numbers or bounds[0] >= bounds[1]:
            raise ValueError(f"{kind}: expected [low, high], got {bounds!r}")
        if kind == "loguniform" and bounds[0] <= 0:
            raise ValueError(f"loguniform: low must be above 0, got {bounds[0]}")
    # A value that is drawn again is passed over: levels differ, and more samples still keep the first.
    drawn: dict[Any, None] = {}
    for i in range(100 * number + 1000):
        drawn.setdefault(_drawn(kind, bounds, (value["path"], value.get("sample_seed", 0), i)))
        if len(drawn) == number:
            return list(drawn)
    raise ValueError(f"{kind}: only {len(drawn)} different values to draw, 'samples' asks for {number}")


def _drawn(kind: str, bounds: list[Any], place: tuple[Any, ...]) -> Any:
    digest = hashlib.sha256("/".join(map(str, place)).encode()).digest()
    u = int.from_bytes(digest[:7], "big") / 2**56  # uniform in [0, 1)
    if kind == "choice":
        return bounds[int(u * len(bounds))]
    low, high = bounds
    if kind == "integers":
        return low + int(u * (high - low + 1))
    if kind == "uniform":
        return float(f"{low + u * (high - low):.6g}")
    return float(f"{math.exp(math.log(low) + u * math.log(high / low)):.6g}")


def _label(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return str(value.get("name") or value.get("kind") or value)
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "none"}[value]
    return str(value)
