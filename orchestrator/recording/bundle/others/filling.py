"""From the runs of others to results of a sweep's cells: all of them, or a line for each that is wrong."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from orchestrator.errors import UsageError
from orchestrator.language.hints import cut, nearest
from orchestrator.planning.designs import Choice
from orchestrator.planning.expand import Expansion
from orchestrator.planning.trials import in_words
from orchestrator.recording.bundle.others.columns import (
    NUMBERED,
    AxisColumn,
    Columns,
    completed,
    level_from,
    pattern_of,
    same,
)
from orchestrator.recording.bundle.others.numbers import Numbers
from orchestrator.recording.bundle.others.sources.base import Curve, Run, Runs
from orchestrator.records import Imported

TOLD = 10
"""Problems that are told one by one; of a file of another kind every line is one."""


class Result(NamedTuple):
    """What one run comes to."""

    origin: Imported
    choice: Choice
    metrics: Mapping[str, float]
    """Final metrics, shares from 0 to 1."""
    curves: Mapping[str, Curve]


class Filled(NamedTuple):
    """What the runs of a source come to."""

    results: tuple[Result, ...]
    columns: Columns
    """What stands where, with what was found by its name."""
    units: Mapping[str, str]
    """Of each metric in the source: share, percent or plain."""
    unused: tuple[str, ...]
    """Columns that nothing was taken from."""
    empty: int
    """Runs that have none of the metrics, which are left out."""


def fill(
    expansion: Expansion, runs: Runs, said: Columns, *, source: str, date: str, percent: bool = False
) -> Filled:
    """The results of `runs` for cells of a sweep.

    Args:
        expansion: the sweep.
        runs: of a source.
        said: which columns are what, as far as it was said.
        source: what tables call it.
        date: of the import.
        percent: whether shares are in percent where no unit is said.

    Raises:
        UsageError: a column is missing, or a run does not fit; with a line for each.
    """
    columns = completed(said, runs.columns, expansion.spec)
    if columns.epoch is not None and columns.seed == NUMBERED:
        raise UsageError(
            f"--map seed={NUMBERED}: lines of epochs belong together by their seed; name its column"
        )
    filler = _Filler(expansion, columns, runs, percent=percent)
    found = [one for row in runs.rows if (one := filler.placed(row)) is not None]
    groups = filler.grouped(found)
    filler.numbers.check_units()
    if not filler.problems and not groups:
        filler.problems.append(f"{runs.file}: no run has a number of {', '.join(columns.metrics)}")
    if problems := list(dict.fromkeys(filler.problems)):
        more = [f"and {len(problems) - TOLD} more such lines"] if len(problems) > TOLD else []
        raise UsageError("\n".join([*problems[:TOLD], *more]))
    results = []
    for (choice, seed), members in sorted(groups.items(), key=lambda item: filler.order(*item[0])):
        last = members[-1]
        origin = Imported(
            sweep=expansion.spec.name,
            levels={axis: level for axis, level in choice if level is not None},
            seed=seed,
            source=source,
            file=runs.file,
            sha256=runs.sha256,
            date=date,
            place=last.run.place,
        )
        results.append(Result(origin, choice, filler.final(members), filler.curves(members)))
    unused = tuple(name for name in runs.columns if name not in filler.used)
    return Filled(tuple(results), columns, filler.numbers.units, unused, filler.empty)


class _Placed(NamedTuple):
    """A run and the place that it belongs to."""

    run: Run
    choice: Choice
    seed: int | None
    """None: it is numbered."""
    epoch: int | None
    metrics: dict[str, float]


Group = dict[tuple[Choice, int], list[_Placed]]


class _Filler:
    """Reads runs one by one, and remembers what is wrong with them."""

    def __init__(self, expansion: Expansion, columns: Columns, runs: Runs, *, percent: bool) -> None:
        self.numbers = Numbers(expansion, columns, runs.file, percent=percent)
        self.problems = self.numbers.problems
        self.empty = 0
        self.used: set[str] = set()
        self._expansion, self._columns, self._file = expansion, columns, runs.file
        self._choices = {cell.choice: place for place, cell in enumerate(expansion.cells)}
        self._named = None if columns.run is None else pattern_of(columns.run)
        there = [*runs.columns, *(self._named.groupindex if self._named else ())]
        self._at = {name: self._column(name, there) for name in _wanted(columns)}

    def _column(self, name: str, there: Sequence[str]) -> str:
        found = same(name, there)
        if found is None:
            raise UsageError(f"{self._file}: no column '{cut(name)}'; {nearest(name, there)}")
        self.used.add(found)
        return found

    def placed(self, row: Run) -> _Placed | None:
        """Where a run belongs, and its numbers; None where it has none, or something is wrong with it."""
        values, before = dict(row.values), len(self.problems)
        if self._named is not None:
            name = str(values.get("run", ""))
            if (match := self._named.fullmatch(name)) is None:
                self.problems.append(f"{row.place}: run '{cut(name)}' is not made as {self._columns.run}")
                return None
            values |= {key.replace("__", " "): text for key, text in match.groupdict().items()}
            self.used.add("run")
        read = {m: values.get(self._at[one.column]) for m, one in self._columns.metrics.items()}
        made = {metric: self.numbers.metric(metric, text, row.place) for metric, text in read.items()}
        metrics = {metric: value for metric, value in made.items() if value is not None}
        if not metrics and len(self.problems) == before:
            self.empty += 1
            return None
        choice = self._choice(row, values)
        seed, epoch = (
            None
            if name in (None, NUMBERED)
            else self.numbers.whole(what, name, values.get(self._at[str(name)]), row.place)
            for what, name in (("seed", self._columns.seed), ("epoch", self._columns.epoch))
        )
        if choice is None or len(self.problems) > before:
            return None
        return _Placed(row, choice, seed, epoch, metrics)

    def grouped(self, placed: Sequence[_Placed]) -> Group:
        """The runs of each cell and seed: one, or with epochs one per epoch, in their order."""
        groups: Group = {}
        numbers: dict[Choice, int] = {}
        for one in placed:
            seed = one.seed
            if seed is None:
                seed = numbers.get(one.choice, 0)
                numbers[one.choice] = seed + 1
            groups.setdefault((one.choice, seed), []).append(one)
        for (choice, seed), members in groups.items():
            members.sort(key=lambda one: -1 if one.epoch is None else one.epoch)
            for first, second in itertools.pairwise(members):
                if first.epoch == second.epoch:
                    what = f"{in_words(level for _, level in choice)}, seed {seed}"
                    what += f", epoch {first.epoch}" if first.epoch is not None else ""
                    way = "keep one of them"
                    if first.epoch is None:
                        way += f", name a column of epochs, or number them with --map seed={NUMBERED}"
                    self.problems.append(f"{second.run.place}: is {what}, as is {first.run.place}; {way}")
        return groups

    def final(self, members: Sequence[_Placed]) -> dict[str, float]:
        """The metrics of the last run of a group, and of the last that has one."""
        found: dict[str, float] = {}
        for one in members:
            found |= one.metrics
        return found

    def curves(self, members: Sequence[_Placed]) -> dict[str, Curve]:
        """The curves that the source has, in the metrics' own units."""
        found: dict[str, Curve] = {}
        for metric, one in self._columns.metrics.items():
            pairs = [
                (p.epoch, p.metrics[metric]) for p in members if p.epoch is not None and metric in p.metrics
            ]
            if not pairs and len(members) == 1:
                scale = 100 if self.numbers.units[metric] == "percent" else 1
                read = members[0].run.curve(self._at[one.column])
                pairs = [(step, value / scale) for step, value in read if step >= 0 and math.isfinite(value)]
            if pairs:
                found[metric] = tuple(pairs)
        return found

    def order(self, choice: Choice, seed: int) -> tuple[int, int]:
        """Cells in the order of the sweep, seeds by number."""
        return self._choices[choice], seed

    def _choice(self, row: Run, values: Mapping[str, str | float]) -> Choice | None:
        """The cell of a run; None, with a line, where it is none of the sweep's."""
        before, levels = len(self.problems), dict[str, str | None]()
        for axis in self._expansion.spec.axes:
            levels[axis] = self._level(axis, self._columns.axes[axis], row, values)
        if len(self.problems) > before:
            return None
        exact = tuple(levels.items())
        if exact in self._choices:
            return exact
        # A condition may take an axis out of a cell, whatever the source says of it.
        fitting = [c for c in self._choices if all(level in (None, levels[axis]) for axis, level in c)]
        applied = [c for c in fitting if self._conditions(c)]
        if len(applied) == 1:
            return applied[0]
        words = (
            ", ".join(f"{axis}={level}" for axis, level in levels.items() if level is not None) or "no level"
        )
        self.problems.append(f"{row.place}: {self._expansion.spec.name} has no cell with {words}")
        return None

    def _conditions(self, choice: Choice) -> bool:
        chosen = dict(choice)
        return all(
            (chosen[axis] is None)
            is any(
                chosen.get(other) not in wanted
                for other, wanted in self._expansion.spec.axes[axis].when.items()
            )
            for axis in chosen
        )

    def _level(self, axis: str, one: AxisColumn, row: Run, values: Mapping[str, str | float]) -> str | None:
        factor = self._expansion.spec.axes[axis]
        text = one.level if one.column is None else values.get(self._at[one.column])
        if text is None:
            return None  # such as a cell in which the axis does not hold
        if (label := level_from(one, factor, str(text))) is not None:
            return label
        text, hint = str(text), nearest(str(text), factor.labels)
        self.problems.append(
            f"{row.place}: no level '{cut(text)}' on axis '{axis}'; {hint}; a file for --map can say which"
        )
        return None


def _wanted(columns: Columns) -> Iterator[str]:
    yield from (one.column for one in columns.axes.values() if one.column is not None)
    yield from (one.column for one in columns.metrics.values())
    yield from (one for one in (columns.seed, columns.epoch) if one is not None and one != NUMBERED)
