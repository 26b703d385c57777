"""A bundle as a store to read from."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from typing import Any, NoReturn

from orchestrator.errors import UsageError
from orchestrator.recording.bundle.imported import name_of
from orchestrator.recording.bundle.reading import Bundle
from orchestrator.recording.trial_files import ENCODER
from orchestrator.records import Curves, SweepInfo, TrialRecord


class BundleStore:
    """The results in a bundle."""

    def __init__(self, bundle: Bundle) -> None:
        """Those of `bundle`."""
        self._bundle = bundle

    def describe(self) -> str:
        """Its path."""
        return str(self._bundle.path)

    def records(self, trial_ids: Collection[str]) -> dict[str, TrialRecord]:
        """What is known of these trials."""
        found = ((one, self._bundle.trial(one)) for one in trial_ids)
        return {one: trial.record for one, trial in found if trial is not None}

    def curves(self, trial_ids: Collection[str]) -> dict[str, Curves]:
        """Curves and spectra of these trials."""
        found = ((one, self._bundle.curves(one)) for one in trial_ids)
        return {one: curves for one, curves in found if curves is not None}

    def files(
        self, trial_ids: Collection[str], names: Collection[str] | None = None
    ) -> dict[str, dict[str, bytes]]:
        """Files beside these trials."""
        folders = {one: f"trials/{one}" for one in trial_ids}
        named = {one: set(self._bundle.names(at)) - {"trial.json"} for one, at in folders.items()}
        if names is not None:
            named = {one: there.intersection(names) for one, there in named.items()}
        return {
            one: {name: self._bundle.read(f"{folders[one]}/{name}") for name in sorted(there)}
            for one, there in named.items()
            if there
        }

    def encoder(self, trial_id: str) -> bytes | None:
        """The file with a trial's encoder."""
        name = f"encoders/{trial_id}/{ENCODER}"
        return self._bundle.read(name) if name in self._bundle else None

    def published(self, sweep: SweepInfo) -> str | None:
        """Nothing is published in a bundle."""
        return None

    def asked_for(self, sweep: str) -> dict[str, str]:
        """Labels of all trials of the sweep, or of what was imported beside it, that are in it."""
        ids = {
            one
            for found in self._bundle.manifest.sweeps.values()
            if found.name == sweep
            for one in found.trials
        }
        trials = [self._bundle.trial(one) for one in sorted(ids)]
        others = [self._bundle.trial(one) for one in self._bundle.imported]
        trials += [
            one
            for one in others
            if one and one.record.imported and name_of(one.record.imported.sweep) == sweep
        ]
        return {trial.facts.trial_id: trial.facts.label for trial in trials if trial is not None}

    def flush(self) -> None:
        """Nothing is buffered."""

    def _refuse(self, *given: Any, **named: Any) -> NoReturn:
        raise UsageError(read_only(str(self._bundle.path)))

    begin = report = finish = adopt = attach = keep_encoder = set_aside = publish = _refuse


def read_only(path: str) -> str:
    """What is said to who would train into a bundle."""
    return f"{path}: a bundle is only read; `orch import {shlex.quote(path)}` puts its results into a store"
