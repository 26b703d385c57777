"""Files that a trial's config names: read once, identified by what is in them, and carried where it trains.

A config holds their names and digests alone. Their content is kept beside it, in this process, and travels
once for all trials that need it.
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
import stat
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, Field, WithJsonSchema

from trainers.config.base import NOT_IDENTITY, Frozen, canonical
from trainers.config.files import sendable, shown

MOST_BYTES = 32 * 2**20
"""Of all files that a trial names, together."""
MOST_FILES = 10_000
RUNNABLE = (b"#!", b"\x7fELF", b"\xcf\xfa\xed\xfe")
"""How a file begins that the system can run: laid out, it may be."""


class FileSet(Frozen):
    """Files and folders that a trial's config names."""

    places: tuple[tuple[str, str], ...] = Field((), json_schema_extra=NOT_IDENTITY)
    """Of each its name where it is laid out, and where it was read."""
    digests: dict[str, str] = {}
    """What is in each, by its name: first 12 hex digits of sha256."""

    @property
    def key(self) -> str:
        """What the content of all is kept under."""
        return hashlib.sha256(canonical(self.digests).encode()).hexdigest()[:12]

    @property
    def content(self) -> dict[str, bytes]:
        """Every file by its path where it is laid out.

        Raises:
            FileNotFoundError: this process has not got them.
        """
        if self.digests and self.key not in _kept:
            raise FileNotFoundError(f"{', '.join(self.digests)}: not brought to this process")
        return _kept.get(self.key, {})

    @property
    def runnable(self) -> dict[str, bool]:
        """Whether the system can run each file, by its path where it is laid out.

        Raises:
            FileNotFoundError: this process has not got them.
        """
        return {name: content.startswith(RUNNABLE) for name, content in self.content.items()}

    def lay_out(self, folder: Path) -> None:
        """Write all of them into `folder`."""
        for name, content in self.content.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(0o755 if content.startswith(RUNNABLE) else 0o644)


class Parcel(NamedTuple):
    """Files as they travel to another process."""

    key: str
    archive: bytes
    """A zip file with all of them."""


_AROUND = "."
"""The name of a folder that the sweep file lies in: it changes with every sweep."""
_kept: dict[str, dict[str, bytes]] = {}


def name_of(entry: str) -> str:
    """What a file or folder that a sweep names is called where it is laid out.

    That is the path as it is written, from the first part that is not `..`; of an absolute one its last part.
    """
    path = PurePosixPath(os.path.normpath(entry))
    parts = path.parts[-1:] if path.is_absolute() else [part for part in path.parts if part != ".."]
    return "/".join(parts) or "."


def placed(entry: Any, folder: Path) -> Any:
    """A name in a file of `folder`, and where that is from the working folder; what is no name stays."""
    if isinstance(entry, str):
        name, place = name_of(entry), folder / entry
    elif isinstance(entry, list) and len(entry) == 2 and all(isinstance(part, str) for part in entry):
        name, place = entry[0], folder / entry[1]
    else:
        return entry
    return [_AROUND if folder.resolve().is_relative_to(place.resolve()) else name, str(place)]


def replaced(entry: Any, folder: Path) -> Any:
    """What `placed` made, as a file in `folder` says it."""
    if not isinstance(entry, list | tuple) or len(entry) != 2:
        return entry
    name, path = entry
    place = path if Path(path).is_absolute() else os.path.relpath(path, folder)
    return place if name_of(place) == name else [name, place]


def read(value: Any) -> Any:
    """The files that a list names, read and kept; anything but a list is left to pydantic.

    Raises:
        ValueError: one is not there, cannot be read, or all are too many; in one line.
    """
    if isinstance(value, str):
        raise ValueError(f"expected a list of files and folders, such as [{value}]")
    if not isinstance(value, list | tuple):
        return value
    pairs: list[tuple[str, str]] = []
    for entry in value:
        pair = placed(entry, Path()) if isinstance(entry, str) else entry
        if (
            not isinstance(pair, list | tuple)
            or len(pair) != 2
            or not all(isinstance(one, str) for one in pair)
        ):
            raise ValueError(f"expected names of files and folders, got {entry!r}")
        pairs.append((pair[0], pair[1]))
    found: dict[str, list[tuple[str, Path]]] = {}
    for name, place in pairs:
        if name == _AROUND:
            raise ValueError(
                f"{shown(Path(place).absolute())} has the sweep file in it, too; name the files and folders "
                "that the command needs, such as [train.py, src/]"
            )
        if not name or name_of(name) != name:
            raise ValueError(
                f"{name!r} is no name in the working folder; expected such as [code/net.py, {place}]"
            )
        if name in found:
            raise ValueError(
                f"two entries are laid out as {name}; leave one out, or write [other name, {place}]"
            )
        found[name] = list(_files_of(name, Path(place)))
    _check_size([path for files in found.values() for _, path in files])
    content: dict[str, bytes] = {}
    digests: dict[str, str] = {}
    for name, files in found.items():
        own = {laid: _content(path) for laid, path in files}
        clash = next((laid for laid in own if content.get(laid, own[laid]) != own[laid]), None)
        if clash:
            raise ValueError(f"two files are laid out as {clash}; write one as [other name, place]")
        content |= own
        digests[name] = _digest(own, name)
    made = FileSet(places=tuple(pairs), digests=digests)
    _kept[made.key] = content
    return made


def sources(pairs: Iterable[tuple[str, str]]) -> dict[Path, bytes]:
    """Every file of these entries by its path.

    Raises:
        ValueError: one is not there, or cannot be read.
    """
    return {path: _content(path) for name, place in pairs for _, path in _files_of(name, Path(place))}


Named = Annotated[
    FileSet,
    BeforeValidator(read),
    WithJsonSchema(
        {
            "type": "array",
            "items": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
        }
    ),
]
"""A field of a config that names files: a list in a sweep file."""


def named_in(config: Any) -> Iterator[FileSet]:
    """The files that a config names."""
    values = config if isinstance(config, list) else (getattr(config, f) for f in type(config).model_fields)
    yield from (value for value in values if isinstance(value, FileSet) and value.digests)


def parcels(sets: Iterable[FileSet]) -> list[Parcel]:
    """What carries the content of `sets`, each once."""
    return [Parcel(key, _archive(key)) for key in dict.fromkeys(one.key for one in sets)]


def receive(sent: Sequence[Parcel]) -> None:
    """Have the files that came from another process."""
    for one in sent:
        if one.key not in _kept:
            with zipfile.ZipFile(io.BytesIO(one.archive)) as archive:
                _kept[one.key] = {name: archive.read(name) for name in archive.namelist()}


@functools.lru_cache(maxsize=4)
def _archive(key: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in _kept[key].items():
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _files_of(name: str, path: Path) -> Iterator[tuple[str, Path]]:
    """Every file of an entry, in order: as it is laid out, and where it is.

    Raises:
        ValueError: there is none, or something that is no file, or a link that leads elsewhere.
    """
    if not path.exists():
        raise ValueError(
            f"no such file or folder: {shown(path.absolute())}; expected it from where the sweep lies"
        )
    if not path.is_dir():
        yield sendable(name, path), path
        return
    root, any_file = path.resolve(), False
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(
            one
            for one in folders
            if one[0] != "." and one != "__pycache__" and not _is_home(Path(folder) / one)
        )
        for one in (*folders, *sorted(files)):
            own = Path(folder) / one
            if own.is_symlink() and not own.exists():
                raise ValueError(f"{shown(own.absolute())} leads to nothing; remove it, or what it is for")
            if own.is_symlink() and (own.is_dir() or root not in own.resolve().parents):
                raise ValueError(
                    f"{shown(own.absolute())} leads out of {name}, or to a folder; name its target, too"
                )
        for one in sorted(files):
            if one[0] != "." and not one.endswith(".pyc"):
                any_file = True
                own = Path(folder) / one
                yield sendable((PurePosixPath(name) / own.relative_to(path)).as_posix(), own), own
    if not any_file:
        raise ValueError(f"{shown(path.absolute())} is a folder without a file")


def _is_home(folder: Path) -> bool:
    """Whether orch keeps its results there; what is in it changes with every trial."""
    beside = (folder / name for name in ("mlflow.db", "logs", "trials"))
    return (folder / "journal").is_dir() and any(one.exists() for one in beside)


def _check_size(paths: Sequence[Path]) -> None:
    """Refuse what is too much to travel with trials.

    Raises:
        ValueError: it is.
    """
    sizes: dict[Path, int] = {}
    for path in paths:
        there = path.stat()
        if not stat.S_ISREG(there.st_mode):
            raise ValueError(f"{shown(path.absolute())} is no regular file")
        sizes[path] = there.st_size
    if len(paths) > MOST_FILES:
        raise ValueError(f"{len(paths)} files, {MOST_FILES} travel with a trial; name fewer")
    if sum(sizes.values()) > MOST_BYTES:
        largest = max(sizes, key=lambda path: sizes[path])
        total, size = sum(sizes.values()) / 2**20, sizes[largest] / 2**20
        raise ValueError(
            f"{total:.0f} MiB, where {MOST_BYTES / 2**20:.0f} MiB travel with a trial; the largest is "
            f"{shown(largest.absolute())} with {size:.1f} MiB; leave data out, and pass its path"
        )


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{shown(path.absolute())}: cannot be read: {error.strerror}") from None


def _digest(files: dict[str, bytes], name: str) -> str:
    """What an entry comes to, wherever it lies and whatever it is called."""
    parts = (f"{laid.removeprefix(name)}\n{_digest_of(content)}" for laid, content in sorted(files.items()))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _digest_of(content: bytes) -> str:
    """Of its bytes, for comments may change what a script does; of texts but for the ends of lines."""
    return hashlib.sha256(content if b"\0" in content else content.replace(b"\r\n", b"\n")).hexdigest()
