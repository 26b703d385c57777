"""Which column of others' runs is which axis, seed or metric of a sweep: by name, by flags, or by a file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from orchestrator.errors import SpecError, UsageError
from orchestrator.language.cells.axes import Axis, label_of, level_of
from orchestrator.language.cross_checks import declared_metrics, unknown_metric
from orchestrator.language.hints import cut, nearest, problems_of
from orchestrator.language.sweep_spec import SweepSpec
from orchestrator.language.yaml_text import parse
from trainers.attempt.command.numbers import name_fault
from trainers.config.base import Frozen

NUMBERED = "#"
"""Instead of a column of seeds: the runs of each cell are numbered from 0, in their order."""
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_GROUP = re.compile(r"\{([^{}]+)\}")


class AxisColumn(Frozen):
    """Where the level of an axis stands."""

    column: str | None = None
    levels: dict[str, str] = {}
    """Level by what stands in the column; what is not named here is a level's own label or value."""
    level: str | None = None
    """Instead of a column: the level of every run."""

    @field_validator("levels", mode="before")
    @classmethod
    def _levels_as_text(cls, value: Any) -> Any:
        return {str(k): label_of(v) for k, v in value.items()} if isinstance(value, dict) else value

    @field_validator("level", mode="before")
    @classmethod
    def _level_as_text(cls, value: Any) -> Any:
        return value if value is None else label_of(value)


class MetricColumn(Frozen):
    """Where a metric stands."""

    column: str
    unit: Literal["share", "percent"] | None = None
    """Of a share: from 0 to 1, or in percent; None: from 0 to 1."""


class Columns(Frozen):
    """What stands where."""

    axes: dict[str, AxisColumn] = {}
    seed: str | None = None
    """A column, or # to number the runs of each cell."""
    metrics: dict[str, MetricColumn] = {}
    epoch: str | None = None
    """A column of epochs: lines of one cell and seed are then a curve, and the last one the result."""
    run: str | None = Field(None, min_length=1)
    """How names of runs are made, as {ema}/{predictor}/seed{seed}: each {name} is then a column."""

    @field_validator("axes", "metrics", mode="before")
    @classmethod
    def _columns_by_name(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {str(k): {"column": str(v)} if isinstance(v, str | int) else v for k, v in value.items()}

    @field_validator("seed", mode="before")
    @classmethod
    def _seed_as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) else value


def columns_from(words: Sequence[str], spec: SweepSpec) -> Columns:
    """What `--map` says: NAME=COLUMN each, or one file of YAML.

    Raises:
        SpecError: the file is wrong.
        UsageError: a flag is, or it names no axis and no metric of the sweep.
    """
    files = [word for word in words if "=" not in word]
    if len(files) > 1:
        raise UsageError(f"--map {files[1]}: one file is enough; expected NAME=COLUMN besides it")
    said = _from_file(Path(files[0])) if files else Columns()
    fields = said.model_dump()
    for word in words:
        name, sign, column = (part.strip() for part in word.partition("="))
        if not sign:
            continue
        if not name or not column:
            raise UsageError(f"--map {cut(word)}: expected NAME=COLUMN, such as seed=run_seed")
        if name in ("seed", "epoch", "run"):
            fields[name] = column
        elif name in spec.axes:
            fields["axes"][name] = fields["axes"].get(name, {}) | {"column": column}
        else:
            fields["metrics"][name] = fields["metrics"].get(name, {}) | {"column": column}
    made = Columns.model_validate(fields)
    _check(made, spec, f"--map {files[0]}" if files else "--map")
    return made


def _from_file(path: Path) -> Columns:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is no UTF-8"
        raise UsageError(f"--map {path}: {reason}; expected a file of YAML, or NAME=COLUMN") from None
    tree = parse(text, str(path))
    try:
        return Columns.model_validate(tree)
    except ValidationError as error:
        raise SpecError(problems_of(error, tree, default=f"{path}:1")) from None


def _check(columns: Columns, spec: SweepSpec, flag: str) -> None:
    for axis, one in columns.axes.items():
        if axis not in spec.axes:
            raise UsageError(f"{flag}: no axis '{cut(axis)}' in {spec.name}; {nearest(axis, spec.axes)}")
        if (one.column is None) is (one.level is None):
            raise UsageError(f"{flag}: axis '{axis}' needs a column, or one level for all runs, and not both")
    for metric in columns.metrics:
        if wrong := unknown_metric(spec, metric):
            close = nearest(metric, [*spec.axes, "seed", "epoch"])
            meant = f", or an axis? {close}" if close.startswith("did") else ""
            raise UsageError(f"{flag}: {wrong}{meant}")


def completed(columns: Columns, there: Iterable[str], spec: SweepSpec) -> Columns:
    """`columns` and what is called in the source as it is in the sweep: axes, seed, metrics.

    Raises:
        UsageError: a column is named that is not there, or something that is needed has none.
    """
    known = list(there) + _GROUP.findall(columns.run or "")
    axes = dict(columns.axes)
    for axis, factor in spec.axes.items():
        if axis not in axes and (found := same(axis, known)):
            axes[axis] = AxisColumn(column=found)
        elif axis not in axes and len(factor.labels) == 1 and not factor.when and spec.design == "grid":
            axes[axis] = AxisColumn(level=factor.labels[0])
        elif axis not in axes:
            raise UsageError(_lacking(f"axis '{axis}'", axis, known))
    metrics = dict(columns.metrics)
    wanted = dict.fromkeys(
        [*(name for table in spec.tables for name in table.metrics), *declared_metrics(spec)]
    )
    used = {one.column for one in metrics.values()}
    for metric in wanted:
        if metric not in metrics and (found := same(metric, known)) and found not in used:
            metrics[metric] = MetricColumn(column=found)
    for metric in metrics:
        if why := name_fault(metric):
            raise UsageError(f"{cut(metric)!r} is no name of a metric: {why}")
    if not metrics:
        likely = spec.tables[0].metric if spec.tables else "probe/top1"
        raise UsageError(_lacking("a metric", likely, known))
    seed = columns.seed or same("seed", known)
    if seed is None:
        raise UsageError(
            f"{_lacking('the seed', 'seed', known)}; --map seed={NUMBERED} numbers each cell's runs"
        )
    return Columns(axes=axes, metrics=metrics, seed=seed, epoch=columns.epoch, run=columns.run)


def same(name: str, columns: Iterable[str]) -> str | None:
    """The column of that name, or the one whose name behind a word such as params. or config. is that."""
    known = list(dict.fromkeys(columns))
    if name in known:
        return name
    ends = [one for one in known if one.partition(".")[0] in BEFORE and one.partition(".")[2] == name]
    return ends[0] if len(ends) == 1 else None


BEFORE = ("params", "tags", "metrics", "config", "summary", "history")
"""What stands before the names of columns in sources that have several kinds of them."""


def _lacking(what: str, name: str, known: Sequence[str]) -> str:
    shown = ", ".join(cut(one, 30) for one in known[:12]) + (" ..." if len(known) > 12 else "")
    flag = f"{name}=COLUMN" if " " not in name else f"'{name}=COLUMN'"
    return f"no column for {what}; say which with --map {flag}: {shown}"


def level_from(column: AxisColumn, axis: Axis, text: str) -> str | None:
    """The level that `text` in a column is: as the file says, its label, or the one value that it sets."""
    text = column.levels.get(text, next((v for k, v in column.levels.items() if _equal(k, text)), text))
    if (label := level_of(axis, text)) in axis.labels:
        return label
    ours = [
        one.label
        for one in axis.levels
        if len(one.settings) == 1 and _is(next(iter(one.settings.values())), text)
    ]
    return ours[0] if len(ours) == 1 else None


def _equal(first: str, second: str) -> bool:
    """Whether both are one number, however they are written."""
    if not (NUMBER.fullmatch(first) and NUMBER.fullmatch(second)):
        return False
    return float(first) == float(second)


def _is(value: object, text: str) -> bool:
    """Whether a level's own value is what a source says."""
    if isinstance(value, bool):
        return text.casefold() == str(value).casefold()
    if isinstance(value, int | float):
        return _equal(str(value), text)
    return isinstance(value, str) and value == text


def pattern_of(text: str) -> re.Pattern[str]:
    """The names of runs that are made so.

    Raises:
        UsageError: it has no {name}, one twice, or one that is no word.
    """
    parts = re.split(r"\{([^{}]*)\}", text)
    names = parts[1::2]
    if (
        not names
        or len(set(names)) < len(names)
        or not all(re.fullmatch(r"[A-Za-z]\w*( \w+)*", n) for n in names)
    ):
        raise UsageError(
            f"--map run={cut(text)}: expected parts in braces, each once, such as {{ema}}/seed{{seed}}"
        )
    made = [f"(?P<{p.replace(' ', '__')}>.+?)" if odd % 2 else re.escape(p) for odd, p in enumerate(parts)]
    return re.compile("".join(made), re.DOTALL)
