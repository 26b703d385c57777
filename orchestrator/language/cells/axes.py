"""Axes of a sweep: a factor and its levels, from any of the ways a file may write them."""

from __future__ import annotations

import hashlib
import json
import math
import unicodedata
from typing import Annotated, Any, TypeGuard

from pydantic import BeforeValidator, model_serializer, model_validator

from orchestrator.language.hints import shown
from orchestrator.language.json_schema import axis_schema
from orchestrator.language.yaml_text import Key
from trainers.config.base import Frozen

_SAMPLERS = ("uniform", "loguniform", "integers", "choice")
_TURNING = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_FORMS = ("levels", "path", "zip", *_SAMPLERS)
_FIELDS = (*_FORMS, "values", "labels", "when", "samples", "sample_seed")
_BESIDE = {"levels": (), "zip": ("labels",), "values": ("path", "labels")}
_BESIDE |= dict.fromkeys(_SAMPLERS, ("path", "labels", "samples", "sample_seed"))
"""What may stand beside the key that says an axis's levels, as `when` may beside each."""
MOST_LEVELS = 10_000
"""Levels of one axis."""
LONGEST_LABEL = 200
"""Bytes of a level's label: with others it becomes a run's name and a tag in MLflow."""


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
        if len(self.levels) > MOST_LEVELS:
            raise ValueError(f"an axis has at most {MOST_LEVELS} levels; got {len(self.levels)}")
        seen: set[str] = set()
        for label in self.labels:
            if wrong := unfit(label):
                raise ValueError(f"level {shown(label)}: a label {wrong}")
            if label in seen:
                raise ValueError(f"two levels are labelled '{label}'; labels must differ")
            seen.add(label)
        return self


def unfit(label: str) -> str | None:
    """What is wrong with a label, which stands in tables, logs and MLflow; None: nothing."""
    if not label.strip():
        return "must not be empty; give it a word"
    # Control characters, halves of a character, ends of lines, and what turns the direction of text.
    if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in _TURNING for c in label):
        return "must be one line without control characters; leave them out"
    if len(label.encode()) > LONGEST_LABEL:
        return f"may have at most {LONGEST_LABEL} bytes, this has {len(label.encode())}; shorten it"
    return None


def _read(value: Any) -> Any:
    """Any written form of an axis as `levels` and `when`."""
    if not isinstance(value, dict):
        raise ValueError(
            "expected labelled levels, or path and values, zip, or a sampler"
            f" ({', '.join(_SAMPLERS)}); got {shown(value)}"
        )
    forms = [form for form in _FORMS if form in value]
    labelled = all(isinstance(v, dict) for v in value.values())
    if not forms or (labelled and not set(value) <= set(_FIELDS)):
        return {"levels": _labelled(value)}
    unknown = [key for key in value if key not in _FIELDS]
    if unknown:
        what = f"unknown key {shown(unknown[0])} beside '{forms[0]}'"
        raise ValueError(f"{what}; known: {', '.join(_FIELDS)}")
    said = [key for key in _FIELDS if value.get(key) is not None]
    own = next((key for key in _BESIDE if key in said), None)
    for other in said:
        if own is not None and other not in (own, "when", *_BESIDE[own]):
            raise ValueError(f"'{own}' and '{other}' exclude each other; keep one of the two")
    condition = value.get("when") or {}
    if not isinstance(condition, dict):
        raise ValueError(f"when: expected {{axis: level}}, or {{axis: [level, ...]}}; got {shown(condition)}")
    when = {
        axis: [label_of(one) for one in (wanted if isinstance(wanted, list) else [wanted])]
        for axis, wanted in condition.items()
    }
    if empty := next((axis for axis, wanted in when.items() if not wanted), None):
        told = f"when: {empty} has no level, so that the axis never applies; name one, or leave `{empty}` out"
        raise ValueError(told)
    if "levels" in value:
        return {"levels": _labelled(value["levels"]), "when": when}
    if "zip" in value:
        rows = _zipped(value["zip"])
    elif "path" in value:
        path = value["path"]
        if not isinstance(path, str):
            raise ValueError(f"path: expected a dotted path, got {shown(path)}")
        values = _samples(value) if "values" not in value else value["values"]
        if not isinstance(values, list):
            raise ValueError(f"values: expected a list, got {shown(values)}")
        # The path takes the line of the key "path", so that an error in it can name one.
        place = next(getattr(key, "place", "") for key in value if key == "path")
        rows = [{Key(path, place): v} for v in values]
    else:
        raise ValueError(f"'{forms[0]}' needs a 'path' to set")
    labels = value.get("labels") or [", ".join(label_of(v) for v in row.values()) for row in rows]
    if not isinstance(labels, list):
        raise ValueError(f"labels: expected a list, one for each level; got {shown(labels)}")
    if len(labels) != len(rows):
        raise ValueError(f"{len(labels)} labels for {len(rows)} levels; give one each")
    pairs = zip(labels, rows, strict=True)
    return {"levels": [{"label": str(label), "settings": row} for label, row in pairs], "when": when}


Axis = Annotated[_Axis, BeforeValidator(_read), axis_schema]


def as_labelled(axis: Any) -> Any:
    """An axis in any written form as labelled levels; one that is wrong stays as it is."""
    try:
        read = _read(axis)
    except ValueError:
        return axis
    levels = {level["label"]: level["settings"] for level in read["levels"]}
    when = {"when": read["when"]} if read.get("when") else {}
    return {"levels": levels, **when} if len(levels) == len(read["levels"]) else axis


def _labelled(levels: Any) -> list[dict[str, Any]]:
    if not isinstance(levels, dict) or not levels:
        raise ValueError("an axis needs at least one level; got none")
    for label, settings in levels.items():
        if not isinstance(settings, dict | None):
            raise ValueError(f"level {shown(label)}: expected settings by path, got {shown(settings)}")
    return [{"label": str(label), "settings": settings or {}} for label, settings in levels.items()]


def _zipped(columns: Any) -> list[dict[str, Any]]:
    if not isinstance(columns, dict) or not all(isinstance(v, list) for v in columns.values()):
        raise ValueError("zip: expected a list of values for each path")
    lengths = {path: len(values) for path, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"zip: lists of different lengths {shown(lengths)}; they move together")
    number = next(iter(lengths.values()), 0)
    return [{path: values[i] for path, values in columns.items()} for i in range(number)]


def _samples(value: dict[str, Any]) -> list[Any]:
    """Draws of a sampler. The i-th draw depends on path and seed alone: asking for more keeps the first."""
    kind = next((sampler for sampler in _SAMPLERS if sampler in value), None)
    if kind is None:
        raise ValueError(f"'path' needs 'values' or a sampler ({', '.join(_SAMPLERS)})")
    number, bounds = value.get("samples"), value[kind]
    if not _is_whole(number) or number < 1:
        raise ValueError(f"{kind}: 'samples' must say how many, 1 or more; got {shown(number)}")
    if number > MOST_LEVELS:
        raise ValueError(f"{kind}: 'samples' may be {MOST_LEVELS} at most; got {number}")
    if not _is_whole(value.get("sample_seed", 0)):
        raise ValueError(f"{kind}: 'sample_seed' must be a whole number; got {shown(value['sample_seed'])}")
    if not isinstance(bounds, list) or not bounds:
        raise ValueError(f"{kind}: expected a list, got {shown(bounds)}")
    different: float = math.inf
    if kind == "choice":
        different = len({json.dumps(one, sort_keys=True) for one in bounds})
    else:
        bounds = _interval(kind, bounds)
    if kind == "integers":
        different = bounds[1] - bounds[0] + 1
    if number > different:
        raise ValueError(f"{kind}: only {different} different values to draw, 'samples' asks for {number}")
    # A value that is drawn again is passed over: levels differ, and more samples still keep the first.
    drawn: dict[Any, Any] = {}
    i = newest = 0
    while i <= newest + 20 * len(drawn) + 1000:  # where nothing new comes for so long there is nothing
        one = _drawn(kind, bounds, (value["path"], value.get("sample_seed", 0), i))
        key = json.dumps(one, sort_keys=True) if kind == "choice" else one
        newest = newest if key in drawn else i
        drawn.setdefault(key, one)
        if len(drawn) == number:
            return list(drawn.values())
        i += 1
    raise ValueError(f"{kind}: only {len(drawn)} different values to draw, 'samples' asks for {number}")


def _is_whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _interval(kind: str, bounds: list[Any]) -> list[Any]:
    """Low and high of a sampler of numbers."""
    numbers = all(_is_whole(b) or (isinstance(b, float) and math.isfinite(b)) for b in bounds)
    if len(bounds) != 2 or not numbers or bounds[0] >= bounds[1]:
        raise ValueError(f"{kind}: expected [low, high], got {shown(bounds)}")
    if kind == "loguniform" and bounds[0] <= 0:
        raise ValueError(f"loguniform: low must be above 0, got {bounds[0]}")
    if kind == "integers":
        if any(b != int(b) for b in bounds):
            raise ValueError(f"integers: expected whole numbers [low, high], got {shown(bounds)}")
        return [int(b) for b in bounds]
    return bounds


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


def level_of(axis: _Axis, value: Any) -> str:
    """The label of the level that `value` names, by its text or, for a number, by what it comes to."""
    labels = axis.labels
    text = value if isinstance(value, str) else label_of(value)
    if text in labels:
        return text
    return next((label for label in labels if same_number(label, text)), text)


def same_number(first: str, second: str) -> bool:
    """Whether both are numbers, and one: 1 and 1.0, 0.01 and 1e-2."""
    number = _number(first)
    return number is not None and number == _number(second)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def label_of(value: Any) -> str:
    """What a level with this value is called, and what a condition, table or figure calls it."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return str(value.get("name") or value.get("kind") or value)
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "none"}[value]
    return str(value)
