"""Trials that are to be trained again, and drivers that are to stop."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path

from orchestrator.adapters.claims import Claims, Owner
from orchestrator.adapters.one_trial import find_trials
from orchestrator.adapters.provenance import typed_command
from orchestrator.adapters.shared_claims import BEAT_S, SharedClaims
from orchestrator.adapters.sweeping import Only
from orchestrator.adapters.workspace import Workspace
from orchestrator.errors import UsageError
from orchestrator.expand import Expansion, TrialSpec
from orchestrator.plan import Plan
from trainers.isolation import discard_checkpoints


def failed(expansion: Expansion, cell: str | None, *, folder: Path, fresh: bool) -> Only:
    """Chooses the failed trials of a plan, of one cell if it is named.

    Args:
        expansion: the sweep.
        cell: as for `find_trials`.
        folder: where checkpoints are, one folder per trial.
        fresh: whether to discard those of the chosen trials.

    Raises:
        UsageError: there is no such cell; by the chosen function: none of its trials has failed.
    """
    wanted = {trial.id for trial in (find_trials(expansion, cell) if cell else expansion.trials)}

    def only(plan: Plan) -> tuple[TrialSpec, ...]:
        chosen = tuple(trial for trial in plan.failed_before if trial.id in wanted)
        if not chosen:
            where = f"of cell '{cell}'" if cell else f"of sweep '{expansion.spec.name}'"
            raise UsageError(f"no trial {where} has failed; `orch status` shows how they stand")
        for trial in chosen if fresh else ():
            discard_checkpoints(folder / trial.id)
        return chosen

    return only


def reap(space: Workspace) -> Iterator[str]:
    """End what drivers that share this store and died without a word left running; a line for each."""
    board = space.board()
    if board is None:
        return
    for owner in SharedClaims(board, me=_me()).reap():
        yield f"{owner} is dead; its trials are stopped, and `orch sweep` goes on with them"


def stop(expansion: Expansion, space: Workspace) -> Iterator[str]:
    """Ask every driver with this home folder that trains trials of the sweep to stop; a line for each."""
    name = expansion.spec.name
    asked, elsewhere = Claims(space.home, command=typed_command()).ask_to_stop(
        [trial.id for trial in expansion.trials]
    )
    board = space.board()
    if board is not None:
        told = SharedClaims(board, me=_me()).ask_to_stop([trial.id for trial in expansion.trials])
        elsewhere = [owner for owner in told if owner not in asked]
        for owner in elsewhere:
            yield f"{name}: left word for {owner} to stop; it reads it within {BEAT_S:.0f} s"
    for owner in asked:
        yield f"{name}: asked {owner} to stop; its trials end after their epoch and keep their checkpoints"
    for owner in elsewhere if board is None else ():
        yield f"{name}: {owner} is on another machine; stop it there"
    if not asked and not elsewhere:
        yield f"{name}: nobody trains it in {space.home}"


def _me() -> Owner:
    return Owner(platform.node(), os.getpid(), typed_command())
