"""What trials need of a machine: data, packages and programs; and which profile is meant where it decides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.language.hints import nearest
from orchestrator.language.sweep_spec import SweepSpec
from orchestrator.planning.expand import expand
from orchestrator.planning.trials import Cell, TrialSpec
from orchestrator.process.machine import has_gpu
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


def choose_profile(spec: SweepSpec, requested: str, *, data_root: Path | None) -> tuple[str | None, str]:
    """The profile to use and why, in a few words.

    "auto" takes "paper" when a GPU and the data are there, else "laptop", else the only one.

    Raises:
        UsageError: the sweep has no profile of that name.
    """
    if requested != "auto":
        if requested not in spec.profiles:
            raise UsageError(
                f"no profile '{requested}' in sweep '{spec.name}'; {nearest(requested, spec.profiles)}"
            )
        return requested, "as asked"
    if not spec.profiles:
        return None, "the sweep has none"
    if "paper" in spec.profiles and has_gpu():
        missing = next(missing_data(expand(spec, profile="paper").trials, data_root), None)
        if missing is None:
            return "paper", "a GPU and the data are here"
        why = f"paper's data is not here: {missing}"
    else:
        why = "no GPU found"
    if "laptop" in spec.profiles:
        return "laptop", f"{why}; --profile {_others(spec, 'laptop')}" if len(spec.profiles) > 1 else why
    first = next(iter(spec.profiles))
    return first, "the first in the file"


def _others(spec: SweepSpec, chosen: str) -> str:
    return " or ".join(name for name in spec.profiles if name != chosen)
