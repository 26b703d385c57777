"""Enough seeds: more of them, until the intervals of a sweep's first metric are narrow. Never by p."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping

from orchestrator.answer.statistics.precision import is_narrow, next_number
from orchestrator.answer.tables import tabulate
from orchestrator.errors import UsageError
from orchestrator.planning.designs import Choice
from orchestrator.planning.expand import Aim, Expansion
from orchestrator.planning.plan import make_plan
from orchestrator.planning.trials import Cell
from orchestrator.process.words import exact
from orchestrator.records import TrialRecord

MOST = 10
"""Seeds of a cell, unless said otherwise."""
Records = Mapping[str, TrialRecord]


def aimed(
    expansion: Expansion,
    half: float | None,
    most: int | None,
    records_of: Callable[[Expansion], Records],
    evaluated: Callable[[Expansion, Records], bool] = lambda expansion, records: True,
) -> Expansion:
    """`expansion` with the seeds that narrow intervals need, as far as results say.

    What is there is followed step by step, as it was trained: the same results lead to the same seeds.

    Args:
        expansion: the trials asked for.
        half: the largest half of a 95 % interval, in the unit of the first table; None: nothing is added.
        most: the most seeds of a cell; None: ten.
        records_of: what is known of the trials of an expansion.
        evaluated: whether those have every evaluation that they can have.

    Raises:
        UsageError: the sweep has no table, or a number is out of range.
    """
    if half is None:
        if most is not None:
            raise UsageError("--max-seeds says how far --precision may go; give both, or --seeds")
        return expansion
    if not (math.isfinite(half) and half > 0):
        raise UsageError(
            f"--precision {exact(half)}: expected a number above 0, half the width of an interval"
        )
    if not expansion.spec.tables:
        name = expansion.spec.name
        raise UsageError(f"--precision: sweep '{name}' has no table whose numbers it could be about; add one")
    there = max(len(expansion.seeds_of(cell)) for cell in expansion.cells)
    if most is not None and most < there:
        raise UsageError(f"--max-seeds {most}: the sweep begins with {there}; give as many or more")
    first = expansion.spec.tables[0]
    asked: Expansion | None = expansion._replace(
        aim=Aim(half, max(most or MOST, there), first.metric, first.scale)
    )
    while asked is not None:
        expansion, records = asked, records_of(asked)
        done = not make_plan(asked, records).todo
        asked = grown(asked, records) if done and evaluated(asked, records) else None
    return expansion


def grown(expansion: Expansion, records: Records) -> Expansion | None:
    """The same with more seeds where intervals are too wide; None where no cell needs or may have more.

    A cell that is compared gets its seeds together with the baseline: differences are paired. One that starts
    from encoders of its own sweep gets them together with those.
    """
    aim = expansion.aim
    if aim is None:
        return None
    wanted: dict[Choice, set[int]] = {}
    half = aim.half_width / aim.scale
    for spec in (table for table in expansion.spec.tables if table.metric == aim.metric):
        made = tabulate(expansion, spec, records)
        baseline = made.baseline
        for _, _, one in made.flat():
            cell, sample = one.cell, one.summary if baseline is None else one.against
            if cell is None or one.is_baseline or is_narrow(sample, half):
                continue
            have = expansion.seeds_of(cell)
            if len(have) < aim.most_seeds:
                number = next_number(sample, len(have), half, most=aim.most_seeds)
                more = _more(expansion, cell, number - len(have))
                for choice in {*_with_those_before(cell), *_with_those_before(baseline or cell)}:
                    wanted.setdefault(choice, set()).update(have, more)
    if not wanted:
        return None
    own = {
        choice: tuple(dict.fromkeys((*expansion.own_seeds.get(choice, expansion.seeds), *sorted(seeds))))
        for choice, seeds in wanted.items()
    }
    larger = expansion.with_seeds({**expansion.own_seeds, **own})
    return larger if len(larger.trials) > len(expansion.trials) else None


def _with_those_before(cell: Cell) -> Iterator[Choice]:
    """The cell, and those of its sweep from whose encoders its trials start, seed by seed."""
    yield cell.choice
    start = cell.start
    if start is not None and start.cell is not None and start.file is None and start.asked.seed == "same":
        yield from _with_those_before(start.cell)


def _more(expansion: Expansion, cell: Cell, number: int) -> list[int]:
    """So many seeds that the cell has not, the smallest first."""
    chosen = dict(cell.choice)
    taken = set(expansion.own_seeds.get(cell.choice, expansion.seeds))
    taken |= {one.seed for one in expansion.spec.exclude if one.cell.items() <= chosen.items()}
    return list(itertools.islice((seed for seed in itertools.count() if seed not in taken), number))
