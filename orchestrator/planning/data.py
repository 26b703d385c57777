"""What trials need of a machine: data, packages and programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from orchestrator.planning.trials import Cell, TrialSpec
from trainers.config.plugins import behind


def missing_data(trials: Iterable[TrialSpec], root: Path | None) -> Iterator[str]:
    """A sentence about each data set that these trials need and that is not there."""
    return _asked((trial.cell for trial in trials), "missing", root=root)


def missing_packages(cells: Iterable[Cell]) -> Iterator[str]:
    """A sentence about each package or program that data sets and trainers of these cells need and lack."""
    cells = list(cells)
    yield from _asked(cells, "needs")
    looks = ((cell, getattr(behind(cell.loop), "needs", None)) for cell in cells)
    yield from dict.fromkeys(filter(None, (look(cell.config()) for cell, look in looks if look)))


def _asked(cells: Iterable[Cell], what: str, **how: Path | None) -> Iterator[str]:
    """What data sets answer, each that has such a function once, and each answer once."""
    asked = {id(config): config for cell in cells if (config := cell.fields.get("data")) is not None}
    told = set()
    for config in {repr(config): config for config in asked.values()}.values():  # some have no hash
        look = getattr(behind(type(config)), what, None)
        problem = look(config, **how) if look else None
        if problem and problem not in told:
            told.add(problem)
            yield problem


def larger_than_data(cells: Iterable[Cell], root: Path | None) -> Iterator[str]:
    """A sentence about each data set that has fewer images than one batch of some cell."""
    seen = set()
    for cell in cells:
        data, field = cell.fields.get("data"), cell.loop.model_fields.get("batch_size")
        if data is None or field is None:
            continue
        batch = cell.fields.get("batch_size", field.default)
        if (id(data), batch) in seen:
            continue
        seen.add((id(data), batch))
        count = getattr(behind(type(data)), "for_training", None)
        number = None if count is None else count(data, root=root)
        if number is not None and batch > number:
            yield (
                f"cell '{cell.label}': batch_size {batch} exceeds the {number} training images of data set "
                f"'{data.name}'; lower batch_size, or take more images"
            )
