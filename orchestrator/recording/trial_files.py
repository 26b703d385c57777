"""A trial's files beside its numbers: curves and spectra as one .npz without pickle, config, provenance."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import zipfile
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import numpy as np

from orchestrator.errors import StoreAway, StoreError, StoreRefused, UsageError
from orchestrator.planning.expand import Expansion
from orchestrator.planning.find import find_seed
from orchestrator.planning.trials import TrialSpec, keeps
from orchestrator.process.words import duration
from orchestrator.recording.store_port import Store
from orchestrator.records import MEASURED, Curves, SweepInfo, TrialFacts, TrialRecord, duration_of
from trainers.attempt.checkpoint import ENCODER as ENCODER
from trainers.attempt.checkpoint import GIVEN
from trainers.attempt.folders import Folder, files
from trainers.attempt.report import Outcome
from trainers.config.base import canonical

SPECTRA, PROVENANCE = "spectra.npz", "provenance.json"


def trial_files(trial: TrialFacts, outcome: Outcome, sweep: SweepInfo, curves: Curves) -> dict[str, bytes]:
    """A trial's files by name."""
    facts = {
        "trial_id": trial.trial_id,
        "canonical_config": canonical(trial.identity),
        "sweep": sweep.name,
        "profile": sweep.profile,
        **sweep.provenance.model_dump(),
        "trial": outcome.details,
    }
    return {SPECTRA: to_npz(curves), "config.json": _json(trial.config), PROVENANCE: _json(facts)}


def _in_python(anew: bool) -> str:
    return f"run(keep=['encoder']{', retrain_unkept=True' if anew else ''})"


def kept_encoder(
    expansion: Expansion, store: Store, cell: str, seed: int, making: Callable[[bool], str] = _in_python
) -> tuple[TrialSpec, bytes]:
    """A trial, and the file with its encoder, as the store has it.

    Args:
        expansion: the sweep.
        store: has results.
        cell: what names its cell.
        seed: of the trial.
        making: what trains it and keeps it, in words, given whether that is done anew.

    Raises:
        UsageError: there is no such trial, or the store has no encoder of it; with what makes it.
    """
    trial = find_seed(expansion, cell, seed)
    record = store.records([trial.id]).get(trial.id)
    told = f"trial {trial.label} ({trial.id})"
    if record is None or not record.is_done:
        status = "was not trained" if record is None else f"is {record.status}"
        raise UsageError(f"{told} {status}, so it has no encoder; {making(False)} trains it and keeps it")
    if record.status not in MEASURED or "encoder" not in keeps(trial.cell):
        why = record.status if record.status not in MEASURED else f"of trainer {trial.cell.trainer}"
        raise UsageError(f"{told} is {why}: it has no encoder")
    left = " was trained without keeping its encoder"
    if record.encoder is not None:
        try:
            return trial, whole_encoder(record, store)
        except EncoderLostError as why:
            left = f": its encoder {why}"
    seconds = _seconds(store, trial.id)
    took = "" if seconds is None else f", which took {duration(seconds)}"
    raise UsageError(f"{told}{left}; {making(True)} trains it anew and keeps it{took}")


class EncoderLostError(Exception):
    """An encoder that was kept cannot be used any more; why, in words that follow "its encoder"."""


def whole_encoder(record: TrialRecord, store: Store) -> bytes:
    """The file with the encoder that a trial's record says was kept.

    Raises:
        EncoderLostError: it is not there any more, or another file is.
        StoreAway: the store does not answer.
    """
    try:
        content = store.encoder(record.trial_id)
    except StoreAway:
        raise
    except StoreError as error:
        raise EncoderLostError(f"cannot be read: {error}") from None
    except OSError as error:  # of the folder in which it waits to be kept
        raise StoreAway(str(error)) from None
    if content is None:
        raise EncoderLostError(f"is not in {store.describe()}")
    if (found := hashlib.sha256(content).hexdigest()) != record.encoder:
        digests = f"its digest is {found[:12]}, expected {str(record.encoder)[:12]}"
        raise EncoderLostError(f"is damaged: {digests}")
    return content


def lost_encoders(
    records: Iterable[TrialRecord],
    store: Store,
    whole: Callable[[Mapping[str, str]], Collection[str]] = lambda digests: (),
) -> dict[str, str]:
    """Why encoders that were kept cannot be used any more, by trial id, in words that follow "its encoder".

    Of a store that does not answer nothing is known.

    Args:
        records: of the trials.
        store: has the encoders.
        whole: tells, of digests by trial id, which of the encoders need not be read.
    """
    told, kept = {}, {one.trial_id: one for one in records if one.encoder is not None}
    with contextlib.suppress(StoreAway):
        unread = whole({trial_id: str(record.encoder) for trial_id, record in kept.items()})
        for trial_id in kept.keys() - set(unread):
            try:
                whole_encoder(kept[trial_id], store)
            except EncoderLostError as why:
                told[trial_id] = str(why)
    return {trial_id: told[trial_id] for trial_id in kept if trial_id in told}


def _seconds(store: Store, trial_id: str) -> float | None:
    """How long a trial took, if its store says so."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return duration_of(json.loads(store.files([trial_id])[trial_id][PROVENANCE])["trial"]["wall_s"])
    return None


def lay_encoders(
    wanted: Iterable[tuple[str, TrialRecord]], store: Store, folder: Folder
) -> dict[str, tuple[str, str]]:
    """Give trials encoders to start from, each in its folder below `folder`.

    Args:
        wanted: ids of trials, and the record of the trial whose encoder each is given.
        store: has the encoders.
        folder: of all trials.

    Returns:
        By id of those that could not be given theirs: whose it is, and why, as `lost_encoders` says it.

    Raises:
        StoreAway: the store does not answer.
        OSError: a folder does not take one.
    """
    lost: dict[str, tuple[str, str]] = {}
    by_parent = sorted(wanted, key=lambda pair: pair[1].trial_id)
    for parent, pairs in itertools.groupby(by_parent, key=lambda pair: pair[1].trial_id):
        own = list(pairs)
        try:
            content = whole_encoder(own[0][1], store)
        except EncoderLostError as why:
            lost |= {trial_id: (parent, str(why)) for trial_id, _ in own}
            continue
        for trial_id, _ in own:
            files(folder / trial_id).write(GIVEN, io.BytesIO(content))
    return lost


def parent_records(
    todo: Iterable[TrialSpec], known: Mapping[str, TrialRecord], store: Store
) -> dict[str, TrialRecord]:
    """Records of the trials from whose encoders these start, by id: those that are known, others of `store`.

    Raises:
        StoreError: it does not answer.
    """
    wanted = {trial.parent.id for trial in todo if trial.parent is not None}
    there = {one: known[one] for one in wanted if one in known}
    others = wanted - there.keys()
    return there | (store.records(others) if others else {})


def left_encoder(folder: Folder, sha256: str) -> bytes | None:
    """The encoder that a trial has left in its folder; None if it is not there any more.

    Raises:
        StoreRefused: it is another file, or was cut off.
        OSError: nobody knows, for the folder does not answer.
    """
    try:
        content = files(folder).read(ENCODER)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise StoreRefused(f"{folder / ENCODER}: its digest is {found[:12]}, expected {sha256[:12]}")
    return content


def remove_left_encoder(folder: Folder) -> None:
    """Remove an encoder that a trial has left, as far as this user may, and the folder if it is empty."""
    with contextlib.suppress(OSError):
        there = files(folder, hasty=True)
        there.remove(ENCODER)
        there.remove_if_empty()


def to_npz(curves: Curves) -> bytes:
    """One .npz: "epochs" [R], spectra [R, d] by name, and "metric/<name>" [E, 2] as (epoch, value)."""
    arrays = {"epochs": np.array(curves.spectra_epochs, dtype=np.int64), **curves.spectra}
    arrays |= {f"metric/{name}": np.array(pairs) for name, pairs in curves.metrics.items()}
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)  # type: ignore[arg-type]  # numpy's stub mistakes the names
    return out.getvalue()


def from_npz(content: bytes) -> Curves:
    """The curves that `to_npz` wrote."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    epochs = tuple(int(epoch) for epoch in arrays.pop("epochs"))
    metrics = {
        name.removeprefix("metric/"): tuple((int(epoch), float(value)) for epoch, value in arrays.pop(name))
        for name in list(arrays)
        if name.startswith("metric/")
    }
    return Curves(metrics=metrics, spectra_epochs=epochs, spectra=arrays)


def seconds_in(content: bytes) -> float | None:
    """The time of all epochs together in a trial's curves; None where they do not say it, or are damaged."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return float(file["metric/time/epoch_s"][:, 1].sum())
    except (KeyError, ValueError, IndexError, OSError, zipfile.BadZipFile):
        return None


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
