"""A cell's final metric drawn: its seeds, the mean with its 95 % interval, what is published; and the key."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from orchestrator.answer.figures._finals import ORDER, Final
from orchestrator.answer.figures._levels import is_log
from orchestrator.answer.figures._lines import COLOURS, DASHES
from orchestrator.answer.figures._page import INK, KeyEntry, set_numbers
from orchestrator.answer.marks import MEANINGS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Along = Literal["x", "y"]
"""The axis that shows the metric; the other one says where a cell stands."""
SIGNS = {"collapsed": "x", "dimensional": "+", "pruned": "1", "diverged": "X"}
"""How a seed is drawn whose trial did not just complete."""
MARKERS = ("o", "s", "^", "D", "v", "P", "h")
LOG_FROM = 1000.0
"""Ratio of the largest to the least value from which a metric is shown on a logarithmic axis."""
FARTHEST = 1e300
"""What is beyond lies outside a panel: an axis that shows it cannot be computed."""


class View(NamedTuple):
    """What part of a metric is shown."""

    low: float
    high: float
    is_log: bool

    def edge(self, share: float) -> float:
        """The value so far from the lower end towards the upper one."""
        if self.is_log:
            return float(self.low * (self.high / self.low) ** share)
        return self.low + share * (self.high - self.low)


class Marks:
    """What is drawn in a panel, together where it looks alike: one by one takes a minute for 300 cells."""

    def __init__(self, axes: Axes) -> None:
        """Nothing yet, for `axes`."""
        self._axes = axes
        self._alike: dict[tuple[Any, ...], tuple[list[float], list[float]]] = {}

    def add(self, x: Sequence[float], y: Sequence[float], *, label: str, **style: Any) -> None:
        """Add points, or a line, that look so; `label` is not printed, it names them."""
        xs, ys = self._alike.setdefault((label, *sorted(style.items())), ([], []))
        if xs and style.get("linestyle") != "none":  # another line, which does not go on from the last
            xs.append(np.nan)
            ys.append(np.nan)
        xs.extend(x)
        ys.extend(y)

    def draw(self) -> None:
        """Draw all of it."""
        for (label, *style), (xs, ys) in self._alike.items():
            self._axes.plot(xs, ys, label=label, **dict(style))


def view_of(finals: Iterable[Final], *, intervals: bool = True) -> View:
    """What shows every seed and every published number, and intervals as far as they are not much longer.

    The interval of two seeds is nine times their standard deviation: whole, it would be all that is seen.
    """
    finals = list(finals)
    points = [value for one in finals for value in one.values.values()]
    points += [one.published for one in finals if one.published is not None]
    if not points:
        return View(0.0, 1.0, False)
    ends = [
        end
        for one in finals
        if intervals and (summary := one.summary)
        for end in (summary.low, summary.high)
        if end is not None
    ]
    points = [min(max(value, -FARTHEST), FARTHEST) for value in points]
    spans = min(points) > 0 and max(points) / min(points) >= LOG_FROM
    scaled = np.log10(points) if spans else np.array(points)
    low, high = float(scaled.min()), float(scaled.max())
    room = (high - low) or abs(high) * 0.1 or 0.5
    if spans:
        ends = [float(np.log10(end)) if end > 0 else -np.inf for end in ends]
    low, high = max(min([low, *ends]), low - room / 2), min(max([high, *ends]), high + room / 2)
    room = 0.06 * (high - low) or room
    low, high = low - room, high + room
    farthest = math.log10(FARTHEST)
    return View(10**low, 10 ** min(high, farthest), True) if spans else View(low, high, False)


def show(axes: Axes, view: View, *, along: Along, ticks: int = 5) -> None:
    """Let the metric's axis show `view`."""
    from matplotlib.ticker import LogLocator, NullLocator

    limits, scale = (axes.set_xlim, axes.set_xscale) if along == "x" else (axes.set_ylim, axes.set_yscale)
    if view.is_log:
        scale("log")
        axis = axes.xaxis if along == "x" else axes.yaxis
        axis.set_major_locator(LogLocator(numticks=6))
        axis.set_minor_locator(NullLocator())
    limits(view.low, view.high)
    if not view.is_log:
        set_numbers(axes, ticks=ticks, along=along)


def show_values(axes: Axes, values: Sequence[float]) -> None:
    """Let the horizontal axis show these values of a setting; logarithmic where that is how they lie."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    every, axis = sorted(set(values)), axes.xaxis
    if is_log(every):
        least = next(value for value in every if value > 0)
        # Zero, as of a decay that is off, stands beside the least value.
        axes.set_xscale("symlog", linthresh=least, linscale=0.5) if every[0] == 0 else axes.set_xscale("log")
        subs = (1.0,) if every[-1] > 100 * least else (1.0, 2.0, 5.0)
        axis.set_major_locator(LogLocator(subs=subs, numticks=6))
        if every[0] == 0:
            first, last = np.ceil(np.log10(least)), np.floor(np.log10(every[-1]))
            axes.set_xticks([0.0, *10.0 ** np.arange(first, last + 1)])
    else:
        axis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: _number(value)))
    places = axis.get_transform().transform(np.array(every))
    room = 0.06 * float(np.ptp(places)) or 0.5
    ends = axis.get_transform().inverted().transform(np.array([places[0] - room, places[-1] + room]))
    axes.set_xlim(*ends)
    if len(every) == 1 or (len(every) <= 6 and np.diff(places).min() > 0.13 * np.ptp(places)):
        axes.set_xticks(every)


def _number(value: float) -> str:
    """A number at a tick, in powers of ten where it would be long."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:g}".replace("-", "\u2212")
    factor, power = f"{value:.2e}".split("e")
    times = "" if float(factor) == 1 else rf"{float(factor):g}\times"
    return rf"${times}10^{{{int(power)}}}$"


def draw_seeds(
    marks: Marks, final: Final, place: float, *, along: Along, view: View, color: Any, marker: str = "o"
) -> set[str]:
    """Draw each seed, one that diverged at the lower edge; returns the signs that were drawn."""
    drawn, alone = set(), len(final.values) < 2  # then it is all that there is, and no mean
    for seed, status in final.statuses.items():
        value, at_edge = final.values.get(seed), status == "diverged"
        if value is None and not at_edge:
            continue
        style: dict[str, Any] = {"marker": marker, "markeredgewidth": 0.0}
        style |= {"markersize": 4.8} if alone else {"markersize": 3.2, "alpha": 0.65}
        if status in SIGNS:
            style = {"marker": SIGNS[status], "markersize": 5.0, "markeredgewidth": 1.1}
            drawn.add(status)
        if at_edge:
            value = view.edge(0.02)
            style |= {"markeredgecolor": "white", "markeredgewidth": 0.4, "markersize": 6.0}
        marks.add(*_xy(along, value, place), color=color, linestyle="none", zorder=3, label="seed", **style)
    return drawn


def draw_mean(
    marks: Marks,
    final: Final,
    place: float,
    *,
    along: Along,
    view: View,
    color: Any,
    marker: str = "o",
    interval: bool = True,
) -> bool:
    """Draw the mean of several seeds, with its interval if asked; whether there is one."""
    summary = final.summary
    if summary is None or summary.low is None or summary.high is None:
        return False
    if interval:
        _draw_interval(marks, (summary.low, summary.high), place, along=along, view=view, color=color)
    marks.add(
        *_xy(along, summary.mean, place),
        color=color, marker=marker, markersize=5.5, markeredgecolor="white", markeredgewidth=0.6,
        linestyle="none", zorder=4, label="mean",
    )  # fmt: skip
    return True


def _draw_interval(
    marks: Marks, ends: tuple[float, float], place: float, *, along: Along, view: View, color: Any
) -> None:
    """A bar between the ends, with an arrowhead where it goes on beyond the view."""
    low, high = max(ends[0], view.low), min(ends[1], view.high)
    line = {"color": color, "linewidth": 1.3, "solid_capstyle": "butt", "zorder": 2}
    marks.add(*_xy(along, [low, high], [place, place]), label="interval", **line)
    heads = {"x": ("<", ">"), "y": ("v", "^")}[along]
    for goes_on, share, head in zip((ends[0] < low, ends[1] > high), (0.012, 0.988), heads, strict=True):
        if goes_on:
            at = _xy(along, view.edge(share), place)
            marks.add(*at, color=color, marker=head, markersize=3.5, linestyle="none", label="goes on")


def draw_published(marks: Marks, final: Final, place: float, *, along: Along, color: Any = INK) -> None:
    """Draw the published number, if there is one, as an open diamond."""
    if final.published is not None:
        at = _xy(along, final.published, place)
        style = PUBLISHED | {"markeredgecolor": color}
        marks.add(*at, linestyle="none", zorder=5, label="published", **style)


PUBLISHED: dict[str, Any] = {
    "marker": "D", "markersize": 4.6, "markerfacecolor": "none", "markeredgecolor": INK,
    "markeredgewidth": 0.9,
}  # fmt: skip


def level_look(index: int) -> dict[str, Any]:
    """Colour, dashes and marker of a level: each alone tells levels apart, so that a print in grey does."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": DASHES[index % len(DASHES)],
        "marker": MARKERS[index % len(MARKERS)],
        "markersize": 4.8,
        "linewidth": 1.1,
    }


def key_of(
    finals: Sequence[Final], signs: Iterable[str], *, color: str, intervals: bool = True
) -> list[KeyEntry]:
    """What points, intervals and marks are, as far as they occur."""
    one: dict[str, Any] = {"color": color, "linestyle": "none", "markevery": [1]}
    entries, seed = [], {"markersize": 4.8}
    if any(len(final.values) > 1 for final in finals):
        mean = {"color": color, "linewidth": 1.3, "marker": "o", "markersize": 5.5, "markevery": [1]}
        entries.append(
            KeyEntry(
                "mean, 95 % interval" if intervals else "mean",
                mean | {"markeredgecolor": "white", "markeredgewidth": 0.6},
            )
        )
        seed = {"markersize": 3.2, "alpha": 0.65}
    entries.append(KeyEntry("one seed", one | {"marker": "o"} | seed))
    for status in sorted(signs, key=ORDER.index, reverse=True):
        words = "diverged: no number, at the edge" if status == "diverged" else MEANINGS.get(status, status)
        sign = {"marker": SIGNS[status], "markersize": 5.0, "markeredgewidth": 1.1}
        if status == "diverged":
            sign = {"marker": "X", "markersize": 6.0, "markeredgecolor": "white", "markeredgewidth": 0.4}
        entries.append(KeyEntry(words, one | sign))
    if any(final.published is not None for final in finals):
        kinds = dict.fromkeys(final.source.split(":")[0] for final in finals if final.published is not None)
        entries.append(KeyEntry(" or ".join(kinds), one | PUBLISHED))
    return entries


def _xy(along: Along, value: Any, place: Any) -> tuple[Any, Any]:
    values, places = np.atleast_1d(value), np.atleast_1d(place)
    return (values, places) if along == "x" else (places, values)
