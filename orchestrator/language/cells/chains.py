"""Encoders that trials start from: whose they are, as a sweep file says it, and the sweeps that it names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Protocol

from pydantic import BeforeValidator, Field

from orchestrator.errors import Problem, SpecError
from orchestrator.language.hints import shown
from orchestrator.language.yaml_text import place_of
from trainers.config.base import Frozen

if TYPE_CHECKING:
    from orchestrator.language.sweep_spec import SweepSpec

FROM = ("encoder", "from")
PARENTS = "parents"
"""Where a file that was written for another machine has the sweeps that it names, instead of beside it."""


def _seed(value: Any) -> Any:
    if value != "same" and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31):
        raise ValueError(f"expected same, or a number from 0; got {shown(value)}")
    return value


class StartsFrom(Frozen):
    """The trial from whose trained encoder another starts."""

    sweep: str | None = None
    """Its sweep file, from where this file lies, or orch:NAME; left out: this sweep."""
    cell: str
    """Its cell: label, or levels as axis=level,..."""
    seed: Annotated[Literal["same"] | Annotated[int, Field(ge=0, lt=2**31)], BeforeValidator(_seed)] = "same"
    """Its seed; "same": that of the trial which starts from it."""
    profile: str | None = None
    """Profile of the other sweep; left out: that of the same name."""


class Parent(NamedTuple):
    """A sweep whose encoders trials of another start from."""

    file: str
    """Its file, as commands name it."""
    spec: SweepSpec


class Load(Protocol):
    """Reads another sweep's file."""

    def __call__(self, file: str, *, child: str | None) -> SweepSpec:
        """The sweep in the file that `child` calls so."""


def inside(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The sweeps that a file has in itself because it names them; also theirs."""
    there = tree.get(PARENTS)
    for one in there.values() if isinstance(there, dict) else ():
        if isinstance(one, dict):
            yield one
            yield from inside(one)


def whole(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A sweep and those that it has in itself."""
    yield tree
    yield from inside(tree)


def parents_of(
    tree: dict[str, Any], default: str, load: Load, made: Callable[[dict[str, Any]], SweepSpec]
) -> dict[str, Parent]:
    """The sweeps that settings of a sweep name as those to start from, by that name.

    Args:
        tree: the sweep, whose keys know the files that they are from.
        default: place to name where a key knows none.
        load: reads a sweep's file.
        made: the sweep that is in the tree itself.

    Raises:
        SpecError: one is not there, or is wrong; or two files mean another by one name.
    """
    there = tree.get(PARENTS)
    found: dict[str, Parent] = {}
    for name, place in _named(tree):
        child = place.rpartition(":")[0] or None
        file = name if child is None or name.startswith("orch:") else str(Path(child).parent / name)
        if name in found and found[name].file not in (file, name):
            told = f"'{name}' is {found[name].file} and {file}; name one of them from the root"
            raise SpecError([Problem(place or default, "encoder.from.sweep", told)])
        if name not in found and isinstance(there, dict) and isinstance(one := there.get(name), dict):
            found[name] = Parent(name, made(one))
        elif name not in found:
            try:
                found[name] = Parent(file, load(name, child=child))
            except SpecError as error:
                own = [_placed(problem, f"{child}:1", place or default) for problem in error.problems]
                raise SpecError(own) from None
    return found


def _placed(problem: Problem, general: str, place: str) -> Problem:
    """A problem with another sweep's file, at the line that names it where it is about no line of its own."""
    if problem.place != general:
        return problem
    return problem._replace(place=place, path="encoder.from.sweep")


def _named(tree: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Each sweep that `encoder.from.sweep` names below `tree`, and where that stands; "" where nobody knows.

    Levels may have it dotted, nested, or as values of an axis.
    """
    if isinstance(tree, list):
        for one in tree:
            yield from _named(one, at)
    if not isinstance(tree, dict):
        return
    if isinstance(path := tree.get("path"), str) and isinstance(values := tree.get("values"), list):
        place = place_of(tree, ("path",), "")
        for one in values:
            yield from ((name, own or place) for name, own in _below((*at, *path.split(".")), one, place))
    for key, value in tree.items():
        if not at and key == PARENTS:
            continue
        yield from _below((*at, *str(key).split(".")), value, getattr(key, "place", ""))


def _below(at: tuple[str, ...], value: Any, place: str) -> Iterator[tuple[str, str]]:
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, str) and at[-3:] == (*FROM, "sweep"):
            yield one, place
        elif not isinstance(one, str):
            yield from _named(one, at)


def without_start(tree: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Nested settings without `encoder.from`, and that itself; None where there is none."""
    encoder = tree.get(FROM[0])
    if not isinstance(encoder, dict) or FROM[1] not in encoder:
        return tree, None
    alone = {key: value for key, value in encoder.items() if key != FROM[1]}
    rest = {key: alone if key == FROM[0] else value for key, value in tree.items()}
    return rest, encoder[FROM[1]]
