"""Data that trials need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from orchestrator.planning.trials import Cell, TrialSpec
from trainers.config.plugins import behind


def missing_data(trials: Iterable[TrialSpec], root: Path | None) -> Iterator[str]:
    """A sentence about each data set that these trials need and that is not there."""
    asked = {id(config): config for trial in trials if (config := trial.cell.fields.get("data")) is not None}
    for config in {repr(config): config for config in asked.values()}.values():  # some have no hash
        look = getattr(behind(type(config)), "missing", None)
        if look and (problem := look(config, root=root)):
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
