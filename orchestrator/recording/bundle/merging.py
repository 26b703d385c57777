"""Putting a bundle's results into a store: each trial once, and what is there already stays."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from orchestrator.recording.bundle.layout import BundledTrial
from orchestrator.recording.bundle.reading import Bundle
from orchestrator.recording.store_port import Store
from orchestrator.recording.trial_files import PROVENANCE, SPECTRA
from orchestrator.records import Curves, SweepInfo, TrialRecord
from trainers.attempt import checkpoint
from trainers.attempt.folders import Folder
from trainers.attempt.report import EpochReport, Outcome

OWN = {"trial.json", SPECTRA, PROVENANCE, "config.json"}
ATTEMPT = "0" * 16 + "imported"
"""Sorts before every attempt of a driver: who trains the trial meanwhile has not lost it."""


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


def merge(bundle: Bundle, store: Store) -> Merged:
    """Tell `store` of every trial in `bundle`, once all of it has been looked at.

    Raises:
        UsageError: the bundle is damaged; then nothing was told.
        StoreError: the store does not answer.
    """
    trials = _checked(bundle)
    known = store.records(list(trials))
    merged = Merged([], [], [], [])
    for one, trial in trials.items():
        if _differs(trial.record, known.get(one)):
            merged.other.append(_difference(trial, known[one]))
        elif one in known and (known[one].is_done or not trial.record.is_done):
            merged.there.append(one)
        elif trial.record.status == "running":
            merged.left.append(one)
        else:
            merged.added.append(one)
    told: set[str] = set()
    for sweep in bundle.manifest.sweeps.values():
        info = SweepInfo(
            name=sweep.name,
            profile=sweep.profile,
            question=sweep.question,
            provenance=bundle.manifest.made_by,
        )
        for one in sweep.trials:
            if one in merged.added and one not in told:
                _tell(bundle, store, trials[one], info)
                told.add(one)
        labels = {i: trials[i].facts.label for i in sweep.trials if i in told or i in known}
        store.adopt(labels, info)
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
        if names and not checkpoint.content_of(root / one):
            checkpoint.put_into(
                root / one, {name: bundle.read(f"checkpoints/{one}/{name}") for name in names}
            )
            given += 1
    return given


def lay_out(bundle: Bundle, root: Path) -> list[list[str]]:
    """Lay the sweep files of a bundle below `root`, changing none; the words that go on with each sweep."""
    commands = []
    for key, sweep in bundle.manifest.sweeps.items():
        texts = {name: bundle.read(f"sweeps/{key}/{name}") for name in bundle.names(f"sweeps/{key}")}
        digest = hashlib.sha256(b"".join(texts[name] for name in sorted(texts))).hexdigest()[:8]
        folder = root / key
        if any((folder / n).exists() and (folder / n).read_bytes() != text for n, text in texts.items()):
            folder = root / f"{key}-{digest}"
        for name, text in texts.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(text)
        words = ["orch", "sweep", str(folder / sweep.file)]
        words += ["--profile", sweep.profile] if sweep.profile else []
        words += ["--seeds", ",".join(map(str, sweep.seeds)) + ("," if len(sweep.seeds) == 1 else "")]
        for path, value in sweep.changes.items():
            words += ["--set", f"{path}={json.dumps(value)}"]
        commands.append(words)
    return commands


def _ids(bundle: Bundle) -> list[str]:
    return list(dict.fromkeys(one for sweep in bundle.manifest.sweeps.values() for one in sweep.trials))


def _checked(bundle: Bundle) -> dict[str, BundledTrial]:
    """Every trial, when all that belongs to it has been read once."""
    for name in bundle.manifest.files:
        bundle.read(name)
    trials: dict[str, BundledTrial] = {}
    for one in _ids(bundle):
        if (trial := bundle.trial(one)) is not None:
            bundle.curves(one)
            bundle.origin(one)
            trials[one] = trial
    return trials


def _tell(bundle: Bundle, store: Store, trial: BundledTrial, sweep: SweepInfo) -> None:
    one, record = trial.facts.trial_id, trial.record
    provenance, details = bundle.origin(one)
    info = sweep.model_copy(update={"provenance": provenance})
    store.begin(trial.facts, info, worker=record.worker, attempt=ATTEMPT)
    for report in _reports(bundle.curves(one) or Curves()):
        store.report(one, report)
    assert record.status != "running"
    outcome = Outcome(
        status=record.status,
        metrics=record.metrics,
        reason=record.reason,
        error=record.error,
        details=details,
    )
    store.finish(one, outcome, info)
    if drawn := {
        name: bundle.read(f"trials/{one}/{name}") for name in bundle.names(f"trials/{one}") if name not in OWN
    }:
        store.attach(one, drawn)


def _reports(curves: Curves) -> Iterator[EpochReport]:
    """The reports that draw these curves, in order."""
    by_epoch: dict[int, dict[str, float]] = {epoch: {} for epoch in curves.spectra_epochs}
    for name, pairs in curves.metrics.items():
        for epoch, value in pairs:
            by_epoch.setdefault(epoch, {})[name] = value
    place = {epoch: number for number, epoch in enumerate(curves.spectra_epochs)}
    for epoch in sorted(by_epoch):
        arrays = {n: a[place[epoch]] for n, a in curves.spectra.items()} if epoch in place else {}
        yield EpochReport(epoch=epoch, epochs=max(by_epoch), metrics=by_epoch[epoch], arrays=arrays)


def _differs(ours: TrialRecord, known: TrialRecord | None) -> bool:
    """Whether both are results, and not the same."""
    if known is None or not (ours.is_done and known.is_done):
        return False
    return (ours.status, ours.metrics) != (known.status, known.metrics)


def _difference(trial: BundledTrial, known: TrialRecord) -> str:
    ours = trial.record
    told = f"{known.status}, here {ours.status}"
    if ours.status == known.status:
        names = [
            n for n in sorted({*ours.metrics, *known.metrics}) if ours.metrics.get(n) != known.metrics.get(n)
        ]
        name = next((n for n in names if n.startswith("probe/")), names[0])
        more = f" and {len(names) - 1} more metrics" if len(names) > 1 else ""
        told = f"{name} {known.metrics.get(name)}, here {ours.metrics.get(name)}{more}"
    return f"{trial.facts.trial_id} {trial.facts.label}: the store has {told}; kept as the store has it"
