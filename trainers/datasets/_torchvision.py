"""Finding, checking and downloading the archives that torchvision knows. Prints nothing."""

from __future__ import annotations

import contextlib
import fcntl
import io
import logging
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.config.lazy import torchvision
from trainers.datasets.base import MissingDataError, data_folder

log = logging.getLogger(__name__)

OWN_PLACES = (
    "_base_folder",
    "base_folder",
    "_data_path",
    "_data_dir",
    "_size_root",
    "raw_folder",
    "split_folder",
    "target_folder",
    "images_dir",
    "filename",
    "root",
)
"""What classes call the folder, or the file, that is theirs alone; the first that is there."""
UNSAID_PLACES = {"FER2013": ("fer2013",), "USPS": ("usps.bz2", "usps.t.bz2")}
"""Of classes that do not say theirs."""
ARCHIVES = (".zip", ".tgz", ".tar", ".gz")
"""What was downloaded, and may be removed when it is unpacked."""
WAYS_OUT = "add --download to orch sweep, or put the archive there and pass --data FOLDER or set ORCH_DATA"


@dataclass(frozen=True)
class Source:
    """What one of torchvision's data sets looks like on disk.

    Attributes:
        name: the data set's name in a sweep file.
        torchvision: the class in torchvision.datasets; it knows the address and the checksums.
        archive: file name of the archive as published.
        folder: what the archive unpacks to.
        files: the files in that folder that are read.
    """

    name: str
    torchvision: str
    archive: str
    folder: str
    files: tuple[str, ...]

    def missing(self, root: Path | None) -> str | None:
        """Why the data cannot be read from disk, or None; does not import torch."""
        data = data_folder(root).absolute()
        if (data / self.archive).is_file():
            return None
        if not (data / self.folder).is_dir():
            return f"{self.name}: not found in {data} (no {self.folder} there); {WAYS_OUT}"
        for file in self.files:
            if not (data / self.folder / file).is_file():
                lacking = f"{self.folder}/{file}"
                return f"{self.name}: not found in {data} (no {lacking} there); {WAYS_OUT}"
        return None

    def prepare(self, root: Path | None, *, download: bool) -> Path:
        """The folder that holds `self.folder` with every file intact.

        Unpacks the archive where only that is there, and fetches it if `download`.

        Raises:
            MissingDataError: a file is not there or its checksum is not the published one.
        """
        data = data_folder(root).absolute()
        reason = self.missing(root)
        if reason and not download:
            raise MissingDataError(reason)
        archive = data / self.archive
        if not self._damage(data):
            return data
        if download or archive.is_file():
            try:
                self._unpack(data, archive, download)
            except (OSError, RuntimeError, EOFError, tarfile.TarError, zlib.error) as error:
                cause = " ".join(str(error).split())
                raise MissingDataError(
                    f"{self.name}: could not be downloaded or unpacked into {data} ({cause}); {WAYS_OUT}"
                ) from error
        damage = self._damage(data)
        if damage:
            raise MissingDataError(f"{self.name}: {damage} in {data}; {WAYS_OUT}")
        return data

    def _unpack(self, data: Path, archive: Path, download: bool) -> None:
        data.mkdir(parents=True, exist_ok=True)
        with locked(data / f".{self.name}.lock"), contextlib.redirect_stdout(io.StringIO()):
            if not self._damage(data):  # another process was faster
                return
            if not download and not _intact(archive, self._class().tgz_md5):
                raise RuntimeError(f"{archive} is damaged: its checksum is not the published one")
            log.info("%s: downloading or unpacking into %s", self.name, data)
            with contextlib.redirect_stderr(io.StringIO()):  # the progress bar
                self.dataset(data, download=True)

    def _damage(self, data: Path) -> str | None:
        kind = self._class()
        checksums = dict([*kind.train_list, *kind.test_list])
        if hasattr(kind, "meta"):
            checksums[kind.meta["filename"]] = kind.meta["md5"]
        for file in self.files:
            path = data / self.folder / file
            if not path.is_file():
                return f"no {self.folder}/{file}"
            if not _intact(path, checksums[file]):
                return f"damaged file {path} (its checksum is not the published one)"
        return None

    def _class(self) -> Any:
        return getattr(torchvision.datasets, self.torchvision)

    def dataset(self, data: Path, **options: Any) -> Any:
        """torchvision's own, in that folder."""
        return self._class()(str(data), **options)


def _intact(path: Path, md5: str) -> bool:
    intact: bool = torchvision.datasets.utils.check_integrity(str(path), md5)
    return intact


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Only one process of this machine is inside: trials that start together download once."""
    with path.open("a") as file:  # not "w", which would empty what a planted link leads to
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # by itself a process forked meanwhile would keep it


def places_of(opened: Any, folder: Path) -> frozenset[Path]:
    """The folder below `folder` that is a data set's own, or its files; none: it has none."""
    names = [name for one in OWN_PLACES if isinstance(name := getattr(opened, one, None), str | Path)]
    own = _there(names, folder)[:1]
    return frozenset(own or _there(UNSAID_PLACES.get(type(opened).__name__, ()), folder))


def _there(names: Iterable[str | Path], folder: Path) -> list[Path]:
    places = [folder / name for name in names]
    return [one for one in places if one != folder and one.is_relative_to(folder) and one.exists()]


def files_in(places: Iterable[Path], folder: Path) -> list[tuple[str, int]]:
    """Name below `folder` and size in bytes of every file in these places but archives, by name."""
    every = {one for place in places for one in (place.rglob("*") if place.is_dir() else (place,))}
    files = sorted(one for one in every if one.is_file() and (one in places or one.suffix not in ARCHIVES))
    return [(one.relative_to(folder).as_posix(), one.stat().st_size) for one in files]
