"""Which code trained a trial: a digest of each plug-in's file that its config names, and of the rest."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from trainers.config.base import LoopConfig
from trainers.config.families import SINGULAR, members
from trainers.config.filesets import named_in
from trainers.config.foreign import configs_in, used_by

ROOT = Path(__file__).parents[1]
SHARED = "trainers"
"""Stands for every file of the trainers that is no plug-in's own."""
Source = Path | tuple[str, str]
"""A plug-in's file; of one from outside the package its label and digest, which stay as it was read."""


def imported(files: frozenset[Source]) -> dict[str, str]:
    """The digests of these files, and of all others, as they were when this process had just imported them.

    What is edited later is not what it runs: of each file that is imported the first digest is kept, whatever
    was asked for then.
    """
    for module in [one for name, one in sys.modules.items() if name.startswith("trainers.")]:
        with contextlib.suppress(OSError, UnicodeError):  # told where a trial asks for it
            _first_digest(Path(str(module.__file__)))
    return _by_name(files, _first_digest, _first_shared())


def files_of(config: LoopConfig) -> frozenset[Source]:
    """The files of the plug-ins that a config names, its trainer's among them."""
    return frozenset((*_plugins(config), *foreign_digests(config).items()))


def foreign_digests(config: LoopConfig) -> dict[str, str]:
    """The digests of plug-ins from outside the package, and of files, that a config names, by their names."""
    own = {one.label: one.digest[:8] for one in used_by(config)}
    return own | {name: digest[:8] for files in named_in(config) for name, digest in files.digests.items()}


def digests(files: frozenset[Source]) -> dict[str, str]:
    """Digests (8 hex digits) of these files as they are now, by name, and in "trainers" one of all others.

    Names are such as "methods/byol.py". Blank lines and lines of comments do not count; nor do plug-ins that
    are not among the files.
    """
    return _by_name(files, _digest, _shared())


def changed(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """The names whose code differs, of two answers of `digests`; none where the first knows nothing."""
    names = before.keys() | now.keys() if before else set()
    return sorted(name for name in names if before.get(name) != now.get(name))


def _plugins(config: LoopConfig) -> Iterator[Path]:
    """The files of the configs in a config, itself among them, that lie in a family's folder."""
    for own in map(type, configs_in(config)):
        if own.__module__.rpartition(".")[0] in _FAMILIES and (file := sys.modules[own.__module__].__file__):
            yield Path(file)


_FAMILIES = frozenset(f"trainers.{family}" for family in SINGULAR)


def _by_name(files: frozenset[Source], digest: Callable[[Path], str], shared: str) -> dict[str, str]:
    named = dict(file if isinstance(file, tuple) else (_name(file), digest(file)) for file in files)
    return {SHARED: shared, **dict(sorted(named.items()))}


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name


def _shared() -> str:
    own = {ROOT / family / f"{name}.py" for family in SINGULAR for name in members(f"trainers.{family}")}
    shared = sorted(set(ROOT.rglob("*.py")) - own)
    text = "\n".join(f"{_name(path)} {_digest(path)}" for path in shared)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@functools.cache
def _first_shared() -> str:
    return _shared()


@functools.cache
def _first_digest(path: Path) -> str:
    return _digest(path)


def _digest(path: Path) -> str:
    there = path.stat()
    return _digest_of(path, there.st_mtime_ns, there.st_size)


@functools.lru_cache(maxsize=1000)
def _digest_of(path: Path, _changed_ns: int, _size: int) -> str:
    lines = (line.rstrip() for line in path.read_text(encoding="utf-8").splitlines())
    code = "\n".join(line for line in lines if line and not line.lstrip().startswith("#"))
    return hashlib.sha256(code.encode()).hexdigest()[:8]
