"""What lies where in a bundle, version 1: one zip file, which any program can open.

    orch-bundle.json              who made it, its sweeps, and size and digest of every other file
    sweeps/<sweep>/...            the sweep file, what it extends, and its plug-ins
    tables/<sweep>/<table>.*      its tables as they were, in each format
    reports/<sweep>.html          the whole answer as a page, unless numbers alone were wanted
    trials/<id>/trial.json        what a trial was, and its record
    trials/<id>/...               its files: spectra.npz, config.json, provenance.json, and pictures unless so
    encoders/<id>/encoder.safetensors   encoders that were kept, where they were asked for
    checkpoints/<id>/...          checkpoints of trials that are not done, where they were asked for

<sweep> is the sweep's name, with its profile and what tells changed settings. A version is never changed,
only followed by another.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from orchestrator.language.table_spec import LONGEST_NAME, LONGEST_PROFILE, NAME
from orchestrator.recording.stores.base import ENDING
from orchestrator.recording.trial_files import SPECTRA
from orchestrator.records import Provenance, TrialFacts, TrialId, TrialRecord, left_out_if_empty
from trainers.config.base import Frozen

VERSION = 1
MANIFEST = "orch-bundle.json"
PLAIN = r"[^./\\\x00-\x1f][^/\\\x00-\x1f]*"
"""A part of a name: none may lead out of its folder, or be hidden."""
Name = Annotated[str, StringConstraints(pattern=f"^{PLAIN}$", max_length=255)]
FileName = Annotated[str, StringConstraints(pattern=f"^{PLAIN}(/{PLAIN})*$", max_length=1000)]


FILE_BYTES = 4 * 2**30
"""No checkpoint and no encoder is larger ..."""
OTHER_BYTES = 256 * 2**20
"""... and no other file."""
ARRAYS_BYTES = 2**30
"""Nor are the arrays of one trial's curves and spectra together ..."""
TRIAL_BYTES = 2**30
"""... and all files in one trial's folder."""
BROKEN = (
    ArithmeticError, EOFError, KeyError, MemoryError, NotImplementedError, OSError, RuntimeError, TypeError,
    ValueError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What zip files and arrays raise that somebody has damaged or made up."""


def most_bytes(name: str) -> int:
    """The size of the largest file of that name that is read."""
    return FILE_BYTES if name.startswith(("checkpoints/", "encoders/")) else OTHER_BYTES


def arrays_bytes(content: bytes) -> int:
    """The size of all arrays in a file of them, once they are unpacked; zipfile's errors where it is none."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return sum(one.file_size for one in file.infolist())


def unreadable(name: str, content: bytes) -> str | None:
    """Why a bundle with such a file would not be read, in words that follow its name; None: it would."""
    if len(content) > (most := most_bytes(name)):
        return f"has {len(content)} bytes, more than {most}"
    if name.endswith(f"/{SPECTRA}"):
        try:
            size = arrays_bytes(content)
        except BROKEN:
            return "holds no curves"
        if size > ARRAYS_BYTES:
            return f"has {size} bytes of arrays, more than {ARRAYS_BYTES}"
    return None


class Part(Frozen):
    """A file of a bundle."""

    sha256: str
    size: int = Field(ge=0)
    """In bytes."""


def largest(files: Mapping[str, Part]) -> str | None:
    """What of these files is too large to be read, and how large it is; None: nothing."""
    trials = Counter[str]()
    for name, part in files.items():
        if part.size > (most := most_bytes(name)):
            return f"{name} has {part.size} bytes, more than {most}"
        if name.startswith("trials/"):
            trials["/".join(name.split("/")[:2])] += part.size
    told = (
        f"{one} has {size} bytes, more than {TRIAL_BYTES}"
        for one, size in trials.items()
        if size > TRIAL_BYTES
    )
    return next(told, None)


class BundledSweep(Frozen):
    """A sweep as it was selected when the bundle was made."""

    name: Annotated[str, StringConstraints(pattern=NAME, max_length=LONGEST_NAME)]
    question: str | None = None
    file: FileName
    """Its sweep file, below its folder."""
    profile: Annotated[str, StringConstraints(pattern=NAME, max_length=LONGEST_PROFILE)] | None
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**31)], ...], Field(min_length=1)]
    seeds_as_in_file: bool = False
    """Whether the file says more of seeds than `seeds`: some cells have others."""
    precision: float | None = None
    """Half-width of intervals for which seeds were added."""
    max_seeds: int | None = None
    changes: dict[str, Any] = {}
    """Settings over the base, by dotted path."""
    trials: tuple[TrialId, ...]
    """All that it asks for, whether or not they are in the bundle."""

    _late = left_out_if_empty("seeds_as_in_file", "precision", "max_seeds")


class Manifest(Frozen):
    """What a bundle says of itself."""

    bundle: int
    """Version of this layout."""
    made_by: Provenance
    sweeps: dict[Name, BundledSweep]
    files: dict[FileName, Part]


class BundledTrial(Frozen):
    """A trial and what its store knew of it."""

    facts: TrialFacts
    record: TrialRecord


def parts(path: Path) -> tuple[Path, str | None] | None:
    """A bundle and the sweep in it that `path` names, as in results.orch.zip/table1; None: it names none."""
    for bundle in (path, path.parent):
        if bundle.name.endswith(ENDING):
            return bundle, None if bundle == path else path.name
    return None
