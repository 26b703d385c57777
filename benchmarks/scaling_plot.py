"""Draws what `scaling.py` measured: a driver's load by the number of trials at once, and along a queue."""

from __future__ import annotations

import itertools
from pathlib import Path
from statistics import median
from typing import Any

PARTS = {
    "tune": "Tune's controller",
    "wait": "waiting on all trials (ray.wait)",
    "get": "unpacking (ray.get)",
    "listen": "our listener",
    "record": "recording",
}


def draw(path: Path, answers: dict[str, list[dict[str, Any]]]) -> None:
    """Left: the main thread's time per report, by trials at once. Right: a trial's, along the queue."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    groups: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for one in answers["width"]:
        groups.setdefault((one["case"]["width"], one["case"]["trial"]), []).append(one["phases"][-1])
    names = [f"{width}\n{'real' if place == 'alone' else 'simulated'}" for width, place in sorted(groups)]
    bottom = [0.0] * len(names)
    for number, (part, label) in enumerate(PARTS.items()):
        heights = [
            median(1000 * phase["main_s"][part] / max(1, phase["reports"]) for phase in phases)
            for _, phases in sorted(groups.items())
        ]
        left.bar(names, heights, bottom=bottom, label=label, color=f"C{number}")
        bottom = [low + high for low, high in zip(bottom, heights, strict=True)]
    left.set(
        xlabel="trials at once", ylabel="main thread's CPU per report in ms", title="as many reports as go"
    )
    left.set_ylim(0, 1.5 * max(bottom))
    left.legend(fontsize="small", ncols=2, loc="upper left")
    longest = max((one for one in answers["queue"] if one["case"]["store"] == "none"), key=_length)
    ends = longest["ends"]
    trials = [(one[0] + two[0]) / 2 for one, two in itertools.pairwise(ends)]
    for column, label in ((1, "wall time"), (2, "main thread's CPU")):
        values = [
            1000 * (two[column] - one[column]) / (two[0] - one[0]) for one, two in itertools.pairwise(ends)
        ]
        right.plot(trials, values, label=label, color=f"C{column - 1}")
    title = f"{_length(longest)} queued trials, two workers"
    right.set(xlabel="trials done", ylabel="ms per trial", ylim=(0, None), title=title)
    right.legend(fontsize="small")
    figure.savefig(path, dpi=150)


def draw_growth(path: Path, curves: list[tuple[str, str, list[tuple[float, float]], float]]) -> None:
    """What all together cost by their number, on logarithmic axes; dashed: as much for each as for the first.

    `curves` have what it is, what it grows with, (number, seconds) in order, and the exponent.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    figure = Figure(figsize=(10, 3.2), layout="constrained")
    figure.supxlabel("dashed: as much for each as for the first", fontsize="small")
    for axes, (what, number, points, power) in zip(figure.subplots(1, len(curves)), curves, strict=True):
        at, seconds = zip(*points, strict=True)
        axes.loglog(at, seconds, marker="o")
        axes.loglog(at, [seconds[0] * one / at[0] for one in at], "k--", linewidth=0.8)
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set(xlabel=number, ylabel="seconds", title=f"{what}\nexponent {power:.2f}")
    figure.savefig(path, dpi=150)


def _length(answer: dict[str, Any]) -> int:
    return int(answer["case"]["trials"])
