"""What an edit of a sweep does to its trials: two expansions side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from orchestrator.planning.trials import Cell, Expansion
from trainers.config.base import flat, identity_dump


class Difference(NamedTuple):
    """What stands in one expansion and not in the other."""

    shared: int
    """Trials of both."""
    removed: int
    """Trials of the first alone."""
    added: int
    """Trials of the second alone."""
    changed_cells: dict[str, tuple[str, ...]]
    """By label, for cells of both whose config differs: "path: old → new" each."""
    removed_cells: tuple[str, ...]
    added_cells: tuple[str, ...]
    renamed_cells: dict[str, str]
    """New label by old one, of cells whose config is the same."""
    removed_seeds: tuple[int, ...]
    added_seeds: tuple[int, ...]


def compare(first: Expansion, second: Expansion) -> Difference:
    """How the trials of `second` differ from those of `first`."""
    ids = [{trial.id for trial in made.trials} for made in (first, second)]
    old, new = ({cell.label: cell for cell in made.cells} for made in (first, second))
    by_id = {cell.id: label for label, cell in old.items() if label not in new}
    renamed = {by_id[cell.id]: label for label, cell in new.items() if label not in old and cell.id in by_id}
    return Difference(
        shared=len(ids[0] & ids[1]),
        removed=len(ids[0] - ids[1]),
        added=len(ids[1] - ids[0]),
        changed_cells={
            label: tuple(changes(old[label], cell))
            for label, cell in new.items()
            if label in old and old[label].id != cell.id
        },
        removed_cells=tuple(label for label in old if label not in new and label not in renamed),
        added_cells=tuple(label for label in new if label not in old and label not in renamed.values()),
        renamed_cells=renamed,
        removed_seeds=tuple(seed for seed in first.every_seed if seed not in second.every_seed),
        added_seeds=tuple(seed for seed in second.every_seed if seed not in first.every_seed),
    )


def changes(old: Cell, new: Cell) -> Iterator[str]:
    """Old and new value of every field that decides the numbers and differs."""
    for path, before, after in settings(old, new):
        if before != after:
            yield f"{path}: {in_a_word(before)} → {in_a_word(after)}"


def settings(first: Cell, second: Cell) -> Iterator[tuple[str, Any, Any]]:
    """Path and both values of every field that decides the numbers of one of the two; None: it is not set."""
    yield from in_pairs(*(identity_dump(cell.config()) for cell in (first, second)))


def in_pairs(first: dict[str, Any], second: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Path and both values of every field of one of two nested settings; None: it is not set."""
    before, after = (dict(flat(one)) for one in (first, second))
    for path in sorted({*before, *after}):
        yield path, before.get(path), after.get(path)


def in_a_word(value: Any) -> str:
    """A setting's value as a person reads it."""
    if value is None:
        return "not set"
    return str(value).lower() if isinstance(value, bool) else str(value)


def text(difference: Difference) -> str:
    """The difference for a person, a line per cell; equal changes of several cells stand together."""
    d = difference
    lines = [f"{d.shared} trials shared, {d.removed} only in the first, {d.added} only in the second"]
    for what, seeds in (("seeds left out", d.removed_seeds), ("seeds added", d.added_seeds)):
        if seeds:
            lines.append(f"{what}: {', '.join(map(str, seeds))}")
    together: dict[tuple[str, ...], list[str]] = {}
    for label, changes in d.changed_cells.items():
        together.setdefault(changes, []).append(label)
    for changes, labels in together.items():
        lines.append(f"changed   {'; '.join(labels)}")
        lines += [f"          {change}" for change in changes]
    lines += [f"renamed   {old} → {new}" for old, new in d.renamed_cells.items()]
    lines += [f"left out  {label}" for label in d.removed_cells]
    lines += [f"added     {label}" for label in d.added_cells]
    return "\n".join(lines)
