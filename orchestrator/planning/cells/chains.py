"""Cells whose trials start from another trial's trained encoder: whose that is, by the sweep files alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import ValidationError

from orchestrator.errors import Problem, SpecError, UsageError
from orchestrator.language.cells.chains import FROM
from orchestrator.language.hints import nearest, problems_of
from orchestrator.language.sweep_spec import SweepSpec
from orchestrator.planning.designs import Choice
from orchestrator.planning.difference import in_pairs
from orchestrator.planning.find import find_trial
from orchestrator.planning.trials import Cell, Expansion, Start, cell_of, keeps
from trainers.config.base import identity_dump

MOST_SHOWN = 3  # differences between two networks that are told


def with_parents(
    spec: SweepSpec, profile: str | None, cells: Sequence[Cell], expanded: Callable[..., Expansion]
) -> list[Cell]:
    """The cells of a sweep, of which those that start from another trial's encoder know whose.

    Args:
        spec: the sweep.
        profile: its profile.
        cells: its cells, as settings alone say them.
        expanded: expands another sweep, under a `profile`.

    Raises:
        SpecError: there is no such cell, its trials have no encoder, or another network than is asked for; or
            cells start from each other. Every problem of every cell, once.
    """
    if all(cell.start is None for cell in cells):
        return list(cells)
    search = _Search(spec, profile, cells, expanded)
    problems: dict[Problem, None] = {}
    made: list[Cell] = []
    for cell in cells:
        try:
            made.append(search.whole(cell))
        except SpecError as error:
            problems |= dict.fromkeys(error.problems)
    if problems:
        raise SpecError(list(problems))
    return made


class _Search:
    """Looks for the cells that others start from, each once."""

    def __init__(
        self,
        spec: SweepSpec,
        profile: str | None,
        cells: Sequence[Cell],
        expanded: Callable[..., Expansion],
    ) -> None:
        self._spec, self._profile, self._expanded = spec, profile, expanded
        self._own = Expansion(spec, profile, tuple(cells), (0,), ())
        self._others: dict[tuple[str, str | None], Expansion] = {}
        self._made: dict[Choice, Cell] = {}
        self._within: list[Cell] = []

    def whole(self, cell: Cell) -> Cell:
        """The cell with its parent, and its parent's parent.

        Raises:
            SpecError: as `with_parents`.
        """
        if cell.start is None:
            return cell
        if cell.choice in self._made:
            return self._made[cell.choice]
        if cell.choice in [one.choice for one in self._within]:
            circle = " from ".join(f"'{one.label}'" for one in (*self._within, cell))
            raise _problem(cell.start, "cell", f"a circle: {circle}")
        self._within.append(cell)
        try:
            self._made[cell.choice] = made = _child(cell, cell.start, self._parent(cell.start))
        finally:
            self._within.pop()
        return made

    def _parent(self, start: Start) -> Start:
        """Whose encoder it is.

        Raises:
            SpecError: there is no such cell.
        """
        asked = start.asked
        if asked.sweep is None:
            if asked.profile is not None:
                raise _problem(start, "profile", "is of another sweep; name that, too, by `sweep`")
            return start._replace(cell=self.whole(_named(self._own, start)))
        if asked.sweep not in self._spec.parents:
            told = f"'{asked.sweep}' was not read; name it in the sweep file"
            raise _problem(start, "sweep", told)
        file, spec = self._spec.parents[asked.sweep]
        profile = asked.profile or (self._profile if self._profile in spec.profiles else None)
        if profile is None and spec.profiles:
            known = nearest(self._profile or "", spec.profiles)
            raise _problem(start, "sweep", f"{file} has profiles; say which by `profile`; {known}")
        if (asked.sweep, profile) not in self._others:
            try:
                self._others[asked.sweep, profile] = self._expanded(spec, profile=profile, default_place=file)
            except UsageError as error:
                raise _problem(start, "profile", f"{file}: {error}") from None
        found = _named(self._others[asked.sweep, profile], start)
        return start._replace(cell=found, file=file, profile=profile)


def _named(expansion: Expansion, start: Start) -> Cell:
    try:
        return find_trial(expansion, start.asked.cell).cell
    except UsageError as error:
        raise _problem(start, "cell", str(error)) from None


def _child(cell: Cell, start: Start, parent: Start) -> Cell:
    """The cell whose trials start from the encoders of `parent`.

    Raises:
        SpecError: those are of another network, or there are none.
    """
    other = parent.cell
    assert other is not None
    whose = f"cell '{other.label}'" + (f" of {parent.file}" if parent.file else "")
    if "encoder" not in keeps(other):
        raise _problem(start, "cell", f"trials of {whose}, of trainer {other.trainer}, leave no encoder")
    config: Any = other.config()
    network = config.encoder.starting_from(None)
    own = cell.fields.get("encoder")
    if own is not None and (told := _differences(identity_dump(own), identity_dump(network))):
        told = f"{whose} has another network: {told}; leave out what is said of it here, or say the same"
        raise _problem(start, "cell", told)
    # A cell's own id holds the other cell's: it is one for all its seeds.
    of = other.id if start.asked.seed == "same" else other.trial_id(start.asked.seed)
    fields = cell.fields | {"encoder": network.starting_from(of), "seed": 0}
    try:
        made = cell_of(cell.loop.model_validate(fields), cell.choice)
    except ValidationError as error:
        raise SpecError(problems_of(error, {}, default=start.place)) from None
    return made._replace(start=parent)


def _differences(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    """The settings of two networks that differ, in words; empty where none does."""
    unequal = [one for one in in_pairs(ours, theirs) if one[1] != one[2]]
    return ", ".join(f"{path} is {other} there and {mine} here" for path, mine, other in unequal[:MOST_SHOWN])


def _problem(start: Start, field: str, message: str) -> SpecError:
    return SpecError([Problem(start.place, ".".join((*FROM, field)), message)])
