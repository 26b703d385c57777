"""Trials that are to be trained again, and drivers that are to stop."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from orchestrator.commands.request import Request
from orchestrator.errors import StoreError, UsageError
from orchestrator.execution import drive
from orchestrator.execution.drive import Prepared
from orchestrator.execution.options import Options
from orchestrator.execution.screen import mirroring
from orchestrator.execution.screen.mirrors.base import waiting
from orchestrator.planning.evaluations import evaluations
from orchestrator.planning.expand import Expansion
from orchestrator.planning.plan import Plan, encoder_notes
from orchestrator.planning.trials import TrialSpec
from orchestrator.process.command import typed_command
from orchestrator.process.driver import Owner, this_driver
from orchestrator.process.waiting import said_if_slow
from orchestrator.recording.claims.home import Claims
from orchestrator.recording.claims.notes import notes_in
from orchestrator.recording.claims.shared import BEAT_S, SharedClaims
from orchestrator.recording.stores import memory
from orchestrator.recording.workspace import Workspace


def prepared_again(
    request: Request, named: str | None, options: Options, *, say: Callable[[str], None]
) -> Prepared:
    """What has failed of a sweep, or of the cell or evaluation that is named, ready to be run again.

    Raises:
        UsageError: there is no such cell, or nothing of it has failed.
        OrchError: it cannot be run.
    """
    expansion, name = request.expansion, request.spec.name
    chosen, found = request.named(named) if named else (list(expansion.trials), None)
    wanted = {trial.id for trial in chosen}
    if request.spec.evaluations and found is None:
        wanted |= {one.id for one in evaluations(expansion, request.records()).of(chosen)}

    def only(plan: Plan) -> tuple[TrialSpec, ...]:
        return tuple(trial for trial in plan.failed_before if trial.id in wanted)

    prepared = drive.prepare(expansion, request.space, options, say=say, only=only)
    if not prepared.trains:
        what = "no trial" if not request.spec.evaluations else "no trial and no evaluation"
        where = f"of cell '{named}'" if named else f"of sweep '{name}'"
        notes = encoder_notes(prepared.plan) if prepared.plan.lost else []
        why = f" and has its encoder; {notes[-1]}" if notes else "; `orch status` shows how they stand"
        raise UsageError(request.filled(f"{what} {where} has failed{why}"))
    return prepared


def end_dead_drivers(space: Workspace) -> Iterator[str]:
    """End what drivers that share this store and died without a word left running; a line for each."""
    registry = space.store_at.registry()
    if registry is None:
        return
    for owner in SharedClaims(registry, me=_me()).end_dead_drivers():
        yield f"{owner} is dead; its trials are stopped, and `orch sweep` goes on with them"


def mirrored(space: Workspace, names: Sequence[str], *, say: Callable[[str], None]) -> bool:
    """Show what waits in this home for these mirrors; whether everything is shown."""
    with said_if_slow("mirrors show what has ended", say):
        lines = [line for name in names for line in mirroring.shown_now(name, space.home)]
    for line in lines:
        say(line)
    return not any(waiting(mirroring.folder_of(name, space.home)) for name in names)


def stop(expansions: Sequence[Expansion], space: Workspace) -> Iterator[str]:
    """Ask every driver that trains trials of one sweep, here expanded, to stop; a line for each."""
    name = expansions[0].spec.name
    ids = sorted({one for expansion in expansions for one in ids_of(expansion, space)})
    here, elsewhere = list[Owner](), list[Owner]()
    for claims in _of_home(space.home):
        asked, others = claims.ask_to_stop(ids)
        here, elsewhere = here + asked, elsewhere + others
    for owner in here:
        yield f"{name}: asked {owner} to stop; its trials end after their epoch and keep their checkpoints"
    registry, told = space.store_at.registry(), list[Owner]()
    if registry is not None:
        try:
            told = SharedClaims(registry, me=_me()).ask_to_stop(ids, but_not=here)
        except StoreError as error:
            yield f"{name}: drivers of other machines could not be told: {error}"
    for owner in told:
        yield f"{name}: left word for {owner} to stop; it reads it within {BEAT_S:.0f} s, if it lives"
    for owner in elsewhere:
        if owner not in told:
            yield f"{name}: {owner} is on another machine; stop it there"
    if not here and not elsewhere and not told:
        yield f"{name}: nobody trains it in {space.home}; name --set and --seeds as the sweep has them"


def who_trains(request: Request) -> Callable[[], frozenset[Owner]]:
    """Asks which drivers have trials of this sweep and gave a sign of life since it was asked last.

    Those of this home always give one, those that share only the store with each heartbeat. Changes nothing.
    """
    space = request.space
    local, registry = Claims(space.claims_in, command=typed_command()), space.store_at.registry()
    beats: dict[str, str] = {}

    def heard() -> frozenset[Owner]:
        # Again: what is trained meanwhile can be evaluated, and seeds may have been added.
        ids = ids_of(request.expansion, space)
        found = set(local.held(ids).values())
        for driver, note in notes_in(registry.read() if registry else {}).items():
            if note.trials & ids and beats.get(driver) != note.heartbeat:
                beats[driver] = note.heartbeat
                found.add(note.owner)
        return frozenset(found)

    return heard


def ids_of(expansion: Expansion, space: Workspace) -> frozenset[str]:
    """The ids of a sweep's trials, and of evaluations of their encoders as far as the store has those."""
    ids = [trial.id for trial in expansion.trials]
    if expansion.spec.evaluations:
        with contextlib.suppress(StoreError):  # drivers of this home are reached without it
            records = space.open_store().records(ids)
            ids += [trial.id for trial in evaluations(expansion, records).expansion.trials]
    return frozenset(ids)


def _of_home(home: Path) -> list[Claims]:
    """The claims of every store whose drivers work in this home folder; one in memory may have its own."""
    return [Claims(folder, command=typed_command()) for folder in (home, *memory.living(home))]


def _me() -> Owner:
    return this_driver(typed_command())
