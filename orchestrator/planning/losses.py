"""Settings that another setting undoes. None is lost in silence: it is an error, or it is told."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel

from orchestrator.errors import Problem
from orchestrator.language.settings import NAMING, Laid, Tree, block_of, merged, nested
from orchestrator.language.yaml_text import place_of
from orchestrator.planning.trials import Cell, same_configs
from orchestrator.process.words import listed
from trainers.config.base import flat, plain

if TYPE_CHECKING:
    from orchestrator.planning.expand import Expansion

At = tuple[str, ...]


CHANGES = "--set"
"""The layer that a person types, who says by the new name alone that its defaults are meant."""


class Layer(NamedTuple):
    """Settings that are laid over those before."""

    what: str
    """In words, such as "level 'EMA' of axis 'ema'"."""
    axis: str | None
    settings: Tree
    """Nested."""
    parts: tuple[Layer, ...] = ()
    """What it was made of, if files extend each other."""


def layer_of(what: str, settings: Tree) -> Layer:
    """The layer of a base or a profile, with its parts."""
    parts = settings.parts if isinstance(settings, Laid) else ()
    files = [getattr(next(iter(part), ""), "place", "").rpartition(":")[0] for part in parts]
    named = [Layer(f"{what} of {file}", None, part) for file, part in zip(files, parts, strict=True)]
    return Layer(what, None, nested(settings), tuple(named))


class Undone(NamedTuple):
    """A setting that a later layer replaces or discards."""

    at: At
    by: Layer
    old: Any
    of: Layer
    silent: bool
    """Whether the later layer does not speak of it, but names another class of its block."""


def undone(name: str, layers: Sequence[Layer]) -> tuple[Undone, ...]:
    """What of block `name` does not reach the end, each setting once."""
    found: dict[At, Undone] = {}
    for chain in (*(layer.parts for layer in layers), layers):
        found |= _undone_in(name, chain)
    whole: Tree = functools.reduce(merged, (layer.settings for layer in layers), {})
    last = dict(_flat(block_of(whole, name)))
    # What a still later layer says again is replaced, and said so.
    return tuple(one._replace(silent=one.silent and one.at not in last) for one in found.values())


def _undone_in(name: str, layers: Sequence[Layer]) -> dict[At, Undone]:
    tree: Tree = {}
    owner: dict[At, Layer] = {}
    found: dict[At, Undone] = {}
    for layer in layers:
        # Whole, as the trainer says which name a block has that is given none.
        before, tree = dict(_flat(block_of(tree, name))), merged(tree, layer.settings)
        said = dict(_flat(block_of(layer.settings, name, named=isinstance(tree.get(name), dict))))
        after = dict(_flat(block_of(tree, name)))
        for at, old in before.items():
            if at in after and (at not in said or after[at] == old):
                continue
            silent = not any(_within(at, other) or _within(other, at) for other in said)
            found[at] = Undone(at, layer, old, owner[at], silent)
        owner |= dict.fromkeys(said, layer)
    return found


def silent_losses(one: Undone, value: Any, default: str) -> Iterator[Problem]:
    """The error of a setting that was discarded without a word, where that changes anything.

    Args:
        one: the setting.
        value: the validated block.
        default: place named where no line can be found.
    """
    now = _value(value, one.at[1:]) if one.silent and one.by.what != CHANGES else _ABSENT
    if now is _ABSENT or now == plain(one.old):
        return  # a field that its new class does not have; two cells may be one now: see `merging`
    path, naming = ".".join(one.at), ".".join(_naming(one))
    of = one.of.what if one.of.axis is None else f"axis '{one.of.axis}'"
    if one.of.axis is None:
        way = "or move it to an axis that says with `when:` where it applies"
    else:
        way = f"or move axis '{one.of.axis}' below '{one.by.axis}', with `when:` where it applies"
    yield Problem(
        place_of(one.by.settings, _naming(one), default),
        naming,
        f"{one.by.what} discards {path}: {_shown(one.old)} of {of} "
        f"({place_of(one.of.settings, one.at, default)}), and it becomes {_shown(now)}; set it again beside "
        f"{naming}, {way}",
    )


def merged_in_silence(
    cells: Sequence[Cell], undone_in: Callable[[Cell], Iterable[Undone]], default: str
) -> Iterator[Problem]:
    """The errors of cells that are one because a level undoes what told them apart, each level's once."""
    for together in same_configs(cells):
        shared = set(together[0].choice).intersection(*(cell.choice for cell in together[1:]))
        for cell in together:
            apart = {axis for axis, _ in set(cell.choice) - shared}
            for one in undone_in(cell):
                if one.of.axis in apart and one.by.axis is not None:
                    twin = next(other for other in together if other is not cell)
                    yield _merging(one, (cell.label, twin.label), default)
                    return


def _merging(one: Undone, cells: tuple[str, str], default: str) -> Problem:
    path, at = ".".join(one.at), _naming(one) if one.silent else one.at
    return Problem(
        place_of(one.by.settings, at, default),
        ".".join(at),
        f"{one.by.what} {'discards' if one.silent else 'replaces'} {path} of axis '{one.of.axis}', so that "
        f"cells '{cells[0]}' and '{cells[1]}' become one; leave that out of the level, or move axis "
        f"'{one.of.axis}' below '{one.by.axis}' and say with `when:` where it applies",
    )


def discarded_by_changes(expansion: Expansion, layers: Sequence[Layer]) -> list[str]:
    """A line for each name in `--set` that discards settings, where that changes anything.

    Args:
        expansion: the sweep.
        layers: base, profile and `--set`, as it was made of them.
    """
    lost: dict[str, dict[str, None]] = {}  # by the name that discards it
    for name in dict.fromkeys(path.partition(".")[0] for path in expansion.changed):
        values = [cell.fields[name] for cell in expansion.cells if name in cell.fields]
        for one in undone(name, layers) if values else ():
            for value in {id(value): value for value in values}.values():
                now = _value(value, one.at[1:]) if one.silent and one.by.what == CHANGES else _ABSENT
                if now is not _ABSENT and now != plain(one.old):
                    told = f"{'.'.join(one.at)}: {_shown(one.old)} of {one.of.what}, and it becomes "
                    told += _shown(now)
                    lost.setdefault(".".join(_naming(one)), {})[told] = None
    return [f"{CHANGES} {name} discards {listed(those, between='; ')}" for name, those in lost.items()]


def overruled(expansion: Expansion) -> Iterator[tuple[str, int]]:
    """Each path of `--set` that has no effect in some cells, and in how many.

    A level sets it there, too, or the cell has another trainer than the base, of which `--set` speaks.
    """
    own = expansion.spec.base.get("trainer")
    settings = {
        (axis, level.label): tuple(".".join(at) for at, _ in _flat(nested(level.settings or {})))
        for axis, factor in expansion.spec.axes.items()
        for level in factor.levels
    }
    for path in expansion.changed:
        number = sum(
            cell.trainer != own
            or any(
                f"{path}.".startswith(f"{set_}.") or f"{set_}.".startswith(f"{path}.")
                for axis, label in cell.choice
                if label is not None
                for set_ in settings[axis, label]
            )
            for cell in expansion.cells
        )
        if number:
            yield path, number


_ABSENT = object()


def _value(block: Any, at: At) -> Any:
    for part in at:
        if not isinstance(block, BaseModel) or part not in type(block).model_fields:
            return _ABSENT
        block = getattr(block, part)
    return plain(block)


def _naming(one: Undone) -> At:
    """The path of the name that made the block start afresh."""
    settings = block_of(one.by.settings, one.at[0])
    for end in range(len(one.at) - 1, 0, -1):
        block = _reach(settings, one.at[:end])
        name = next((n for n in NAMING if isinstance(block, Mapping) and n in block), None)
        if name:
            return (*one.at[:end], name)
    return one.at[:1]


def _reach(tree: Any, at: At) -> Any:
    for part in at:
        tree = tree.get(part) if isinstance(tree, Mapping) else None
    return tree


def _flat(tree: Tree) -> Iterator[tuple[At, Any]]:
    return ((tuple(path.split(".")), value) for path, value in flat(tree))


def _within(at: At, other: At) -> bool:
    return at[: len(other)] == other


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
