"""Reading a bundle. Nothing of it is believed before it is checked, and nothing of it is run unasked."""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import json
import re
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, TypeVar

from pydantic import ValidationError

from orchestrator.errors import Problem, SpecError, UsageError
from orchestrator.language.cells.chains import whole
from orchestrator.language.load import load
from orchestrator.language.sweep_spec import SweepSpec
from orchestrator.language.yaml_text import parse
from orchestrator.planning.trials import id_of
from orchestrator.recording.bundle.layout import (
    ARRAYS_BYTES,
    BROKEN,
    MANIFEST,
    VERSION,
    BundledSweep,
    BundledTrial,
    Manifest,
    arrays_bytes,
    largest,
    most_bytes,
    parts,
)
from orchestrator.recording.trial_files import PROVENANCE, SPECTRA, from_npz
from orchestrator.records import Curves, Provenance
from trainers.config.base import Frozen

Model = TypeVar("Model", bound=Frozen)


class Bundle:
    """A bundle that is read."""

    def __init__(self, path: Path) -> None:
        """Open the bundle at `path` and read what it says of itself.

        Raises:
            UsageError: it is not there, is no bundle, is cut off, or is of a later version.
        """
        self.path = path
        try:
            if not (stat.S_ISREG(mode := path.stat().st_mode) or stat.S_ISDIR(mode)):
                raise UsageError(f"{path}: is no regular file; copy it into one")  # a pipe has no end
            self._zip = zipfile.ZipFile(path)
        except FileNotFoundError:
            raise UsageError(f"{path}: no such file; `orch export` makes one") from None
        except IsADirectoryError:
            raise UsageError(f"{path}: is a folder, and a bundle is a file; zip no bundle again") from None
        except OSError as error:
            raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
        except (zipfile.BadZipFile, ValueError, NotImplementedError):
            raise UsageError(f"{path}: is no zip file, or was cut off; copy it again") from None
        self.manifest = self._manifest()

    def __contains__(self, name: str) -> bool:
        """Whether it has a file of that name."""
        return name in self.manifest.files

    def names(self, folder: str) -> list[str]:
        """Names, below `folder`, of the files in it."""
        return self._below.get(folder, [])

    @functools.cached_property
    def imported(self) -> list[str]:
        """Ids of results in it that no sweep of it asks for: those of others."""
        asked = {one for sweep in self.manifest.sweeps.values() for one in sweep.trials}
        return sorted({at.split("/")[1] for at in self._below if at.startswith("trials/")} - asked)

    @functools.cached_property
    def _below(self) -> dict[str, list[str]]:
        """Names below each folder two levels down, as <part>/<sweep or trial>."""
        found: dict[str, list[str]] = {}
        for name in self.manifest.files:
            if len(below := name.split("/", 2)) == 3:
                found.setdefault("/".join(below[:2]), []).append(below[2])
        return found

    def verify(self) -> None:
        """Look at every file once, whatever its size.

        Raises:
            UsageError: one is missing, or is not what the bundle says it is.
        """
        for name, part in self.manifest.files.items():
            if self._digest(name, part.size) != part.sha256:
                raise UsageError(f"{self.path}: {name} is damaged: its digest is another; copy it again")

    def read(self, name: str) -> bytes:
        """A file's content.

        Raises:
            UsageError: it is missing, or is not what the bundle says it is.
        """
        part = self.manifest.files.get(name)
        content = None if part is None else self._content(name, part.size)
        if part is None or (content is None and name not in self._zip.namelist()):
            raise UsageError(f"{self.path}: has no {name}; it was changed or cut off; copy it again")
        if content is None:
            raise UsageError(f"{self.path}: {name} is damaged: it does not unpack; copy it again")
        if len(content) != part.size or hashlib.sha256(content).hexdigest() != part.sha256:
            raise UsageError(f"{self.path}: {name} is damaged: its digest is another; copy it again")
        return content

    def sweep(self, name: str | None) -> tuple[str, BundledSweep]:
        """A sweep's name in the bundle and what it is; the only one where none is named.

        Raises:
            UsageError: there is none of that name, or there are several.
        """
        there = self.manifest.sweeps
        if name is None and len(there) == 1:
            name = next(iter(there))
        if name is None or name not in there:
            known = ", ".join(f"{self.path}/{one}" for one in there) or "none"
            problem = f"has {len(there)} sweeps" if name is None else f"has no sweep '{name}'"
            raise UsageError(f"{self.path}: {problem}; name one of {known}")
        return name, there[name]

    def spec(self, name: str, *, trust: bool = False) -> SweepSpec:
        """The sweep of that name in the bundle.

        Raises:
            SpecError: its file is wrong.
            UsageError: it has plug-ins, which are code.
        """
        place, main = f"{self.path}/{name}", self.manifest.sweeps[name].file
        text = self.read(f"sweeps/{name}/{main}").decode(errors="replace")
        if any(one.get("plugins") for one in whole(parse(text, place))):
            raise UsageError(
                f"{place}: has plug-ins, which are code that would run here; take the bundle's files out, "
                f"look at them, and use its sweep file with --tracking-uri {self.path}"
            )
        if re.search(r"\bfiles\b", text):  # of commands, whose digests are a part of ids
            place = str(self._laid_out(f"sweeps/{name}") / main)

        def read(file: str, child: str | None) -> tuple[str, str]:
            if child is not None:
                told = "a bundle's sweep extends no file; it was changed"
                raise SpecError([Problem(place, "extends", told)])
            return file, text

        return load(place, read, trust=trust)

    @functools.cached_property
    def _folder(self) -> Path:
        """For files that must lie on a disk; gone when this process ends."""
        folder = Path(tempfile.mkdtemp(prefix="orch-bundle-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return folder

    def _laid_out(self, part: str) -> Path:
        for name in self.names(part):
            path = self._folder / part / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.read(f"{part}/{name}"))
        return self._folder / part

    def trial(self, trial_id: str) -> BundledTrial | None:
        """What it knows of a trial; None if nothing.

        Raises:
            UsageError: that is damaged, or belongs to another trial.
        """
        name = f"trials/{trial_id}/trial.json"
        if name not in self:
            return None
        found = self._parsed(name, BundledTrial, self._json(name))
        if not trial_id == found.facts.trial_id == found.record.trial_id == id_of(found.facts.identity):
            raise UsageError(f"{self.path}: {name} is of another trial than its name says; it was changed")
        return found

    def curves(self, trial_id: str) -> Curves | None:
        """A trial's curves and spectra; None if it has none."""
        name = f"trials/{trial_id}/{SPECTRA}"
        if name not in self:
            return None
        content = self.read(name)
        try:
            if (size := arrays_bytes(content)) > ARRAYS_BYTES:
                raise UsageError(f"{self.path}: {name} has {size} bytes of arrays, more than {ARRAYS_BYTES}")
            return from_npz(content)
        except BROKEN:
            raise UsageError(f"{self.path}: {name} holds no curves; it was changed") from None

    def origin(self, trial_id: str) -> tuple[Provenance, dict[str, Any]]:
        """Where a trial's numbers come from, and the details that its outcome had; empty where not known."""
        name = f"trials/{trial_id}/{PROVENANCE}"
        if name not in self:
            return Provenance(code_version="unknown"), {}
        facts = self._json(name)
        if not isinstance(facts, dict):
            raise UsageError(f"{self.path}: {name} holds no facts; it was changed")
        fields = {field: facts[field] for field in Provenance.model_fields if field in facts}
        details = facts.get("trial")
        return self._parsed(name, Provenance, fields), details if isinstance(details, dict) else {}

    def _json(self, name: str) -> Any:
        try:
            return json.loads(self.read(name))
        except (ValueError, RecursionError):
            raise UsageError(f"{self.path}: {name} is no JSON; it was changed") from None

    def _parsed(self, name: str, model: type[Model], value: Any) -> Model:
        try:
            return model.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise UsageError(f"{self.path}: {name}: {where}: {first['msg']}; it was changed") from None

    def _manifest(self) -> Manifest:
        content = self._content(MANIFEST, most_bytes(MANIFEST))
        try:
            value = json.loads(content) if content is not None else None
        except (ValueError, RecursionError):
            value = None
        version = value.get("bundle") if isinstance(value, dict) else None
        if type(version) is not int or version < 1:
            what = "has no" if content is None else "tells no version of bundles in its"
            raise UsageError(
                f"{self.path}: {what} {MANIFEST}: it is no bundle, or was cut off; copy it again"
            )
        if version > VERSION:
            raise UsageError(
                f"{self.path}: is a bundle of version {version}, this orch reads up to {VERSION}; upgrade it"
            )
        found = self._parsed(MANIFEST, Manifest, value)
        if (told := largest(found.files)) is not None:
            raise UsageError(f"{self.path}: {told}; no such bundle is read")
        return found

    def _content(self, name: str, most: int) -> bytes | None:
        """A member's bytes, `most` and one more at most; None if it is not there or cannot be read."""
        with contextlib.suppress(*BROKEN), self._member(name, most) as file:
            return file.read(most + 1)
        return None

    def _digest(self, name: str, most: int) -> str | None:
        with contextlib.suppress(*BROKEN), self._member(name, most) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        return None

    def _member(self, name: str, most: int) -> IO[bytes]:
        """A member that is no larger than `most`, not encrypted, and packed as orch packs.

        Raises:
            ValueError: it is another.
        """
        info = self._zip.getinfo(name)
        packed = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        if info.file_size > min(most, most_bytes(name)) or info.flag_bits & 1 or not packed:
            raise ValueError(name)
        return self._zip.open(info)


@functools.lru_cache(maxsize=8)
def _opened(path: str, changed: tuple[int, int, int]) -> Bundle:
    return Bundle(Path(path))


def open_bundle(path: Path) -> Bundle:
    """The bundle at `path`, read once however often it is asked for.

    Raises:
        UsageError: it is none.
    """
    try:
        there = path.stat()
    except OSError:
        return Bundle(path)  # which says what is wrong
    return _opened(str(path), (there.st_ino, there.st_size, there.st_mtime_ns))


def each(files: Iterable[Path]) -> list[Path]:
    """`files`, but of a bundle that names no sweep each of its sweeps."""
    found: list[Path] = []
    for file in files:
        named = parts(file)
        if named is None or named[1] is not None:
            found.append(file)
        else:
            there = [named[0] / name for name in open_bundle(named[0]).manifest.sweeps]
            found += there or [named[0]]  # which has none, as is told where it is looked for
    return found
