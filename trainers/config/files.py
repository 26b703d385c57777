"""Files of plug-ins: which there are, their texts, what they may import, and the modules made of the texts.

A text becomes a module whose name is a digest of what was read: an edited one is another module, and configs
of the old one keep their code. Knows no family.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.abc
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

from trainers.config.code import File, imports

PREFIX = "orch_plugin_"
MOST_BYTES = 1_000_000
"""Size of a plug-in's file, and of each that it imports from beside it."""


class PluginError(ValueError):
    """Plug-ins cannot be used; a line for each: file and line, what is wrong, what to do."""


texts: dict[str, File] = {}
"""What this process makes modules of, by their names."""


def chosen(path: Path) -> list[Path]:
    """The files that are meant by a file or a folder.

    Raises:
        PluginError: there is none.
    """
    if path.is_dir():
        found = [one for one in sorted(path.glob("*.py")) if one.stem != "base" and one.stem[0] != "_"]
        if not found:
            raise PluginError(f"{shown(path)}: a folder without a plug-in; expected files *.py in it")
    elif path.is_file():
        found = [path]
    else:
        raise PluginError(f"{shown(path)}: no such file or folder")
    for one in found:
        if one.suffix != ".py" or "." in one.stem:
            raise PluginError(f"{shown(one)}: no name of a Python module; expected one such as mine.py")
    return found


def reader(folder: Path) -> Callable[[str], File | None]:
    """What reads the modules of a folder, whose package has an empty name; None: it is none of its files."""

    @functools.cache
    def read_beside(name: str) -> File | None:
        path = folder / f"{name[1:]}.py"
        return read(path) if name[:1] == "." and "." not in name[1:] and path.is_file() else None

    return read_beside


def read(path: Path, most: int | None = None) -> File:
    """A file as Python would read it.

    Raises:
        PluginError: it cannot be read.
    """
    try:
        if path.stat().st_size > (most or MOST_BYTES):
            raise PluginError(f"{shown(path)}: larger than the {MOST_BYTES} bytes that travel with a trial")
        return _sayable(str(path)), importlib.util.decode_source(path.read_bytes())
    except OSError as error:
        raise PluginError(f"{shown(path)}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, SyntaxError):  # the latter: of an encoding that it declares
        raise PluginError(f"{shown(path)}: cannot be read: not a text file") from None


def shown(path: Path) -> str:
    """A path as a person would name it from the working folder."""
    here = Path.cwd()
    return _sayable(str(path.relative_to(here)) if path.is_relative_to(here) else str(path))


def sendable(name: str, path: Path) -> str:
    """The name of a file that travels, if others can read it.

    Raises:
        ValueError: its bytes are no UTF-8.
    """
    if _sayable(name) != name:
        raise ValueError(f"{shown(path.absolute())}: its name is no UTF-8, and cannot travel; rename it")
    return name


@contextlib.contextmanager
def noting(problems: list[str], place: str, own: Path, *, what: str = "cannot be imported") -> Iterator[None]:
    """What goes wrong inside is added, in one line, with the last line that was reached of its files.

    Args:
        problems: what is wrong so far.
        place: what a person calls it.
        own: the folder of its files, or the name of its installed package.
        what: goes wrong.
    """
    try:
        yield
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except PluginError as error:
        problems.append(str(error))
    except SyntaxError as error:
        where = shown(Path(error.filename)) if error.filename else place
        problems.append(f"{where}:{error.lineno or 1}: not valid Python: {error.msg}")
    except BaseException as error:  # a stranger's file is imported: whatever it raises
        where = _last_line(error, own) or place
        try:
            reason = " ".join(str(error).split())[:300]
        except Exception:
            reason = "it cannot say why"
        problems.append(f"{where}: {what}: {type(error).__name__}: {reason}")


def _last_line(error: BaseException, own: Path) -> str | None:
    """The last line of its own files that an error came by."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        of_package = not own.is_absolute() and own.name in (*file.parts, file.stem)
        if of_package or os.path.realpath(file.parent) == os.path.realpath(own):
            return f"{shown(file)}:{frame.lineno}"
    return None


def check_imports(file: File, folder: Path) -> None:
    """A file that lies beside travels, and is part of the identity, only where it is imported from there.

    Args:
        file: a plug-in's, or one that it imports from beside it.
        folder: where it really lies, without links.

    Raises:
        PluginError: one is imported as if it were installed, or cannot travel.
    """
    for name, line in imports(file, ""):
        top = name.lstrip(".").partition(".")[0]
        problem = _relative(name, top, folder) if name[:1] == "." else _absolute(top, folder)
        if top and problem:
            raise PluginError(f"{shown(Path(file[0]))}:{line}: imports '{top}', {problem}")


def _relative(name: str, top: str, folder: Path) -> str | None:
    """What is wrong with what is imported by a dot."""
    if (folder / f"{top}.py").is_file():
        return None
    if (folder / top).is_dir():
        return (
            "a folder beside it, and only files beside it travel; put it into one file, or install your "
            "package and name a module of it (plugins: [mypackage.mine])"
        )
    if name == f".{top}" and (folder / "__init__.py").is_file():
        return (
            "which is no file beside it; a package is installed and its module named "
            f"(plugins: [{folder.name}.mine])"
        )
    return None


def _absolute(top: str, folder: Path) -> str | None:
    """What is wrong with what is imported by its name alone."""
    as_file, as_folder = folder / f"{top}.py", folder / top
    if top in sys.stdlib_module_names or not (as_file.is_file() or as_folder.is_dir()):
        return None
    found = {os.path.realpath(place) for place in _places(top)}
    beside = {os.path.realpath(place) for place in (as_file, as_folder)}
    if found and not found & beside:
        return None
    if not found and not as_file.is_file() and not any(as_folder.glob("*.py")):
        return None  # what some library writes under its own name, which is not installed here
    if as_file.is_file():
        return (
            f"a file beside it; write `from . import {top}` or `from .{top} import ...`, so that it travels "
            "along"
        )
    return (
        "a folder beside it, which does not travel and is not part of its identity; put what it needs into "
        f"a file beside it, or install the package and name a module of it (plugins: [{top}.mine])"
    )


def _places(top: str) -> Iterator[str]:
    """The file of a module that can be imported, or the folders of a package."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return
    if spec is not None and spec.submodule_search_locations is not None:
        yield from spec.submodule_search_locations
    elif spec is not None and spec.origin:
        yield spec.origin


def _sayable(path: str) -> str:
    """A path whose bytes are no UTF-8, as text that can be printed and sent."""
    return path.encode(errors="backslashreplace").decode()


class _Loader(importlib.abc.ExecutionLoader):
    """Makes a module of a text that was read before, here or elsewhere."""

    def __init__(self, file: File) -> None:
        self.file = file

    def get_filename(self, fullname: str) -> str:
        """The file, which need not be on this machine."""
        return self.file[0]

    def get_source(self, fullname: str) -> str:
        """The text."""
        return self.file[1]

    def is_package(self, fullname: str) -> bool:
        """It never is: a plug-in is one file."""
        return False


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
