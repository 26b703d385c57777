"""What a driver writes into its note in a registry, and what others read in it."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from typing import NamedTuple

from orchestrator.process.driver import Owner

PER_TAG = 300  # trial ids; a tag holds 5000 characters


class Note(NamedTuple):
    """What another driver says of itself."""

    owner: Owner
    order: tuple[str, str]
    holds: bool
    trials: frozenset[str]
    heartbeat: str
    token: str
    """Of the driver's process: several notes may be one driver's, whose answers were lost."""


def trial_tags(state: str, trials: Collection[str]) -> dict[str, str]:
    """The tags that say of these trials that their driver "wants" or "holds" them."""
    ids = sorted(trials)
    parts = [ids[start : start + PER_TAG] for start in range(0, len(ids), PER_TAG)]
    counted = {"orch.state": state, "orch.trials": str(len(parts))}
    return counted | {f"orch.trials.{number}": " ".join(part) for number, part in enumerate(parts)}


def notes_in(there: Mapping[str, Mapping[str, str]]) -> dict[str, Note]:
    """The notes that can be read; a person may have edited the others."""
    found = {}
    for driver, tags in there.items():
        with contextlib.suppress(ValueError):
            found[driver] = _note(driver, tags)
    return found


def heartbeat_in(tags: Mapping[str, str]) -> str:
    """What changes with every heartbeat of a driver."""
    return tags.get("orch.heartbeat", "")


def _note(driver: str, tags: Mapping[str, str]) -> Note:
    number = int(tags.get("orch.trials", "0"))
    ids = (tags.get(f"orch.trials.{index}", "").split() for index in range(number))
    return Note(
        owner=Owner(
            tags.get("orch.host", "?"),
            int(tags.get("orch.pid", "0")),
            tags.get("orch.command", "?"),
            tags.get("orch.machine", ""),
        ),
        order=(tags.get("orch.started", ""), driver),
        holds=tags.get("orch.state") == "holds",
        trials=frozenset(trial_id for part in ids for trial_id in part),
        heartbeat=heartbeat_in(tags),
        token=tags.get("orch.token", ""),
    )
