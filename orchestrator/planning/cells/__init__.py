"""The cells of one trainer: blocks of a config validated once for all cells that share them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from orchestrator.errors import Problem, SpecError
from orchestrator.language.cells.chains import FROM, StartsFrom, without_start
from orchestrator.language.hints import closest, nearest, problems_of, shown
from orchestrator.language.settings import merged, nested
from orchestrator.language.sweep_spec import SweepSpec
from orchestrator.language.yaml_text import place_of
from orchestrator.planning.designs import Choice
from orchestrator.planning.losses import Layer, Undone, silent_losses, undone
from orchestrator.planning.trials import Cell, Start
from trainers.config.base import NOT_IDENTITY, Exact, LoopConfig, canonical, plain
from trainers.config.foreign import CODE, PluginError, code_of
from trainers.config.plugins import behind, config_type, names


class Builder:
    """Builds the cells of one trainer.

    A config's top-level blocks (method, encoder, optimizer, ...) are validated once for each combination
    of levels that touches them, not once per cell: a grid of 100 000 cells has few different blocks.
    """

    def __init__(self, spec: SweepSpec, layers: Sequence[Layer], default_place: str) -> None:
        self.spec, self.layers, self.place = spec, layers, default_place
        self.base = base = functools.reduce(merged, (layer.settings for layer in layers))
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
        self.fixed_start: Start | None = None
        self.starts = FROM[0] in getattr(behind(self.loop), "STARTS_FROM", ())
        if (code := code_of(self.loop)) is not None:
            self.before, self.fixed_texts[CODE] = sorted([*self.before, CODE]), f'"{CODE}":{canonical(code)},'
        for name in blocks:
            if name not in self.touching:
                fixed = self._validated(name, ())
                self.fixed_start = fixed.start or self.fixed_start
                self.fixed_valid = fixed.put(name, self.fixed_fields, self.fixed_texts) and self.fixed_valid
        # Every model has the base's own validator; more than that look at several blocks at once. Those of
        # fields belong to the class, so that a block alone does not know them.
        own = self.loop.__pydantic_decorators__
        self.has_cross_checks = len(own.model_validators) > 1 or bool(own.field_validators or own.validators)

    def _loop_config(self) -> type[LoopConfig]:
        name, there = self.base.get("trainer"), names("loops")
        place = place_of(self.base, ("trainer",), self.place)
        if not isinstance(name, str) or name not in there:
            got = "is missing" if name is None else f"no trainer named {name!r}"
            close = closest(str(name), there)
            hint = f" did you mean '{close}'?" if close else ""
            raise SpecError([Problem(place, "trainer", f"{got};{hint} available: {', '.join(there)}")])
        try:
            loop: type[Any] = config_type("loops", name)
        except PluginError as error:
            raise SpecError([Problem(place, "trainer", str(error))]) from None
        return loop

    def cell(self, choice: Choice) -> Cell | None:
        """The cell of a choice of levels; None, with a line in `problems`, if it is invalid."""
        fields, texts, valid = dict(self.fixed_fields), dict(self.fixed_texts), self.fixed_valid
        start = self.fixed_start
        for block, axes in self.moving:
            key = (block, _touching(choice, axes))
            known = self.blocks.get(key)
            if known is None:
                known = self.blocks[key] = self._validated(block, key[1])
            valid, start = known.put(block, fields, texts) and valid, known.start or start
        if not valid:
            return None
        before = [texts[name] for name in self.before if name in texts]
        after = [texts[name] for name in self.after if name in texts]
        head = "{" + "".join(before) + '"seed":'
        cell = Cell(choice, self.loop, fields, head, "".join(after) + "}", start=start)
        if self.has_cross_checks and start is None:  # else when it is known what network it starts from
            try:
                cell.config()
            except ValidationError as error:
                self.problems += problems_of(error, self._tree(choice), default=self.place)
                return None
        return cell

    def _validated(self, name: str, choice: Choice) -> _Block:
        """One block under the levels that touch it."""
        tree, known = self._tree(choice), len(self.problems)
        start = self._start(choice) if name == FROM[0] else None
        if len(self.problems) > known:
            return _Block(valid=False)
        if start is not None and not tree[name]:
            return _Block(default=True, start=start)  # the other trial's network
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
        problems, value = self._checked(name, tree)
        lost: tuple[Undone, ...] = ()
        if problems:
            # Told where they begin: a level that is laid over a wrong base has not made it wrong.
            parts = [self._checked(name, self._tree(choice[:end]))[0] for end in range(len(choice))]
            first = {(p.path, p.message): p for part in (problems, *reversed(parts)) for p in part}
            problems = [first[p.path, p.message] for p in problems]
        else:
            lost = undone(name, (*self.layers, *self._levels(choice)))
            problems = [p for one in lost for p in silent_losses(one, value, self.place)]
            if name == FROM[0] and getattr(value, "from_trial", None) is not None:
                told = "is what a sweep makes of `from`; write {cell: ..., seed: same} there"
                at = (name, "from_trial")
                problems.append(Problem(place_of(tree, at, self.place), ".".join(at), told))
        self.problems += problems
        text = None if problems else self._text(name, value)
        return _Block(value, text, valid=not problems, undone=lost, start=start)

    def _start(self, choice: Choice) -> Start | None:
        """Whose encoder is started from under these levels; a line in `problems` if that is wrong."""
        whole = self._whole(choice)
        asked = without_start(whole)[1] if self.starts else None
        place = place_of(whole, FROM, self.place)
        if asked is None:
            return None
        if not isinstance(asked, dict):
            told = "expected {cell: ..., seed: same}, of another sweep with `sweep: FILE`; got "
            told += shown(asked)
            self.problems.append(Problem(place, ".".join(FROM), told))
            return None
        try:
            return Start(StartsFrom.model_validate(asked), place)
        except ValidationError as error:
            self.problems += problems_of(error, whole, default=self.place, prefix=FROM)
            return None

    def _checked(self, name: str, tree: dict[str, Any]) -> tuple[list[Problem], Any]:
        """What is wrong with a block, or its value."""
        try:
            return [], _adapter(self.loop, name).validate_python(tree[name]) if name in tree else None
        except ValidationError as error:
            return problems_of(error, tree, default=self.place, prefix=(name,)), None

    def _text(self, name: str, value: Any) -> str | None:
        if value is None or self.loop.model_fields[name].json_schema_extra == NOT_IDENTITY:
            return None
        comma = "," if name < "seed" else ""
        try:
            text = canonical(plain(value))
        except ValueError as error:  # of a plug-in's own field
            self.problems.append(Problem(self.place, name, str(error)))
            return None
        return f'{"" if comma else ","}"{name}":{text}{comma}'

    def undone(self, choice: Choice) -> Iterator[Undone]:
        """The settings that do not reach the end in a cell that was built."""
        for block, axes in self.moving:
            yield from self.blocks[block, _touching(choice, axes)].undone

    def _levels(self, choice: Choice) -> list[Layer]:
        return [
            Layer(f"level '{label}' of axis '{axis}'", axis, self.settings[axis, label])
            for axis, label in choice
            if label is not None
        ]

    def _tree(self, choice: Choice) -> dict[str, Any]:
        whole = self._whole(choice)
        return without_start(whole)[0] if self.starts else whole

    def _whole(self, choice: Choice) -> dict[str, Any]:
        return functools.reduce(merged, (layer.settings for layer in self._levels(choice)), self.base)


def _touching(choice: Choice, axes: frozenset[str]) -> Choice:
    return tuple(pair for pair in choice if pair[0] in axes and pair[1] is not None)


class _Block(NamedTuple):
    """A validated top-level block of a config, and its part of the canonical JSON."""

    value: Any = None
    text: str | None = None
    default: bool = False
    valid: bool = True
    undone: tuple[Undone, ...] = ()
    start: Start | None = None

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
