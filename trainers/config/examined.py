"""Makes a plug-in of files or of an installed module, and tells what keeps it from being one.

A file is read once, as text, and becomes a module whose name is a digest of what was read: an edited one is
another module, and configs of the old one keep their code. The text travels with what needs it, so that a
process which has never seen the file makes the same module of it.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import importlib.abc
import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from trainers.config.code import File, digest, imports, reached
from trainers.config.families import CALLED, SHOWN, SINGULAR
from trainers.config.faults import PluginError as PluginError
from trainers.config.faults import shown, told

PREFIX = "orch_plugin_"
NEEDS = {
    "methods": ("build",), "encoders": ("build",), "optimizers": ("build",), "datasets": ("load",),
    "loops": ("fit",), "figures": ("draw", "check"), "formats": ("write", "IN_STORE"),
}  # fmt: skip
"""What a plug-in of each family has beside its `Config`; by the first, one without a `Config` is known."""
MOST_BYTES = 1_000_000
"""Size of a plug-in's file, and of each that it imports from beside it."""
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
    digest: str
    """Of its normalised source, also where it declares a VERSION."""
    carried: Carried

    @property
    def path(self) -> str:
        """Its file, or its module."""
        return self.carried.files.get(self.carried.module, (self.carried.module, ""))[0]

    @property
    def module(self) -> ModuleType:
        """Its code."""
        return sys.modules[self.carried.module]

    @property
    def label(self) -> str:
        """How provenance calls it, such as "methods/mybyol.py"."""
        return f"{self.kind}/{Path(self.path).name}"


texts: dict[str, File] = {}
"""What this process makes modules of, by their names."""


def from_files(path: Path) -> list[Foreign]:
    """The plug-ins of a file, or of a folder's: they may import one another, and what else lies beside them.

    Raises:
        PluginError: with a line for each that is none.
    """
    paths = [path]
    if path.is_dir():
        paths = [one for one in sorted(path.glob("*.py")) if one.stem != "base" and one.stem[0] != "_"]
        if not paths:
            raise PluginError(f"{shown(path)}: a folder without a plug-in; expected files *.py in it")
    folder, found, problems = paths[0].absolute().parent, dict[str, File](), list[str]()
    beside = functools.partial(_beside, folder)
    for one in paths:
        try:
            if not one.is_file():
                raise PluginError(f"{shown(one)}: no such file or folder")
            own = reached(f".{one.stem}", beside)
            for file in own.values():
                _check_imports(file, folder)
            found |= own
        except (PluginError, SyntaxError) as error:
            problems.append(told(error, shown(one), folder))
    package = PREFIX + hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()[:8]
    texts.update({package + name: file for name, file in found.items()})
    made = []
    for one in paths if not problems else ():
        try:
            made.append(examined(f"{package}.{one.stem}", shown(one)))
        except PluginError as error:
            problems.append(str(error))
    if problems:
        raise PluginError("\n".join(problems))
    return made


@functools.cache
def from_module(name: str) -> Foreign:
    """The plug-in that an installed module is: as it was when it was first asked for, like the module itself.

    Raises:
        PluginError: it cannot be imported, or is none.
    """
    return examined(name, name)


def examined(name: str, place: str) -> Foreign:
    """The plug-in that a module is.

    Raises:
        PluginError: it cannot be imported, or is none.
    """
    is_read = name.startswith(PREFIX)
    try:
        module = importlib.import_module(name)
        files = reached(name, texts.get if is_read else functools.partial(_installed, name.partition(".")[0]))
    except (Exception, SystemExit) as error:
        raise PluginError(told(error, place, _own(name))) from None
    kind, called, config, line = _checked(module, place, files.get(name, (place, ""))[1])
    version = getattr(module, "VERSION", None)
    if version is None and name not in files:
        raise PluginError(f"{place}: its source is not there; declare a VERSION in it")
    source = digest(name, files) if name in files else ""
    code = source if version is None else f"version {version}"
    return Foreign(kind, called, config, line, source, Carried(place, name, code, files if is_read else {}))


def failed(error: Exception, module: ModuleType) -> str:
    """What a plug-in's code raised, in one line."""
    name = module.__name__
    place = shown(Path(texts[name][0])) if name in texts else name
    return told(error, place, _own(name), what="failed")


def _own(name: str) -> Path:
    """The folder of a module's files, or the name of its installed package."""
    return Path(texts[name][0]).parent if name in texts else Path(name.partition(".")[0])


def _beside(folder: Path, name: str) -> File | None:
    """A module of a folder, whose package has an empty name; None: it is none of its files."""
    path = folder / f"{name[1:]}.py"
    if name[:1] != "." or "." in name[1:] or not path.is_file():
        return None
    if path.stat().st_size > MOST_BYTES:
        raise PluginError(f"{shown(path)}: larger than the {MOST_BYTES} bytes that travel with a trial")
    return _read(path)


def _read(path: Path) -> File:
    try:
        return str(path), path.read_text(encoding="utf-8")
    except OSError as error:
        raise PluginError(f"{shown(path)}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise PluginError(f"{shown(path)}: cannot be read: not a text file") from None


def _check_imports(file: File, folder: Path) -> None:
    """A file that lies beside travels, and is part of the identity, only where it is imported from there.

    Raises:
        PluginError: one is imported as if it were installed.
    """
    for name, line in imports(ast.parse(file[1]), ""):
        top = name.partition(".")[0]
        beside = str(folder / f"{top}.py")
        if not top or top in sys.stdlib_module_names or not Path(beside).is_file():
            continue
        spec = importlib.util.find_spec(top)
        if spec is None or spec.origin == beside:
            raise PluginError(
                f"{shown(Path(file[0]))}:{line}: imports '{top}', a file beside it; write "
                f"`from . import {top}` or `from .{top} import ...`, so that it travels along"
            )


def _installed(top: str, name: str) -> File | None:
    """The source of an installed module, if it is of the package `top`."""
    if name.partition(".")[0] != top:
        return None
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):  # what was imported is no module
        return None
    origin = spec.origin if spec is not None else None
    return _read(Path(origin)) if origin and origin.endswith(".py") else None


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
    kind = next(filter(None, map(_family, config.__mro__)), None)
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


def _family(base: type[Any]) -> str | None:
    """The family whose configs all derive from this class, if there is one."""
    if (base.__module__, base.__name__) == ("trainers.config.base", "LoopConfig"):
        return "loops"
    return next((kind for kind in SINGULAR if base.__module__ == f"trainers.{kind}.base"), None)


def _lines(text: str) -> tuple[int, int]:
    """The lines of the class `Config` and of its name."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef) and node.name == "Config":
            fields = (one for one in node.body if isinstance(one, ast.AnnAssign))
            named = (one.lineno for one in fields if ast.unparse(one.target) in ("name", "trainer"))
            return node.lineno, next(named, node.lineno)
    return 1, 1


class _Loader(importlib.abc.SourceLoader):
    """Makes a module of a text that was read before, here or elsewhere."""

    def __init__(self, file: File) -> None:
        self.file = file

    def get_filename(self, fullname: str) -> str:
        """The file, which need not be on this machine."""
        return self.file[0]

    def get_data(self, path: str | bytes) -> bytes:
        """The text."""
        return self.file[1].encode()


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of plug-ins among the texts that this process has."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Of a plug-in, or of the package that stands for its folder."""
        if fullname in texts:
            return importlib.util.spec_from_loader(fullname, _Loader(texts[fullname]))
        if fullname.startswith(PREFIX) and "." not in fullname:
            return ModuleSpec(fullname, None, is_package=True)
        return None


sys.meta_path.append(_Finder())
