"""Writing a bundle: whole, or not at all, and the same bytes for the same results."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from orchestrator.answer import publish
from orchestrator.answer.report.chapter import drawn_trials
from orchestrator.answer.report.page import page_of
from orchestrator.errors import UsageError
from orchestrator.planning.evaluations import evaluated, evaluations
from orchestrator.planning.expand import Expansion
from orchestrator.planning.trials import TrialSpec
from orchestrator.recording.bundle import layout
from orchestrator.recording.bundle.imported import imported_into, told
from orchestrator.recording.bundle.merging import OWN, differ
from orchestrator.recording.bundle.selecting import sweep_words
from orchestrator.recording.store_port import Store
from orchestrator.recording.stores.base import ENDING
from orchestrator.recording.trial_files import ENCODER, SPECTRA, EncoderLostError, to_npz, whole_encoder
from orchestrator.records import Provenance, TrialRecord
from trainers.attempt import checkpoint
from trainers.attempt.folders import Folder

README = """Results of a sweep, made by orch ({version}).

In a browser:             reports/, or what orch report FILE makes where it was left out
With orch installed:      orch status FILE, orch table FILE, orch figures FILE, orch import FILE
Without:                  tables/ has the tables as text; trials/*/spectra.npz opens with numpy.load,
                          trials/*/trial.json says what each trial was and what came of it
"""
BATCH = 100  # trials whose files are read at once
Asked = Mapping[str, Sequence[TrialSpec]]
"""What each sweep asks for, by its key."""


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
    encoders: bool = False
    """Whether those that were kept go along."""
    numbers_only: bool = False
    """Whether what is drawn from the numbers stays out: pictures of trials, and the page."""


def write(
    path: Path, sweeps: Sequence[Exported], made_by: Provenance, *, say: Callable[[str], None]
) -> tuple[int, int]:
    """Make a bundle at `path`; how many trials it has, and how many its sweeps ask for.

    Raises:
        UsageError: the file is there already or cannot be written, or two sweeps would have one name.
        StoreError: a store does not answer.
    """
    check(path)
    if len(keys := [one.key for one in sweeps]) > len(set(keys)):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise UsageError(f"{path}: '{twice}' is named twice; export each sweep, profile and setting once")
    part = path.with_name(f".{path.name[:200]}.{os.getpid()}.part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as file:
            writer = _Writer(file)
            counted = _fill(writer, sweeps, made_by, say)
        with part.open("rb") as written:
            os.fsync(written.fileno())
        _put(part, path)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be written: {error.strerror or error}; choose another with --out"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return counted


def _put(part: Path, path: Path) -> None:
    """Give the file its name, unless another has that meanwhile."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # such as exFAT, which knows no links
        path.open("xb").close()  # the name is this one's now
        part.replace(path)


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
        self.parts: dict[str, layout.Part] = {}

    def add(self, name: str, content: bytes | str) -> None:
        """Add a file."""
        data = content.encode() if isinstance(content, str) else content
        if (why := layout.unreadable(name, data)) is not None:
            raise UsageError(f"{name} {why}, and no such bundle is read; leave it out, or repair it")
        self.parts[name] = layout.Part(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
        info = zipfile.ZipInfo(name)  # of 1980: the same results are the same bytes
        info.external_attr = 0o644 << 16
        # An .npz is deflated again: names and places of its many small arrays take up to half of it.
        packed = name.endswith((".png", ".safetensors"))
        self._file.writestr(info, data, zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED)


def _fill(
    writer: _Writer, sweeps: Sequence[Exported], made_by: Provenance, say: Callable[[str], None]
) -> tuple[int, int]:
    writer.add("README.txt", README.format(version=made_by.code_version))
    asked = {one.key: _asked(one) for one in sweeps}
    records, whose = _chosen(sweeps, asked)
    there: set[str] = set()
    bare = 0
    for one in sweeps:
        for name, text in sorted(one.files.items()):
            writer.add(f"sweeps/{one.key}/{name}", text)
        ids = {trial.id: trial for trial in asked[one.key]}
        own = {i: records[i] for i in ids if i in records}
        _add_answers(writer, one, _with_evaluations(one, own), made_by, say)
        others = {other.trial_id: other for other in imported_into(one.store, one.expansion.spec.name)}
        held = {i: record for i, record in own.items() if whose[i] is one.store} | others
        held = {i: record for i, record in held.items() if i not in there}
        for batch in _batches(list(held)):
            files = one.store.files(batch, OWN if one.numbers_only else None)
            bare += sum(i in own and own[i].status != "running" and i not in files for i in batch)
            curves = one.store.curves([i for i in batch if SPECTRA not in files.get(i, {})])
            for identity in batch:
                writer.add(f"trials/{identity}/trial.json", told(ids.get(identity), held[identity]))
                drawn = {SPECTRA: to_npz(curves[identity])} if identity in curves else {}
                for name, content in sorted((drawn | files.get(identity, {})).items()):
                    writer.add(f"trials/{identity}/{name}", content)
                _add_encoder(writer, one, held[identity], say)
            there.update(batch)
        if one.checkpoints is not None:
            _add_checkpoints(writer, one.checkpoints, [i for i in ids if i not in own or not own[i].is_done])
    if bare:
        say(f"orch: {bare} ended trials have no files in their store: no curves, spectra and provenance")
    if (why := layout.largest(writer.parts)) is not None:
        raise UsageError(f"{why}, and no such bundle is read; leave it out, or repair it")
    writer.add(layout.MANIFEST, _manifest(writer, sweeps, asked, made_by).model_dump_json(indent=1))
    return len(there & records.keys()), len({trial.id for trials in asked.values() for trial in trials})


def _with_evaluations(one: Exported, records: Mapping[str, TrialRecord]) -> dict[str, TrialRecord]:
    """Records, each with what evaluations have found, which are among them."""
    return evaluated(one.expansion, records, lambda ids: {i: records[i] for i in ids if i in records})


def _asked(one: Exported) -> tuple[TrialSpec, ...]:
    """Every trial that a sweep asks for, and every evaluation of an encoder that its store has."""
    own = one.expansion.every_trial
    if not one.expansion.spec.evaluations:
        return own
    found = evaluations(one.expansion, one.store.records([trial.id for trial in own]))
    return (*own, *found.expansion.trials)


def _chosen(sweeps: Sequence[Exported], asked: Asked) -> tuple[dict[str, TrialRecord], dict[str, Store]]:
    """The record of each trial, and the store that has it: where several have one, that with a result.

    Raises:
        UsageError: two stores have different results.
    """
    records: dict[str, TrialRecord] = {}
    whose: dict[str, Store] = {}
    for one in sweeps:
        for identity, record in one.store.records([trial.id for trial in asked[one.key]]).items():
            known = records.get(identity)
            if known is not None and known.is_done and record.is_done and differ(known, record):
                raise UsageError(
                    f"trial {identity} has another result in {whose[identity].describe()} than in "
                    f"{one.store.describe()}; export the sweeps one by one"
                )
            if known is None or (record.is_done and not known.is_done):
                records[identity], whose[identity] = record, one.store
    return records, whose


def _add_answers(
    writer: _Writer,
    one: Exported,
    records: Mapping[str, TrialRecord],
    made_by: Provenance,
    say: Callable[[str], None],
) -> None:
    """Add a sweep's tables and, unless numbers alone are wanted, its report."""
    problems: list[str] = []
    tables = publish.tables(one.expansion, records, problems) if one.expansion.spec.tables else []
    of_tables = tuple(problems)
    for name, content in sorted(publish.table_files(tables, problems).items()):
        writer.add(f"tables/{one.key}/{name}", content)
    for problem in problems:
        say(f"orch: {problem}")
    if one.numbers_only:
        return
    shown, source = one.store.curves(drawn_trials(one.expansion)), one.files[one.file].decode()
    aim, seeds = one.expansion.aim, one.expansion.typed_seeds
    words = sweep_words(one.file, profile=one.expansion.profile, seeds=seeds, changes=one.changes, aim=aim)
    html = page_of(
        one.expansion,
        records,
        shown,
        version=made_by.code_version,
        say=say,
        tables=tables,
        problems=of_tables,
        anchor=one.key,
        command=shlex.join(words),
        source=source,
    )
    if html is not None:
        writer.add(f"reports/{one.key}.html", html)


def _manifest(
    writer: _Writer, sweeps: Sequence[Exported], asked: Asked, made_by: Provenance
) -> layout.Manifest:
    """What the bundle says of itself, but not which command made it: the same results are the same bytes."""
    maker = Provenance(code_version=made_by.code_version, packages=made_by.packages)
    try:
        named = {one.key: _sweep(one, asked[one.key]) for one in sweeps}
        return layout.Manifest(bundle=layout.VERSION, made_by=maker, sweeps=named, files=writer.parts)
    except ValidationError as error:
        name = error.errors()[0]["input"]
        raise UsageError(f"{name!r}: is no name for a file in a bundle; rename it") from None


def _sweep(one: Exported, trials: Sequence[TrialSpec]) -> layout.BundledSweep:
    spec, aim = one.expansion.spec, one.expansion.aim
    return layout.BundledSweep(
        name=spec.name,
        question=spec.question,
        file=one.file,
        profile=one.expansion.profile,
        seeds=tuple(one.expansion.seeds),
        seeds_as_in_file=one.expansion.typed_seeds is None,
        precision=aim.half_width if aim else None,
        max_seeds=aim.most_seeds if aim else None,
        changes=dict(one.changes),
        trials=tuple(trial.id for trial in trials),
    )


def _add_encoder(writer: _Writer, one: Exported, record: TrialRecord, say: Callable[[str], None]) -> None:
    if not one.encoders or record.encoder is None:
        return
    try:
        writer.add(f"encoders/{record.trial_id}/{ENCODER}", whole_encoder(record, one.store))
    except EncoderLostError as why:
        say(f"orch: trial {record.trial_id}: its encoder {why}; the bundle is without it")


def _add_checkpoints(writer: _Writer, root: Folder, trial_ids: Iterable[str]) -> None:
    for identity in trial_ids:
        for name, content in checkpoint.content_of(root / identity).items():
            if f"checkpoints/{identity}/{name}" not in writer.parts:
                writer.add(f"checkpoints/{identity}/{name}", content)


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]
