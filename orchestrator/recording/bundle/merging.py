"""Putting a bundle's results into a store: each trial once, and what is there already stays."""

from __future__ import annotations

import contextlib
import io
import itertools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from orchestrator.errors import StoreAway, UsageError
from orchestrator.planning.expand import Aim
from orchestrator.recording.bundle import layout
from orchestrator.recording.bundle.imported import ATTEMPT, can_be_kept, facts_of, name_of, reports_of
from orchestrator.recording.bundle.layout import BROKEN, BundledTrial
from orchestrator.recording.bundle.reading import Bundle
from orchestrator.recording.bundle.selecting import sweep_words
from orchestrator.recording.store_port import Store
from orchestrator.recording.trial_files import ENCODER, PROVENANCE, SPECTRA, EncoderLostError, whole_encoder
from orchestrator.records import Curves, Provenance, SweepInfo, TrialRecord, record_of, unequal_metrics
from trainers.attempt import checkpoint
from trainers.attempt.folders import Folder, files
from trainers.attempt.report import EpochReport, Outcome

OWN = {"trial.json", SPECTRA, PROVENANCE, "config.json"}


class Merged(NamedTuple):
    """What became of a bundle's trials, by id."""

    added: list[str]
    """The store has them now."""
    there: list[str]
    """It had them, with the same result."""
    other: list[str]
    """A line for each that it had with another result, which stays."""
    left: list[str]
    """They have no result, nor an end that the store does not know."""


def checked(bundle: Bundle) -> dict[str, BundledTrial]:
    """Every trial in `bundle` by id, when all of it has been looked at.

    Raises:
        UsageError: it is damaged, or was made up.
    """
    bundle.verify()
    others = set(bundle.imported)
    ids = (*_ids(bundle), *bundle.imported)
    trials = {one: trial for one in ids if (trial := bundle.trial(one)) is not None}
    for one, trial in trials.items():
        _made(bundle, trial)
        origin = trial.record.imported
        if origin is not None and (
            one not in others or facts_of(origin) != trial.facts or not can_be_kept(origin)
        ):
            raise UsageError(f"{bundle.path}: trials/{one} is not from where it says; it was changed")
        encoder = f"encoders/{trial.facts.trial_id}/{ENCODER}"
        if encoder in bundle and bundle.manifest.files[encoder].sha256 != trial.record.encoder:
            raise UsageError(f"{bundle.path}: {encoder} is another than its trial left; it was changed")
    # What no sweep asks for, and nobody has imported, is left where it is.
    return {i: one for i, one in trials.items() if one.record.imported or i not in others}


def merge(bundle: Bundle, store: Store, trials: Mapping[str, BundledTrial]) -> Merged:
    """Tell `store` of these trials, which `bundle` has and which were `checked`.

    Raises:
        StoreError: the store does not answer.
    """
    known = store.records(list(trials))
    merged = Merged([], [], [], [])
    for one, trial in trials.items():
        if differ(trial.record, known.get(one)):
            merged.other.append(_difference(trial, known[one]))
        elif one in known and (known[one].is_done or not trial.record.is_done):
            merged.there.append(one)
        elif trial.record.status == "running":
            merged.left.append(one)
        else:
            merged.added.append(one)
    waiting, told = set(merged.added), set[str]()
    for sweep in bundle.manifest.sweeps.values():
        info = SweepInfo(
            name=sweep.name,
            profile=sweep.profile,
            question=sweep.question,
            provenance=bundle.manifest.made_by,
        )
        for one in sweep.trials:
            if one in waiting:
                _tell(store, trials[one], _made(bundle, trials[one]), info)
                waiting.remove(one)
                told.add(one)
        labels = {i: trials[i].facts.label for i in sweep.trials if i in told or i in known}
        store.adopt(labels, info)
    for one in merged.added:
        if (origin := trials[one].record.imported) is not None:
            info = SweepInfo(name=name_of(origin.sweep), profile=None, provenance=bundle.manifest.made_by)
            _tell(store, trials[one], _made(bundle, trials[one]), info)
    return merged


def merge_checkpoints(bundle: Bundle, root: Folder, store: Store) -> int:
    """Give trials that are not done the checkpoints that the bundle has of them; to how many.

    A trial that has some keeps them.
    """
    given = 0
    known = store.records(_ids(bundle))
    for one in _ids(bundle):
        done = one in known and known[one].is_done
        names = [] if done else bundle.names(f"checkpoints/{one}")
        if names and not checkpoint.names_in(root / one):
            checkpoint.put_into(
                root / one, {name: bundle.read(f"checkpoints/{one}/{name}") for name in names}
            )
            given += 1
    return given


def merge_encoders(bundle: Bundle, root: Folder, store: Store) -> int:
    """Give trials the encoders that the bundle has of them, by way of their folders; to how many.

    A trial whose encoder the store has keeps it, unless that is damaged; one that has another result in the
    store gets none.
    """
    named = [one for one in _ids(bundle) if f"encoders/{one}/{ENCODER}" in bundle]
    known, given = store.records(named), 0
    there = _whole_encoders((one for one in known.values() if one.encoder is not None), store)
    for one in named:
        trial = bundle.trial(one)
        if trial is None or one not in known or differ(trial.record, known[one]):
            continue
        if one in there or known[one].encoder not in (None, trial.record.encoder):
            continue
        content = bundle.read(f"encoders/{one}/{ENCODER}")
        files(root / one).write(ENCODER, io.BytesIO(content))
        store.keep_encoder(one, root / one, str(trial.record.encoder))
        given += 1
    return given


def lacking_encoders(bundle: Bundle, trials: Mapping[str, BundledTrial], store: Store) -> int:
    """How many trials of the bundle have kept an encoder that neither it nor the store has."""
    left = [i for i, one in trials.items() if one.record.encoder and f"encoders/{i}/{ENCODER}" not in bundle]
    kept = {i: record for i, record in store.records(left).items() if record.encoder is not None}
    return len(kept.keys() - _whole_encoders(kept.values(), store))


def _whole_encoders(records: Iterable[TrialRecord], store: Store) -> set[str]:
    """Of which trials the store has the encoder that was kept, as far as it answers."""
    found = set[str]()
    with contextlib.suppress(StoreAway):
        for record in records:
            with contextlib.suppress(EncoderLostError):
                whole_encoder(record, store)
                found.add(record.trial_id)
    return found


def lay_out(bundle: Bundle, root: Path) -> list[list[str]]:
    """Lay the sweep files of a bundle below `root`, changing none; the words that go on with each sweep.

    Raises:
        UsageError: they cannot be written.
    """
    commands = []
    for key, sweep in bundle.manifest.sweeps.items():
        texts = {name: bundle.read(f"sweeps/{key}/{name}") for name in bundle.names(f"sweeps/{key}")}
        others = (root / f"{key}-{number}" for number in itertools.count(2))
        try:
            folder = next(one for one in itertools.chain([root / key], others) if _is_free(one, texts))
            for name, text in texts.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(text)
        except OSError as error:
            reason = f"cannot be written: {error.strerror}"
            raise UsageError(f"{root / key}: {reason}; choose another folder with --home") from None
        commands.append(
            sweep_words(
                folder / sweep.file,
                profile=sweep.profile,
                seeds=None if sweep.seeds_as_in_file else sweep.seeds,
                changes=sweep.changes,
                aim=Aim(sweep.precision, sweep.max_seeds) if sweep.precision and sweep.max_seeds else None,
            )
        )
    return commands


def _is_free(folder: Path, texts: Mapping[str, bytes]) -> bool:
    """Whether these files can lie in the folder without another being changed."""
    return all(not (folder / n).exists() or (folder / n).read_bytes() == text for n, text in texts.items())


def _ids(bundle: Bundle) -> list[str]:
    return list(dict.fromkeys(one for sweep in bundle.manifest.sweeps.values() for one in sweep.trials))


class _Made(NamedTuple):
    """What a store is told of a trial."""

    provenance: Provenance
    reports: list[EpochReport]
    outcome: Outcome | None
    """None: it has not ended."""
    drawn: dict[str, bytes]


def _made(bundle: Bundle, trial: BundledTrial) -> _Made:
    """What a store is told of a trial: its record as it was, whatever its files say.

    Raises:
        UsageError: its files are damaged, or were made up.
    """
    one, record = trial.facts.trial_id, trial.record
    provenance, details = bundle.origin(one)
    known = {
        "data_fingerprint": record.data_fingerprint,
        "streams_fingerprint": record.streams_fingerprint,
        "data_listing": record.data_listing,
        "source": record.source or None,
        "encoder": record.encoder and {"sha256": record.encoder},
        "collapse": record.collapse and {"verdict": record.collapse},
        "imported": record.imported and record.imported.model_dump(),
        "perhaps_begun_before": record.perhaps_begun_before or None,
    }
    if isinstance(told := details.get("collapse"), dict) and told.get("verdict") == record.collapse:
        del known["collapse"]
    details = {name: value for name, value in (details | known).items() if value is not None}
    fields = provenance.model_dump() | ({"code_version": record.code_version} if record.code_version else {})
    names = [name for name in bundle.names(f"trials/{one}") if name not in OWN]
    try:
        for name in names:
            if not re.fullmatch(layout.PLAIN, name):
                raise ValueError(name)
        outcome = None
        if record.status != "running":
            outcome = Outcome(
                status=record.status,
                metrics=record.metrics,
                reason=record.reason,
                error=record.error,
                details=details,
            )
            record_of(one, outcome, Provenance(**fields))
        reports = list(reports_of(bundle.curves(one) or Curves()))
    except (*BROKEN, AttributeError, IndexError):
        raise UsageError(f"{bundle.path}: trials/{one} holds what no trial leaves; it was changed") from None
    return _Made(
        Provenance(**fields), reports, outcome, {name: bundle.read(f"trials/{one}/{name}") for name in names}
    )


def _tell(store: Store, trial: BundledTrial, made: _Made, sweep: SweepInfo) -> None:
    one = trial.facts.trial_id
    info = SweepInfo(**dict(sweep) | {"provenance": made.provenance, "expected": trial.record.expected})
    store.begin(trial.facts, info, worker=trial.record.worker, attempt=ATTEMPT)
    for report in made.reports:
        store.report(one, report)
    if made.outcome is not None:
        store.finish(one, made.outcome, info)
    if made.drawn:
        store.attach(one, made.drawn)


def differ(ours: TrialRecord, known: TrialRecord | None) -> bool:
    """Whether both are results, and not the same."""
    if known is None or not (ours.is_done and known.is_done):
        return False
    return ours.status != known.status or bool(unequal_metrics(ours, known))


def _difference(trial: BundledTrial, known: TrialRecord) -> str:
    ours = trial.record
    told = f"{known.status}, here {ours.status}"
    if ours.status == known.status:
        names = unequal_metrics(ours, known)
        name = next((n for n in names if n.startswith("probe/")), names[0])
        more = f" and {len(names) - 1} more metrics" if len(names) > 1 else ""
        told = f"{name} {known.metrics.get(name)}, here {ours.metrics.get(name)}{more}"
    return f"{trial.facts.trial_id} {trial.facts.label}: the store has {told}; kept as the store has it"
