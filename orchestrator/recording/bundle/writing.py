"""Writing a bundle: whole, or not at all, and the same bytes for the same results."""

from __future__ import annotations

import contextlib
import hashlib
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from orchestrator.answer import publish
from orchestrator.answer.report.chapter import chapter, drawn_trials
from orchestrator.answer.report.page import page
from orchestrator.errors import UsageError
from orchestrator.planning.expand import Expansion
from orchestrator.recording.bundle.layout import (
    ENDING,
    MANIFEST,
    VERSION,
    BundledSweep,
    BundledTrial,
    Manifest,
    Part,
)
from orchestrator.recording.store_port import Store
from orchestrator.records import Provenance
from trainers.attempt import checkpoint
from trainers.attempt.folders import Folder

README = """Results of a sweep, made by orch ({version}).

With orch installed:      orch status FILE, orch table FILE, orch figures FILE, orch import FILE
Without:                  tables/ has the tables as text; trials/*/spectra.npz opens with numpy.load,
                          trials/*/trial.json says what each trial was and what came of it
"""
BATCH = 100  # trials whose files are in memory at once


class Exported(NamedTuple):
    """A sweep that goes into a bundle."""

    key: str
    """Its name in the bundle."""
    expansion: Expansion
    store: Store
    files: Mapping[str, bytes]
    """Its sweep file, those it extends, plug-ins and files of commands, by name."""
    file: str
    """Which of them is the sweep file."""
    changes: Mapping[str, Any]
    checkpoints: Folder | None = None
    """Folder of checkpoints, if those of trials that are not done go along."""


def write(
    path: Path, sweeps: Sequence[Exported], made_by: Provenance, *, say: Callable[[str], None]
) -> tuple[int, int]:
    """Make a bundle at `path`; how many trials it has, and how many its sweeps ask for.

    Raises:
        UsageError: the file is there already or cannot be written, or two sweeps would have one name.
        StoreError: a store does not answer.
    """
    if not path.name.endswith(ENDING):
        raise UsageError(
            f"{path}: expected a name that ends in {ENDING}, such as {path.stem or 'results'}{ENDING}"
        )
    if path.exists():
        raise UsageError(f"{path}: is there already; remove it, or choose another name with --out")
    if len(keys := [one.key for one in sweeps]) > len(set(keys)):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise UsageError(f"{path}: '{twice}' is named twice; export each sweep, profile and setting once")
    part = path.with_name(f".{path.name[:200]}.part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as file:
            writer = _Writer(file)
            counted = _fill(writer, sweeps, made_by, say)
        with part.open("rb") as written:
            os.fsync(written.fileno())
        os.link(part, path)  # not rename: what another has put there meanwhile stays
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be written: {error.strerror or error}; choose another with --out"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return counted


def check(path: Path) -> None:
    """Check that a bundle can be made at `path`, as far as that is known before it is.

    Raises:
        UsageError: it cannot.
    """
    if not path.name.endswith(ENDING):
        likely = f"{path.name.partition('.')[0] or 'results'}{ENDING}"
        raise UsageError(f"{path}: expected a name that ends in {ENDING}, such as {likely}")
    if os.path.lexists(path):
        raise UsageError(f"{path}: is there already; remove it, or choose another name with --out")
    if not os.access(path.absolute().parent, os.W_OK):
        raise UsageError(f"{path}: its folder is not there, or cannot be written; choose another with --out")


class _Writer:
    """Adds files and remembers what they are."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file
        self.parts: dict[str, Part] = {}

    def add(self, name: str, content: bytes | str) -> None:
        """Add a file."""
        data = content.encode() if isinstance(content, str) else content
        self.parts[name] = Part(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
        info = zipfile.ZipInfo(name)  # of 1980: the same results are the same bytes
        info.external_attr = 0o644 << 16
        packed = name.endswith((".npz", ".png"))
        self._file.writestr(info, data, zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED)


def _fill(
    writer: _Writer, sweeps: Sequence[Exported], made_by: Provenance, say: Callable[[str], None]
) -> tuple[int, int]:
    writer.add("README.txt", README.format(version=made_by.code_version))
    there: set[str] = set()
    wanted: set[str] = set()
    for one in sweeps:
        for name, text in sorted(one.files.items()):
            writer.add(f"sweeps/{one.key}/{name}", text)
        ids = {trial.id: trial for trial in one.expansion.trials}
        wanted |= ids.keys()
        records = one.store.records(list(ids))
        problems: list[str] = []
        if one.expansion.spec.tables:
            tables = publish.tables(one.expansion, records, problems)
            for name, content in sorted(publish.table_files(tables, problems).items()):
                writer.add(f"tables/{one.key}/{name}", content)
        for problem in problems:
            say(f"orch: {problem}")
        shown = one.store.curves(drawn_trials(one.expansion))
        command = f"orch sweep {one.file}"
        told = chapter(
            one.expansion,
            records,
            shown,
            anchor=one.key,
            command=command,
            source=one.files[one.file].decode(),
        )
        writer.add(f"reports/{one.key}.html", page([told], version=made_by.code_version))
        for batch in _batches([i for i in ids if i in records and i not in there]):
            files = one.store.files(batch)
            for identity in batch:
                known = BundledTrial(facts=ids[identity].facts, record=records[identity])
                writer.add(f"trials/{identity}/trial.json", known.model_dump_json(indent=1))
                for name, content in sorted(files.get(identity, {}).items()):
                    writer.add(f"trials/{identity}/{name}", content)
            there.update(batch)
        if one.checkpoints is not None:
            left = [i for i in ids if i not in records or not records[i].is_done]
            _add_checkpoints(writer, one.checkpoints, left)
    try:
        manifest = Manifest(
            bundle=VERSION,
            made_by=made_by,
            sweeps={one.key: _sweep(one) for one in sweeps},
            files=writer.parts,
        )
    except ValidationError as error:
        raise UsageError(
            f"{error.errors()[0]['loc'][-2]}: is no name for a file in a bundle; rename it"
        ) from None
    writer.add(MANIFEST, manifest.model_dump_json(indent=1))
    return len(there), len(wanted)


def _sweep(one: Exported) -> BundledSweep:
    spec = one.expansion.spec
    return BundledSweep(
        name=spec.name,
        question=spec.question,
        file=one.file,
        profile=one.expansion.profile,
        seeds=tuple(one.expansion.seeds),
        changes=dict(one.changes),
        trials=tuple(trial.id for trial in one.expansion.trials),
    )


def _add_checkpoints(writer: _Writer, root: Folder, trial_ids: Iterable[str]) -> None:
    for identity in trial_ids:
        for name, content in checkpoint.content_of(root / identity).items():
            if f"checkpoints/{identity}/{name}" not in writer.parts:
                writer.add(f"checkpoints/{identity}/{name}", content)


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]
