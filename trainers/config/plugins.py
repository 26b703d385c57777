"""Plug-ins by file name: trainers/methods/byol.py is what YAML calls `method: {name: byol}`.

Dropping a file into a folder is the registration; there is no list to edit. A plug-in module holds a
`Config` whose `name` is the file's, beside the code that reads it. Those of other packages are in `foreign`.
"""

from __future__ import annotations

import contextlib
import sys
from types import ModuleType
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from trainers.config import foreign
from trainers.config.base import Frozen
from trainers.config.families import CALLED, INSIDE, SINGULAR, members, module, package_of


def names(kind: str) -> tuple[str, ...]:
    """The names of all plug-ins of a family, sorted: those in its folder, and those of other packages."""
    return tuple(sorted({*members(package_of(kind)), *foreign.names(kind)}))


def load(kind: str, name: str) -> ModuleType:
    """The module of one plug-in.

    Raises:
        PydanticCustomError: none of that name; lists the names that exist.
        PluginError: an installed one cannot be used.
    """
    if (found := foreign.find(kind, name)) is not None:
        return found.module
    return module(package_of(kind), _known(name, names(kind), what=(CALLED | INSIDE)[kind]))


def behind(config: type[Frozen]) -> ModuleType:
    """The module of the plug-in whose config this is, also where another has its name by now.

    Raises:
        PluginError: an installed one was imported again since, so that its module may be other code.
    """
    found = sys.modules[config.__module__]
    if foreign.code_of(config) is not None and getattr(found, "Config", None) is not config:
        raise foreign.PluginError(f"{found.__name__}: was reloaded since this sweep was made; make it anew")
    return found


def config_type(kind: str, name: str) -> type[Frozen]:
    """The config class of one plug-in."""
    found = foreign.find(kind, name)
    config: type[Frozen] | None = load(kind, name).Config if found is None else found.config
    assert config is not None  # only what shows results has none
    return config


def usable(kind: str) -> list[type[Frozen]]:
    """The config classes of a family, without those of installed packages that cannot be imported."""
    found = []
    for name in names(kind):
        with contextlib.suppress(foreign.PluginError):  # told to who uses it, and by `orch doctor`
            found.append(config_type(kind, name))
    return found


def shared_fields(kind: str, first: str, second: str) -> frozenset[str]:
    """Fields that two plug-ins of one kind have from a common family, and so with one meaning.

    A family is a config class between the folder's base and the two: what "byol" and "directpred" both
    have from `SiameseConfig`, say. Empty for names that do not exist.
    """
    if first not in names(kind) or second not in names(kind):
        return frozenset()
    try:
        one, mro = config_type(kind, first), config_type(kind, second).__mro__
    except foreign.PluginError:  # of an installed one: told where its config is made
        return frozenset()
    family = next(c for c in one.__mro__ if c in mro)
    if not issubclass(family, Frozen) or family.__module__ in (f"trainers.{kind}.base", Frozen.__module__):
        return frozenset()
    return frozenset(family.model_fields) - {"name"}


class Plugin:
    """Field annotation: a config whose class is chosen by its `name` among the files of a folder.

    Used as `Annotated[SerializeAsAny[Base], Plugin("folder")]`. A bare string is short for
    `{name: string}`; `default` is the name where none is given.
    """

    def __init__(self, kind: str, default: str | None = None, *, as_written: bool = False) -> None:
        """One of `kind`; `as_written`: it is checked, and the value stays as it is."""
        self.kind = kind
        self.default = default
        self.as_written = as_written

    def checked(self, value: Any) -> Any:
        """What the field holds of a raw value."""
        chosen = self.choose(value)
        return value if self.as_written else chosen

    def choose(self, value: Any) -> Any:
        """The validated config for a raw mapping; anything but a mapping is left to pydantic."""
        if isinstance(value, str):
            value = {"name": value}
        if not isinstance(value, dict):
            return value
        name = value.get("name", self.default)
        if not isinstance(name, str):
            raise PydanticCustomError(
                "plugin_without_name",
                "no name given for the {what}; available: {available}",
                {"what": (SINGULAR | INSIDE)[self.kind], "available": ", ".join(names(self.kind))},
            )
        return config_type(self.kind, name).model_validate({**value, "name": name})

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The base's schema behind the choice."""
        return core_schema.no_info_before_validator_function(self.checked, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Any of the plug-ins' own schemas, so that an editor completes the fields of each."""
        forms = [handler(config.__pydantic_core_schema__) for config in usable(self.kind)]
        return {"anyOf": [*forms, *([{"enum": list(names(self.kind))}] if self.as_written else [])]}


def of_field(trainer: Any, field: str) -> Plugin | None:
    """How a trainer's field has its class by name; None: it has not, or there is no such trainer or field."""
    if not isinstance(trainer, str) or trainer not in names("loops"):
        return None
    try:
        own = config_type("loops", trainer).model_fields.get(field)
    except foreign.PluginError:  # told where its config is made
        return None
    return next((one for one in own.metadata if isinstance(one, Plugin)), None) if own else None


class Member:
    """Field annotation: a string that names a member of a family of files."""

    def __init__(self, kind: str) -> None:
        """A member of the family `kind`."""
        self.kind = kind

    def check(self, value: str) -> str:
        """The name, if there is such a file, here or in another package, and it can be used."""
        load(self.kind, value)
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """A string, and there is such a file."""
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """The names there are, each with the first line of what its file says of itself."""
        found = [(name, load(self.kind, name).__doc__ or "") for name in names(self.kind)]
        told = (f'"{name}": {next(iter(text.splitlines()), "")}' for name, text in found)
        return {"type": "string", "enum": [name for name, _ in found], "description": " ".join(told)}


def _known(name: str, there: tuple[str, ...], *, what: str) -> str:
    """`name`, if it is one of those that are there.

    Raises:
        PydanticCustomError: it is not; lists them.
    """
    if name not in there:
        raise PydanticCustomError(
            "unknown_plugin",
            "no {what} named '{name}'; available: {available}",
            {"what": what, "name": name, "available": ", ".join(there), "names": list(there)},
        )
    return name
