"""Whether the parts of a sweep fit each other."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

from orchestrator.errors import Problem
from orchestrator.language.cells.axes import unfit
from orchestrator.language.cells.count import count_cells
from orchestrator.language.cells.seeds import seeds_listed
from orchestrator.language.cells.units import layers_of_cells
from orchestrator.language.figure_spec import FigureSpec
from orchestrator.language.hints import cut, nearest
from orchestrator.language.resources import CellNeeds, TrialResources
from orchestrator.language.sweep_spec import SweepSpec
from orchestrator.language.table_spec import Published, TableSpec
from orchestrator.language.yaml_text import place_of
from trainers.config.foreign import PluginError
from trainers.config.plugins import Plugin, behind, load, names

At = tuple[str | int, ...]
Problems = Iterator[Problem]
MOST_TRIALS = 1_000_000
"""Trials of one sweep, unless it is trusted."""


def cross_references(
    spec: SweepSpec, tree: Any, default: str, *, seeds: int | None = None, trust: bool = False
) -> Problems:
    """Problems between the parts: names of axes, levels and profiles that do not exist, and too many trials.

    Args:
        spec: a sweep.
        tree: what it was read from.
        default: place to name where no key is known.
        seeds: number of seeds instead of its own.
        trust: whether it may ask for more than a million trials.
    """
    checks = _Checks(spec, tree, default)
    if not trust:
        yield from checks.size(
            seeds or max([len(spec.seed_list), *(len(seeds_listed(c.seeds)) for c in spec.cell_seeds)])
        )
    yield from checks.axes()
    for index, table in enumerate(spec.tables):
        yield from checks.table(table, ("tables", index))
        for place, part in enumerate(table.parts):
            yield from checks.said(part, ("tables", index, *(("metric", place) if place else ())))
        for metric in table.metrics:
            yield from checks.metric(metric, ("tables", index, "metric"), final=True)
    for index, figure in enumerate(spec.figures):
        yield from checks.levels(figure.where, ("figures", index, "where"))
        yield from checks.figure(figure, ("figures", index))
    if spec.schedule:
        yield from checks.metric(spec.schedule.metric, ("schedule", "metric"))
    for index, own in enumerate(spec.cell_seeds):
        yield from checks.levels(own.where, ("cell_seeds", index, "where"))
    for index, out in enumerate(spec.exclude):
        yield from checks.levels(out.cell, ("exclude", index, "cell"))
    for index, cells in enumerate(spec.resources.cells):
        yield from checks.levels(cells.where, ("resources", "cells", index, "where"))
        yield from checks.gpus(cells, ("resources", "cells", index, "gpus"))
    yield from checks.gpus(spec.resources, ("resources", "gpus"))
    yield from checks.names("tables", [table.name for table in spec.tables])
    if spec.evaluations:
        yield from checks.evaluations()
    yield from checks.names("figures", [figure.file_name for figure in spec.figures])


def unknown_metric(spec: SweepSpec, name: str) -> str | None:
    """What is wrong with `name` as a metric of the sweep's trials; None: nothing is known to be."""
    with spec.names():
        return next((one.message for one in _Checks(spec, {}, "").metric(name, (), final=True)), None)


def declared_metrics(spec: SweepSpec) -> list[str]:
    """The metrics that the sweep's trainers say they report; none where one of them does not say."""
    with spec.names():
        trainers = _Checks(spec, {}, "").trainers or ()
        return [m for one in trainers for m in (*one.METRICS, *getattr(one, "FINAL_METRICS", ()))]


class _Checks:
    def __init__(self, spec: SweepSpec, tree: Any, default: str) -> None:
        self.spec, self._tree, self._default = spec, tree, default

    def size(self, seeds: int) -> Problems:
        if count_cells(self.spec, most=MOST_TRIALS // seeds) * seeds > MOST_TRIALS:
            message = f"more than {MOST_TRIALS} trials; ask for fewer, or allow it with --trust"
            yield self._problem(("axes",), message)

    def axes(self) -> Problems:
        earlier: list[str] = []
        for name, axis in self.spec.axes.items():
            if wrong := unfit(name):
                yield self._problem(("axes", name), f"the name of an axis {wrong}")
            if self.spec.design == "leave_one_out" and len(axis.levels) != 1:
                number = len(axis.levels)
                yield self._problem(
                    ("axes", name),
                    f"leave_one_out needs one level per axis, the part that is left out; got {number}",
                )
            at = ("axes", name, "when")
            if axis.when and self.spec.design != "grid":
                told = f"conditions need `design: grid`; {self.spec.design} moves an axis whatever level the "
                yield self._problem(at, told + "others have; leave `when` out, or choose grid")
                continue
            for other, wanted in axis.when.items():
                if other not in earlier:
                    yield self._problem((*at, other), f"no earlier axis; {nearest(other, earlier)}")
                    continue
                for label in wanted:
                    yield from self.levels({other: label}, at)
            earlier.append(name)

    def table(self, table: TableSpec, at: At) -> Problems:
        axes = self.spec.axes
        for field, named in (("rows", table.row_axes), ("columns", table.column_axes)):
            for name in named:
                if name not in axes:
                    yield self._problem((*at, field), f"no axis '{name}'; {nearest(name, [*axes, 'cells'])}")
        yield from self.levels(table.where, (*at, "where"))
        at_base = {axis for axis, level in table.baseline.items() if level == "base"}
        free = at_base if self.spec.design != "grid" else set()
        yield from self.levels({a: v for a, v in table.baseline.items() if a not in free}, (*at, "baseline"))
        open_axes = [
            name
            for name, axis in axes.items()
            if name not in table.axes
            and all(table.where.get(other, wanted[0]) in wanted for other, wanted in axis.when.items())
        ]
        if open_axes and self.spec.design == "grid" and table.rows != "cells":
            message = f"axis '{open_axes[0]}' is neither in rows, columns nor where; its levels share a place"
            yield self._problem(at, message)

    def said(self, table: TableSpec, at: At) -> Problems:
        for index, one in enumerate(table.expectations):
            for field, wanted in (("cell", one.cell), ("minus", one.minus or {})):
                named = {a: v for a, v in wanted.items() if a not in self.spec.axes or v != "base"}
                yield from self.levels(named, (*at, "expectations", index, field))
        about = [(one.cell, one.minus, one.collapses is None) for one in table.expectations]
        for index, subject in enumerate(about):
            if subject in about[:index]:
                twice = "the same is expected twice; give both bounds in one, by at_least and at_most"
                yield self._problem((*at, "expectations", index), twice)
        if table.published:
            yield from self._published(table, table.published, (*at, "published"))

    def gpus(self, needs: TrialResources, at: At) -> Problems:
        """Check that whoever gets several GPUs uses them."""
        if needs.gpus is None or needs.gpus == "auto" or needs.gpus <= 1:
            return
        where = needs.where if isinstance(needs, CellNeeds) else {}
        layers = layers_of_cells(where, self.spec.base, self.spec.profiles, self.spec.axes)
        there = [tree.get("trainer") for _, tree in layers]
        for name in [name for name in self._trainer_names or () if name in there]:
            for trainer in _usable("loops", [name]):
                if not getattr(trainer, "MANY_GPUS", False):
                    message = f"{needs.gpus:g} GPUs for a trial, and trainer '{name}' uses one; lower it to 1"
                    yield self._problem(at, message)

    def figure(self, figure: FigureSpec, at: At) -> Problems:
        if figure.over is not None:
            yield from self.metric(figure.over, (*at, "over"))
        kind = load("figures", figure.kind)
        final = getattr(kind, "COLUMNS_ARE_FINAL_METRICS", False)
        for name in figure.columns if final or getattr(kind, "COLUMNS_ARE_METRICS", False) else ():
            yield from self.metric(name, (*at, "columns"), final=final)

    def metric(self, name: str, at: At, *, final: bool = False) -> Problems:
        """Check that a trial of the sweep reports the metric: after each epoch, or at its end if `final`."""
        if self.trainers is None:
            return  # found with the cells
        by_epoch = [one for trainer in self.trainers for one in trainer.METRICS]
        at_end = [one for trainer in self.trainers for one in getattr(trainer, "FINAL_METRICS", ())]
        if name in by_epoch or (final and name in (*at_end, *self._evaluated)):
            return
        if name in at_end:
            message = f"'{name}' is known at the end of a trial alone, which a table can show; here metrics "
            yield self._problem(at, message + "of each epoch are expected")
            return
        methods = _usable("methods", names("methods"))
        if any(name in getattr(method, "METRICS", ()) for method in methods):
            return
        known = list(dict.fromkeys((*by_epoch, *at_end) if final else by_epoch))
        alike = [one for one in known if one.split("/")[0] == name.split("/")[0]]
        hint = f"did you mean '{alike[0]}'?" if len(alike) == 1 else nearest(name, alike or known)
        if not alike and hint.startswith("known"):
            hint = f"known are those of {', '.join(dict.fromkeys(one.split('/')[0] for one in known))}"
        yield self._problem(at, f"no trial reports '{cut(name)}'; {hint}")

    @property
    def _evaluated(self) -> list[str]:
        """Metrics of the sweep's evaluations."""
        found = {name: Plugin("evaluations").choose(raw) for name, raw in self.spec.evaluations.items()}
        return [
            metric.replace("evaluation", name, 1)
            for name, config in found.items()
            for metric in behind(type(config)).METRICS
        ]

    @functools.cached_property
    def trainers(self) -> list[ModuleType] | None:
        """The loops that may train trials of the sweep; None where one is unknown or declares no metrics."""
        if (wanted := self._trainer_names) is None:
            return None
        loops = [loop for loop in _usable("loops", wanted) if hasattr(loop, "METRICS")]
        return loops if len(loops) == len(wanted) else None

    @functools.cached_property
    def _trainer_names(self) -> list[str] | None:
        """Their names."""
        spec = self.spec
        levels = (level.settings for axis in spec.axes.values() for level in axis.levels)
        given = [settings.get("trainer") for settings in (spec.base, *spec.profiles.values(), *levels)]
        wanted = [name for name in given if name is not None]
        if not wanted or not all(isinstance(name, str) and name in names("loops") for name in wanted):
            return None
        return sorted({*wanted})

    def levels(self, settings: Mapping[str, str], at: At) -> Problems:
        axes = self.spec.axes
        for axis, level in settings.items():
            if axis not in axes:
                yield self._problem((*at, axis), f"no such axis; {nearest(axis, axes)}")
            elif level not in axes[axis].labels:
                hint = nearest(level, axes[axis].labels)
                yield self._problem((*at, axis), f"no level '{level}' on axis '{axis}'; {hint}")

    def evaluations(self) -> Problems:
        reporting = (*(self.trainers or ()), *_usable("methods", names("methods")))
        lists = [getattr(one, kind, ()) for one in reporting for kind in ("METRICS", "FINAL_METRICS")]
        taken = {name.split("/")[0] for told in lists for name in told}
        if "evaluation" in self.spec.axes:
            yield self._problem(("axes", "evaluation"), "tells evaluations apart; give the axis another name")
        for name in self.spec.evaluations:
            if name in taken:
                message = f"trials report {name}/... themselves; give the evaluation another name"
                yield self._problem(("evaluations", name), message)

    def names(self, block: str, names: list[str]) -> Problems:
        seen: set[str] = set()
        for index, name in enumerate(names):
            if name in seen:
                yield self._problem(
                    (block, index), f"two {block} are called '{name}'; give one another `name`"
                )
            seen.add(name)

    def _published(self, table: TableSpec, published: Published, at: At) -> Problems:
        axes, profiles = self.spec.axes, self.spec.profiles
        if published.profile and published.profile not in profiles:
            hint = nearest(published.profile, profiles)
            yield self._problem((*at, "profile"), f"no profile '{published.profile}'; {hint}")
        shown = (*table.row_axes, *table.column_axes)
        if not all(axis in axes for axis in shown):
            return
        if table.rows == "cells" or self.spec.design != "grid" or any(axis.when for axis in axes.values()):
            return  # its rows are known once the sweep is expanded: `planning.layout` checks them
        expected = (self._count(table.row_axes, table), self._count(table.column_axes, table))
        widths = sorted({len(row) for row in published.values})
        if len(published.values) != expected[0] or widths != [expected[1]]:
            got = f"{len(published.values)} rows of {' or '.join(map(str, widths))}"
            message = f"expected {expected[0]} rows of {expected[1]} values, got {got}"
            yield self._problem((*at, "values"), message)

    def _count(self, axes: tuple[str, ...], table: TableSpec) -> int:
        return math.prod(1 if axis in table.where else len(self.spec.axes[axis].levels) for axis in axes)

    def _problem(self, at: At, message: str) -> Problem:
        return Problem(place_of(self._tree, at, self._default), ".".join(map(str, at)), message)


def _usable(kind: str, wanted: Iterable[str]) -> Iterator[ModuleType]:
    """Those of the plug-ins that can be imported; of others it is told where a cell has them."""
    for name in wanted:
        with contextlib.suppress(PluginError):
            yield load(kind, name)
