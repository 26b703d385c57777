"""Makes a plug-in of files or of an installed module, and tells what keeps it from being one.

The text of files travels with what needs it, so that a process which has never seen them makes the same
modules.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from trainers.config.code import File, digest, reached
from trainers.config.families import CALLED, SHOWN, SINGULAR
from trainers.config.files import PREFIX, check_imports, chosen, noting, read, reader, shown, texts
from trainers.config.files import PluginError as PluginError
from trainers.config.fresh import CHANGED, check_fresh

NEEDS = {
    "methods": ("build",), "encoders": ("build",), "optimizers": ("build",), "datasets": ("load",),
    "loops": ("fit",), "figures": ("draw", "check"), "formats": ("write", "IN_STORE"),
}  # fmt: skip
"""What a plug-in of each family has beside its `Config`; by the first, one without a `Config` is known."""
BASES = "MethodConfig, DatasetConfig, EncoderConfig, OptimizerConfig or LoopConfig"


class Carried(NamedTuple):
    """A plug-in as it travels to another process."""

    place: str
    """Its file or module, as a person knows it."""
    module: str
    code: str
    """What it is identified by: its VERSION, or the digest of its source."""
    files: dict[str, File] = {}
    """Its module and those of its folder that it imports; empty: it is installed wherever it is used."""


class Foreign(NamedTuple):
    """A plug-in that is not of this package."""

    kind: str
    name: str
    config: type[Any] | None
    """None: it shows results, and is no part of any trial."""
    line: int
    """Where its name stands in its file."""
    path: str
    """Its file, without links, or its module."""
    digest: str
    """Of its normalised source, also where it declares a VERSION."""
    carried: Carried

    @property
    def module(self) -> ModuleType:
        """Its code."""
        return sys.modules[self.carried.module]

    @property
    def label(self) -> str:
        """How provenance calls it, such as "methods/mybyol": no other has that name, whatever its file is."""
        return f"{self.kind}/{self.name}"


_made: dict[str, Foreign] = {}
"""By the names of their modules; that of a text has a digest of all that it may import."""


def from_files(entries: Iterable[Path]) -> list[Foreign]:
    """The plug-ins of files and of folders' files; those of one folder may import one another.

    Raises:
        PluginError: with a line for each that is none.
    """
    folders: dict[Path, dict[str, Path]] = {}  # without links, as `sys.path` and editors have them
    problems: list[str] = []
    for entry in entries:
        with noting(problems, shown(entry), entry):
            for path in chosen(entry):
                real = Path(os.path.realpath(path.parent))
                folders.setdefault(real, {}).setdefault(path.stem, path)
    packages = {folder: _read_folder(folder, paths, problems) for folder, paths in folders.items()}
    made: list[Foreign] = []
    for folder, paths in folders.items() if not problems else ():
        for stem, path in paths.items():
            name = f"{packages[folder]}.{stem}"
            with noting(problems, shown(path), folder):
                made.append(of_text(name, shown(path)))
    if problems:
        raise PluginError("\n".join(dict.fromkeys(problems)))
    return made


def _read_folder(folder: Path, paths: dict[str, Path], problems: list[str]) -> str:
    """The package that stands for a folder, whose texts are then there; problems are added."""
    found: dict[str, File] = {}
    beside = reader(next(iter(paths.values())).absolute().parent)
    for stem, path in paths.items():
        with noting(problems, shown(path), folder):
            own = reached(f".{stem}", beside)
            for name in own.keys() - found.keys():
                check_imports(own[name], folder)
            found |= own
    package = PREFIX + hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()[:8]
    texts.update({package + name: file for name, file in found.items()})
    return package


def of_text(name: str, place: str) -> Foreign:
    """The plug-in that a module of a text is, which is there.

    Raises:
        PluginError: it cannot be imported, or is none.
    """
    if not _is_made(name):
        problems: list[str] = []
        with noting(problems, place, Path(texts[name][0]).parent):
            module = _imported(name)
            _made[name] = _examined(module, place, reached(name, texts.get))
        if problems:
            raise PluginError(problems[0])
    return _made[name]._replace(carried=_made[name].carried._replace(place=place))


def from_module(name: str, *, as_imported: bool = False) -> Foreign:
    """The plug-in that an installed module is, as this process has imported it.

    Args:
        name: of the module.
        as_imported: whether it counts for nothing that it has been edited since.

    Raises:
        PluginError: it cannot be imported, is none, or may have been edited since it was imported.
    """
    if as_imported and _is_made(name):
        return _made[name]
    before, top, problems = set(sys.modules), name.partition(".")[0], list[str]()
    with noting(problems, name, Path(top)):
        module = _imported(name)
        files = reached(name, lambda one: _installed(top, one))
        check_fresh(name, files, before)
        made = _examined(module, name, files)
        if _is_made(name) and made.digest != _made[name].digest:
            raise PluginError(f"{name}: what it imports {CHANGED}")
        _made[name] = made
    if problems:
        raise PluginError(problems[0])
    return _made[name]


def failed(error: Exception, module: ModuleType) -> str:
    """What a plug-in's code raised, in one line."""
    name, problems = module.__name__, list[str]()
    place = shown(Path(texts[name][0])) if name in texts else name
    own = Path(texts[name][0]).parent if name in texts else Path(name.partition(".")[0])
    with noting(problems, place, own, what="failed"):
        raise error
    return problems[0]


def _is_made(name: str) -> bool:
    """Whether the module is known, and was not imported again since."""
    return name in _made and getattr(sys.modules.get(name), "Config", None) is _made[name].config


def _imported(name: str) -> ModuleType:
    """The module; what it prints is no command's answer."""
    with contextlib.redirect_stdout(sys.stderr):
        return importlib.import_module(name)


def _installed(top: str, name: str) -> File | None:
    """The source of an installed module, if it is of the package `top`; nothing is imported to find it."""
    first, *rest = name.split(".")
    if first != top:
        return None
    if name in sys.modules:
        places = [Path(getattr(sys.modules[name], "__file__", None) or "")]
    else:
        roots = map(Path, getattr(sys.modules[top], "__path__", ()))
        below = [root.joinpath(*rest) for root in roots]
        places = [place for one in below for place in (one / "__init__.py", one.with_name(f"{one.name}.py"))]
    found = next((place for place in places if place.suffix == ".py" and place.is_file()), None)
    return None if found is None else read(found, sys.maxsize)


def _examined(module: ModuleType, place: str, files: dict[str, File]) -> Foreign:
    """The plug-in that a module of these files is.

    Raises:
        PluginError: it is none.
    """
    name, text = module.__name__, files.get(module.__name__, ("", ""))[1]
    kind, called, config, line = _checked(module, place, text)
    version = _version(module, place, text)
    if version is None and not text:
        raise PluginError(f"{place}: its source is not there; declare a VERSION in it")
    source = digest(name, files) if text else ""
    code = source if version is None else f"version {version}"
    travels = files if name.startswith(PREFIX) else {}
    path = os.path.realpath(files[name][0]) if travels else name
    return Foreign(kind, called, config, line, path, source, Carried(place, name, code, travels))


def _version(module: ModuleType, place: str, text: str) -> int | str | None:
    """What a module itself says that its code is called.

    Raises:
        PluginError: it is no whole number and no text.
    """
    lines = [
        node.lineno
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and target.id == "VERSION"
    ]
    if text and not lines:
        return None  # what it imports of that name is another's
    version = getattr(module, "VERSION", None)
    if version is None or (type(version) is int or (type(version) is str and version.strip())):
        return version
    raise PluginError(
        f"{place}:{lines[-1] if lines else 1}: VERSION is of type {type(version).__name__}, or empty; "
        'expected a whole number or a text, such as 2 or "2.1"'
    )


def _checked(module: ModuleType, place: str, text: str) -> tuple[str, str, type[Any] | None, int]:
    """Family, name and config of the plug-in that a module is, and the line of its name.

    Raises:
        PluginError: it is none.
    """
    config: Any = getattr(module, "Config", None)
    shows = next((kind for kind in SHOWN if config is None and hasattr(module, NEEDS[kind][0])), None)
    if shows is not None:
        _check_needs(module, place, shows)
        return shows, module.__name__.rpartition(".")[2], None, 1
    if not hasattr(config, "__mro__") or config.__module__ != module.__name__:
        raise PluginError(
            f"{place}:1: no class `Config` of its own; expected one that derives from {BASES}, "
            "or else the function `draw` of a figure kind or `write` of a table format"
        )
    line, name_line = _lines(text)
    kind = family_of(config)
    if kind is None:
        raise PluginError(f"{place}:{line}: `Config` joins no family; expected it to derive from {BASES}")
    field = "trainer" if kind == "loops" else "name"
    own = config.model_fields[field]
    values: tuple[Any, ...] = getattr(own.annotation, "__args__", ())
    if len(values) != 1 or not isinstance(values[0], str) or own.default != values[0]:
        raise PluginError(
            f'{place}:{name_line}: `Config.{field}` is no name; expected {field}: Literal["mine"] = "mine"'
        )
    _check_needs(module, place, kind)
    return kind, values[0], config, name_line


def _check_needs(module: ModuleType, place: str, kind: str) -> None:
    for name in NEEDS[kind]:
        what = getattr(module, name, None)
        if not (isinstance(what, bool) if name.isupper() else callable(what)):
            called = f"`{name} = True` or `False`" if name.isupper() else f"function `{name}`"
            raise PluginError(f"{place}:1: no {called}, which every {CALLED[kind]} has")


def family_of(config: type[Any]) -> str | None:
    """The family that a config class joins by its base class; None: none."""
    return next(filter(None, map(_family, config.__mro__)), None)


def _family(base: type[Any]) -> str | None:
    """The family whose configs all derive from this class, if there is one."""
    if (base.__module__, base.__name__) == ("trainers.config.base", "LoopConfig"):
        return "loops"
    if "name" not in getattr(
        base, "model_fields", {}
    ):  # a block of settings, such as the rates of one network
        return None
    return next((kind for kind in SINGULAR if base.__module__ == f"trainers.{kind}.base"), None)


def _lines(text: str) -> tuple[int, int]:
    """The lines of the class `Config` and of its name."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef) and node.name == "Config":
            fields = (one for one in node.body if isinstance(one, ast.AnnAssign))
            named = (one.lineno for one in fields if ast.unparse(one.target) in ("name", "trainer"))
            return node.lineno, next(named, node.lineno)
    return 1, 1
