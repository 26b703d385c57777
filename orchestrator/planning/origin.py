"""Whether done trials are from the code and the files that are there now: an id tells only of settings."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from orchestrator.planning.trials import TrialSpec
from orchestrator.process.words import counted
from orchestrator.records import TrialRecord
from trainers.attempt.source import Source, changed, digests, files_of, foreign_digests
from trainers.datasets.base import DatasetConfig, listing_of


def trained_by_other_code(
    done: Iterable[TrialSpec], records: Mapping[str, TrialRecord]
) -> dict[str, list[str]]:
    """The files whose code is not what trained a trial, by the trial's id; trials without such are absent."""
    now = functools.cache(digests)
    files: dict[str, frozenset[Source]] = {}  # by cell
    found = {}
    for trial in done:
        before, cell = records[trial.id].source, trial.cell.id
        if before and cell not in files:
            files[cell] = files_of(trial.config)
        if before and (names := changed(before, now(files[cell]))):
            found[trial.id] = names
    return found


def code_note(done: int, others: Mapping[str, list[str]]) -> str | None:
    """What is said of trials that other code has trained, or None."""
    if not others:
        return None
    names = Counter(name for changes in others.values() for name in changes)
    shown = ", ".join(name for name, _ in names.most_common(4)) + (" and more" if len(names) > 4 else "")
    return f"{len(others)} of {done} done were trained by other code ({shown} changed)"


def edited_plugins(
    missing: Iterable[TrialSpec], former: Mapping[str, TrialRecord], labels: Mapping[str, str]
) -> dict[str, list[str]]:
    """The plug-ins that have changed since trials of the same label were trained, by the missing trial's id.

    Args:
        missing: trials that no store has.
        former: records of trials that the sweep asked for once.
        labels: of those trials, by id.
    """
    before: dict[str, list[dict[str, str]]] = {}
    for identity, record in former.items():
        if record.is_done and record.source:
            before.setdefault(labels[identity], []).append(record.source)
    found: dict[str, list[str]] = {}
    for trial in missing if before else ():
        now = foreign_digests(trial.config)
        names = {name for source in before.get(trial.label, ()) for name in now.keys() & changed(source, now)}
        if names:
            found[trial.id] = sorted(names)
    return found


def edit_notes(edited: Mapping[str, list[str]]) -> list[str]:
    """What is said of plug-ins that have changed, each in a few words."""
    names = Counter(name for changes in edited.values() for name in changes)
    return [f"{name} changed since {counted(number, 'trial')}" for name, number in names.items()]


def trained_on_other_files(
    done: Iterable[TrialSpec], records: Mapping[str, TrialRecord], root: Path | None
) -> dict[tuple[str, str], str]:
    """A sentence on each data set whose files are not those that done trials have seen.

    By the listings that these have seen, and that are there now.
    """
    texts: dict[int, str] = {}  # of configs, by which equal ones are one: somebody else's may have no hash
    configs: dict[str, DatasetConfig] = {}
    now: dict[str, str | None] = {}
    seen: Counter[tuple[str, str]] = Counter()
    for trial in done:
        before, config = records[trial.id].data_listing, trial.cell.fields.get("data")
        if before is None or config is None:
            continue
        if (text := texts.get(id(config)) or texts.setdefault(id(config), repr(config))) not in now:
            configs[text], now[text] = config, listing_of(config, root)
        if now[text] not in (None, before):
            seen[text, before] += 1
    told = {}
    for (text, before), number in seen.items():
        config = configs[text]
        # What stands for the images: where data has a path, its label is one of its columns.
        field = "path" if "path" in type(config).model_fields else "label"
        told[before, str(now[text])] = (
            f"{config.name} '{getattr(config, field, config.name)}': its folder has {now[text]}, and "
            f"{counted(number, 'trial')} of this sweep saw {before}; other images need another {field}, or "
            "--accept-data (accept_data=True) if they are the same"
        )
    return told
