"""Phase diagrams of the `modes` trainer: final states over two parameters, a panel per cell."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.answer.figures._bands import CellCurves
from orchestrator.answer.figures._diagrams import Arrays, diagram, finish_key, panels_of
from orchestrator.answer.figures._page import MARGIN_IN, SMALL_PT, KeyEntry, Page
from orchestrator.answer.figures.base import refuse_columns, refuse_over
from orchestrator.language.figure_spec import FigureSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SYMBOLS = {
    "p0": "$p(0)$", "s0": "$s(0)$", "alpha_p": r"$\alpha_p$", "eta": r"$\eta$", "beta": r"$\beta$",
    "tau": r"$\tau$", "sigma": r"$\sigma$",
}  # fmt: skip
DIVERGED = "#F4C7C3"
EDGE, LIMIT, CRITICAL = "#D55E00", "#E69F00", "#CC79A7"
LINES: dict[str, tuple[str, dict[str, Any]]] = {
    "edge": ("edge of the collapse basin, theory", {"color": EDGE, "linewidth": 1.4}),
    "limit": (
        "the same without EMA (fast target), theory",
        {"color": LIMIT, "linewidth": 1.4, "linestyle": "--"},
    ),
    "critical": (
        r"critical decay $\eta_c$, theory",
        {"color": CRITICAL, "linewidth": 1.2, "linestyle": ":"},
    ),
}


def check(figure: FigureSpec) -> None:
    """Check that nothing is asked for that it has no use for."""
    refuse_columns(figure)
    refuse_over(figure)


def draw(figure: FigureSpec, cells: Sequence[CellCurves], *, title: str, stamp: str) -> Figure:
    """Final states over two parameters, with the edge of the collapse basin that theory draws."""
    ends = [found["phase/scaled"] for cell in cells if (found := diagram(cell)) is not None]
    top = max([1.0, *(float(np.nanmax(end)) for end in ends if np.isfinite(end).any())])
    page, seen = panels_of(
        cells,
        title,
        functools.partial(_draw_phase, top=top),
        "no phase diagram was recorded",
        width=figure.width,
    )
    _colour_bar(page, top)
    finish_key(page, [KeyEntry(words, line) for name, (words, line) in LINES.items() if name in seen])
    notes = "Simulated, one point per pixel; black where a mode has collapsed at the end"
    notes += ", pink where it diverged." if any(not np.isfinite(end).all() for end in ends) else "."
    return page.finished(notes=notes, stamp=stamp)


def _draw_phase(axes: Axes, arrays: Arrays, *, top: float) -> set[str]:
    x_name, x = _axis(arrays, "phase/x ")
    y_name, y = _axis(arrays, "phase/y ")
    _scales(axes, x, y)
    axes.set_facecolor(DIVERGED)  # seen where a state is not finite
    axes.pcolormesh(
        x, y, arrays["phase/scaled"], cmap="Greys_r", vmin=0, vmax=top, shading="nearest", rasterized=True
    )
    axes.set_xlabel(SYMBOLS[x_name], labelpad=1.0)
    axes.set_ylabel(SYMBOLS[y_name], labelpad=1.0)
    seen = set()
    edge = arrays["phase/edge"]
    if np.isfinite(edge).all(axis=1).any():
        kind = "limit" if arrays["phase/ema"][0] else "edge"
        axes.plot(edge[:, 0], edge[:, 1], **LINES[kind][1])
        seen.add(kind)
    critical = float(arrays["phase/critical"][0])
    if np.isfinite(critical):
        line = axes.axvline if x_name == "eta" else axes.axhline
        line(critical, **LINES["critical"][1])
        seen.add("critical")
    axes.set_xlim(x[0], x[-1])
    axes.set_ylim(y[0], y[-1])
    return seen


def _axis(arrays: Arrays, prefix: str) -> tuple[str, np.ndarray]:
    name = next(name for name in arrays if name.startswith(prefix))
    return name.removeprefix(prefix), arrays[name]


def _scales(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Logarithmic where the points are evenly spaced in the logarithm."""
    for values, setter in ((x, axes.set_xscale), (y, axes.set_yscale)):
        if len(values) > 2 and values[0] > 0:
            ratios = values[1:] / values[:-1]
            if np.allclose(ratios, ratios[0]):
                setter("log")


def _colour_bar(page: Page, largest: float) -> None:
    top, width = page.bottom_in + 0.03, 1.1
    axes = page.axes(MARGIN_IN + 0.5, top, width, 0.1, label="colours")
    axes.imshow(np.linspace(0, 1, 64)[None], aspect="auto", cmap="Greys_r", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    page.text(MARGIN_IN + 0.5 - 0.14, top - 0.01, "0", size=SMALL_PT, width=0.2)
    page.text(
        MARGIN_IN + 0.5 + width + 0.05,
        top - 0.01,
        rf"{largest:.3g}   $\alpha_p s$ at the end",
        size=SMALL_PT,
        width=2.0,
    )
    page.bottom_in = top + 0.2
