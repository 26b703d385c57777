"""The base of every config: frozen, typed, unknown keys refused. Knows no method, loop or data set.

A config holds what can change a trial's numbers. Where it runs (device, threads, folders) is `Runtime`,
which must never change them. Of plug-ins it knows that the code of some counts and travels.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic.config import JsonDict
from pydantic_core import (
    CoreSchema,
    InitErrorDetails,
    PydanticCustomError,
    PydanticSerializationError,
    core_schema,
    to_jsonable_python,
)

from trainers.config import foreign


def _exact(schema: Any) -> Any:  # above Frozen, whose own schema needs it
    """A schema or a part of one, with its numbers and booleans exact. Models in it look after themselves."""
    if isinstance(schema, list | tuple):
        return type(schema)(_exact(part) for part in schema)
    if not isinstance(schema, dict) or schema.get("type") == "model":
        return schema
    kinds = {schema.get("type")}
    if kinds == {"literal"}:
        kinds = {type(value).__name__ for value in schema["expected"]}
    if kinds == {"bool"}:
        return core_schema.no_info_before_validator_function(_boolean, schema)
    if kinds in ({"int"}, {"float"}):
        return core_schema.no_info_before_validator_function(_number, schema)
    if schema.get("type") == "function-before" and schema["function"]["function"] in (_boolean, _number):
        return schema
    opaque = ("default", "metadata", "serialization", "function", "cls", "config")
    return {key: part if key in opaque else _exact(part) for key, part in schema.items()}


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("number_type", "expected a number")
    if isinstance(value, str | bytes):
        try:
            float(value)
        except ValueError:
            return value  # pydantic says that it is no number
        raise PydanticCustomError("number_type", "expected a number, without quotes")
    return value


def _boolean(value: Any) -> Any:
    if not isinstance(value, bool):
        raise PydanticCustomError("boolean_type", "expected true or false, without quotes")
    return value


class Exact:
    """Annotation of a type in which a boolean and a text are no number, and a number and a text no boolean.

    pydantic takes `true` for 1 and "0.1" for 0.1. Its strict mode does not, but takes no list for a tuple.
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The type's schema, made exact."""
        schema: CoreSchema = _exact(handler(source))
        return schema


class Frozen(BaseModel):
    """An immutable value; unknown keys, NaN, infinities and what only looks like a number are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """pydantic's schema, in which numbers and booleans are exact."""
        schema = handler(source)
        model: Any = handler.resolve_ref_schema(schema)
        while model["type"] != "model":
            model = model["schema"]  # of a validator around the model
        model["schema"] = _exact(model["schema"])
        return schema

    @model_validator(mode="wrap")
    @classmethod
    def _name_the_fields(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Let the error of an unknown key carry the known ones, so that a reader can suggest one."""
        try:
            return handler(value)
        except ValidationError as error:
            if not any(e["type"] == "extra_forbidden" and len(e["loc"]) == 1 for e in error.errors()):
                raise
            details = [_with_names(cls, dict(e)) for e in error.errors()]
            raise ValidationError.from_exception_data(error.title, details) from None


def _with_names(model: type[BaseModel], error: dict[str, Any]) -> InitErrorDetails:
    # pydantic can only re-raise its own error types with the exact context they need, so every error is
    # carried over as a custom one with the same type, message and place.
    context = {k: v for k, v in error.get("ctx", {}).items() if k != "error"}
    kind, message = error["type"], error["msg"]
    if kind == "extra_forbidden" and len(error["loc"]) == 1:
        kind, message = "unknown_key", "no such field"
        context = {"names": list(model.model_fields)}
    return InitErrorDetails(
        type=PydanticCustomError(kind, "{message}", {**context, "message": message}),
        loc=error["loc"],
        input=error["input"],
    )


class FieldError(ValueError):
    """Two fields that do not go together: told at the place of one of them."""

    def __init__(self, at: str, message: str) -> None:
        super().__init__(message)
        self.at = at
        """Path of the field below the config, dotted."""


class LoopConfig(Frozen):
    """What every trial's config has, whichever loop trains it."""

    trainer: str
    """Name of the loop: a file in trainers/loops."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Seed of the trial; every random stream is derived from it and the stream's purpose."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle with the code of plug-ins, which the process that reads it may not have."""
        return foreign.pickled_with_code(self) or super().__reduce_ex__(protocol)


class Runtime(Frozen):
    """Where and how a trial runs: nothing here may change its numbers, beyond how the device rounds."""

    device: str = "cpu"
    """torch device, such as "cpu" or "cuda:0"."""
    gpus: float = Field(0.0, ge=0)
    """GPUs of one trial, or its share of one, where that is known."""
    threads: int = Field(1, ge=1)
    """CPU threads of one trial. One per trial and a trial per core is fastest for small networks. The random
    streams do not depend on it; sums over several threads round differently, in the last digits."""
    data_root: Path | None = None
    """Folder that holds the downloaded data sets; None means $ORCH_DATA, else ./data."""
    download: bool = False
    """Whether a missing data set may be downloaded."""
    checkpoint_every: int = Field(1, ge=1)
    """Epochs between two checkpoints."""
    graphs: bool = True
    """Whether a GPU repeats a recorded CUDA graph for each batch, where that is possible. The same kernels
    run in the same order either way."""
    keep: tuple[Literal["encoder"], ...] = ()
    """What of a trained network is left in the trial's folder when the trial ends."""


NOT_IDENTITY: JsonDict = {"identity": False}
"""Marks a config field that says where something lies, not what it is: left out of the trial's id."""


def identity_dump(config: BaseModel) -> dict[str, Any]:
    """Everything in `config` that decides a trial's numbers, as plain JSON values without `None`s.

    Code that is not of this package does, too.
    """
    code = foreign.code_of(type(config))
    out: dict[str, Any] = {} if code is None else {foreign.CODE: code}
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if value is None or field.json_schema_extra == NOT_IDENTITY:
            continue
        out[name] = plain(value)
    return out


def flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a tree of settings, each with its dotted path."""
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def canonical(value: Any) -> str:
    """One JSON text per meaning: keys sorted, no blanks. The text that trial ids are hashed from."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def plain(value: Any) -> Any:
    """Any config value as plain JSON values, configs by `identity_dump`.

    Raises:
        PluginError: it has no such form.
    """
    if isinstance(value, BaseModel):
        return identity_dump(value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, str | int | float):
        return value
    return _plain_other(value)


def _plain_other(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in value), key=canonical)
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    try:
        return to_jsonable_python(value, inf_nan_mode="strings")
    except PydanticSerializationError:
        raise foreign.PluginError(
            f"a value of type {type(value).__name__} in a config has no form that an id could be made of; "
            "use numbers, texts, or a config of its own"
        ) from None
