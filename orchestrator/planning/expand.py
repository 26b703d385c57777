"""From a sweep to its cells and trials: settings laid over the base, validated, given their ids."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from orchestrator.errors import Problem, SpecError, UsageError
from orchestrator.language.hints import nearest, problems_of
from orchestrator.language.settings import merged, nested
from orchestrator.language.sweep_spec import SweepSpec
from orchestrator.language.yaml_text import place_of
from orchestrator.planning.designs import Choice, choices
from orchestrator.planning.trials import Cell, TrialSpec
from trainers.config.base import NOT_IDENTITY, Exact, LoopConfig, canonical, plain
from trainers.config.plugins import config_type, names


class Expansion(NamedTuple):
    """Everything a sweep asks for under one profile."""

    spec: SweepSpec
    profile: str | None
    cells: tuple[Cell, ...]
    seeds: tuple[int, ...]
    trials: tuple[TrialSpec, ...]
    """Seed by seed, so that every cell has a number early; equal configs appear once."""
    changed: tuple[str, ...] = ()
    """Paths that `--set` changed: the profile is then not what the file says it is."""

    @property
    def brief_setting(self) -> str | None:
        """The profile in a few words."""
        if len(self.changed) <= 3:
            return self.setting
        return f"{self.profile or 'none'}, {len(self.changed)} settings changed"

    @property
    def setting(self) -> str | None:
        """The profile in words, with what was changed of it."""
        if not self.changed:
            return self.profile
        return f"{self.profile or 'none'}, changed: {', '.join(self.changed)}"


def overruled(expansion: Expansion) -> Iterator[tuple[str, int]]:
    """Each path of `--set` that has no effect in some cells, and in how many.

    A level sets it there, too, or the cell has another trainer than the base, of which `--set` speaks.
    """
    own = expansion.spec.base.get("trainer")
    settings = {
        (axis, level.label): tuple(_paths(nested(level.settings or {})))
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


def _paths(tree: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _paths(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def expand(
    spec: SweepSpec,
    *,
    profile: str | None = None,
    changes: dict[str, Any] | None = None,
    seeds: Sequence[int] | None = None,
    default_place: str = "",
) -> Expansion:
    """All cells and trials of `spec`.

    Args:
        spec: the sweep.
        profile: name of the profile laid over the base; None lays nothing.
        changes: settings laid over base and profile, before any axis (`--set`).
        seeds: seeds instead of the spec's.
        default_place: place named in an error that no line can be found for.

    Raises:
        UsageError: no such profile.
        SpecError: settings that make no valid config; every problem of every cell, once.
    """
    if profile is not None and profile not in spec.profiles:
        raise UsageError(f"no profile '{profile}'; {nearest(profile, spec.profiles)}")
    base = nested(spec.base)
    if profile is not None:
        base = merged(base, nested(spec.profiles[profile]))
    if changes:
        base = merged(base, nested(changes))
    chosen_seeds = tuple(seeds) if seeds is not None else spec.seed_list
    cells = tuple(_cells(spec, base, default_place))
    seen: set[str] = set()
    trials: list[TrialSpec] = []
    for seed in chosen_seeds:
        for cell in cells:
            identity = cell.trial_id(seed)
            if identity not in seen:
                seen.add(identity)
                trials.append(TrialSpec(identity, cell, seed))
    return Expansion(spec, profile, cells, chosen_seeds, tuple(trials), tuple(map(str, changes or ())))


def _cells(spec: SweepSpec, base: dict[str, Any], place: str) -> Iterator[Cell]:
    """Every cell of the design, in the order of the axes; SpecError with every problem of every cell.

    A level may choose another trainer. Base and profile speak of the base's own trainer, so such a cell
    starts from nothing but its levels.
    """
    trainers = {
        (axis, level.label): {key: value}
        for axis, factor in spec.axes.items()
        for level in factor.levels
        for key, value in level.settings.items()
        if key == "trainer"
    }
    builders: dict[str, _Builder | None] = {}
    cells: list[Cell] = []
    unknown: list[Problem] = []
    for choice in choices(spec):
        own = next((trainers[pair] for pair in reversed(choice) if pair in trainers), base)
        name = str(own.get("trainer"))
        if name not in builders:
            try:
                builders[name] = _Builder(spec, base if name == base.get("trainer") else own, place)
            except SpecError as error:  # kept, so that what is wrong with the other cells is told with it
                unknown += error.problems
                builders[name] = None
        builder = builders[name]
        cell = None if builder is None else builder.cell(choice)
        if cell is not None:
            cells.append(cell)
    problems = unknown + [one for builder in builders.values() if builder for one in builder.problems]
    if problems:
        raise SpecError(problems)
    yield from cells


class _Builder:
    """Builds the cells of one trainer.

    A config's top-level blocks (method, encoder, optimizer, ...) are validated once for each combination
    of levels that touches them, not once per cell: a grid of 100 000 cells has few different blocks.
    """

    def __init__(self, spec: SweepSpec, base: dict[str, Any], default_place: str) -> None:
        self.spec, self.base, self.place = spec, base, default_place
        self.loop = self._loop_config()
        self.settings = {
            (axis, level.label): nested(level.settings)
            for axis, factor in spec.axes.items()
            for level in factor.levels
        }
        self.blocks: dict[tuple[str, Choice], _Block] = {}
        self.problems: list[Problem] = []
        self.touching: dict[str, set[str]] = {}  # top-level block -> axes that set something in it
        for (axis, _), settings in self.settings.items():
            for block in settings:
                self.touching.setdefault(str(block), set()).add(axis)
        if "seed" in base or "seed" in self.touching:
            message = "the seed is not a setting; use `seeds:` at the top of the file"
            raise SpecError([Problem(self.place, "base.seed", message)])
        fields = [name for name in self.loop.model_fields if name != "seed"]
        others = [str(key) for key in (*base, *self.touching) if key not in fields]
        blocks = sorted({*fields, *others})
        self.before = [name for name in blocks if name < "seed"]
        self.after = [name for name in blocks if name > "seed"]
        self.moving = [(name, frozenset(self.touching[name])) for name in blocks if name in self.touching]
        self.fixed_fields: dict[str, Any] = {}
        self.fixed_texts: dict[str, str] = {}
        self.fixed_valid = True
        for name in blocks:
            if name not in self.touching:
                fixed = self._validated(name, ())
                self.fixed_valid = fixed.put(name, self.fixed_fields, self.fixed_texts) and self.fixed_valid
        # Every model has the base's own validator; more than that look at several blocks at once.
        self.has_cross_checks = len(self.loop.__pydantic_decorators__.model_validators) > 1

    def _loop_config(self) -> type[LoopConfig]:
        name = self.base.get("trainer")
        place = place_of(self.base, ("trainer",), self.place)
        if not isinstance(name, str) or name not in names("loops"):
            got = "is missing" if name is None else f"no trainer named {name!r}"
            hint = nearest(str(name), names("loops"))
            close = f" {hint}" if hint.startswith("did") else ""
            known = ", ".join(names("loops"))
            raise SpecError([Problem(place, "trainer", f"{got};{close} available: {known}")])
        loop = config_type("loops", name)
        assert issubclass(loop, LoopConfig)
        return loop

    def cell(self, choice: Choice) -> Cell | None:
        """The cell of a choice of levels; None, with a line in `problems`, if it is invalid."""
        fields, texts, valid = dict(self.fixed_fields), dict(self.fixed_texts), self.fixed_valid
        for block, axes in self.moving:
            key = (block, tuple(pair for pair in choice if pair[0] in axes and pair[1] is not None))
            known = self.blocks.get(key)
            if known is None:
                known = self.blocks[key] = self._validated(block, key[1])
            valid = known.put(block, fields, texts) and valid
        if not valid:
            return None
        before = [texts[name] for name in self.before if name in texts]
        after = [texts[name] for name in self.after if name in texts]
        head = "{" + "".join(before) + '"seed":'
        cell = Cell(choice, self.loop, fields, head, "".join(after) + "}")
        if self.has_cross_checks:
            try:
                cell.config()
            except ValidationError as error:
                self.problems += problems_of(error, self._tree(choice), default=self.place)
                return None
        return cell

    def _validated(self, name: str, choice: Choice) -> _Block:
        """One block under the levels that touch it."""
        tree = self._tree(choice)
        field = self.loop.model_fields.get(name)
        if field is None and name not in tree:
            return _Block(default=True)  # only levels of another trainer set it
        if field is None:
            place = place_of(tree, (name,), self.place)
            message = f"no such field; {nearest(name, self.loop.model_fields)}"
            self.problems.append(Problem(place, name, message))
            return _Block(valid=False)
        if name not in tree:
            if field.is_required():
                message = f"is missing; every '{self.loop.model_fields['trainer'].default}' trial needs it"
                self.problems.append(Problem(self.place, f"base.{name}", message))
                return _Block(valid=False)
            default = field.get_default(call_default_factory=True, validated_data={})
            return _Block(default=True, text=self._text(name, default))
        try:
            value = _adapter(self.loop, name).validate_python(tree[name])
        except ValidationError as error:
            self.problems += problems_of(error, tree, default=self.place, prefix=(name,))
            return _Block(valid=False)
        return _Block(value=value, text=self._text(name, value))

    def _text(self, name: str, value: Any) -> str | None:
        if value is None or self.loop.model_fields[name].json_schema_extra == NOT_IDENTITY:
            return None
        comma = "," if name < "seed" else ""
        return f'{"" if comma else ","}"{name}":{canonical(plain(value))}{comma}'

    def _tree(self, choice: Choice) -> dict[str, Any]:
        tree = self.base
        for axis, label in choice:
            if label is not None:
                tree = merged(tree, self.settings[axis, label])
        return tree


class _Block(NamedTuple):
    """A validated top-level block of a config, and its part of the canonical JSON."""

    value: Any = None
    text: str | None = None
    default: bool = False
    valid: bool = True

    def put(self, name: str, fields: dict[str, Any], texts: dict[str, str]) -> bool:
        """Enter it under `name`; whether it is valid."""
        if self.valid and not self.default:
            fields[name] = self.value
        if self.text is not None:
            texts[name] = self.text
        return self.valid


@functools.cache
def _adapter(loop: type[LoopConfig], block: str) -> TypeAdapter[Any]:
    field = loop.model_fields[block]
    kind: Any = field.annotation
    for extra in field.metadata:
        kind = Annotated[kind, extra]
    return TypeAdapter(Annotated[kind, Exact])
