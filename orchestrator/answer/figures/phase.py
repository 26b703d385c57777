"""Phase diagrams and vector fields of the per-mode theory: one panel per cell."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.answer.figures.bands import CellCurves
from orchestrator.answer.figures.page import (
    FAINT,
    INK,
    LABEL_PT,
    MARGIN_IN,
    SMALL_PT,
    WIDTH_IN,
    KeyEntry,
    Page,
    line_in,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Arrays = Mapping[str, np.ndarray]
SYMBOLS = {
    "p0": "$p(0)$", "s0": "$s(0)$", "alpha_p": r"$\alpha_p$", "eta": r"$\eta$", "beta": r"$\beta$",
    "tau": r"$\tau$", "sigma": r"$\sigma$",
}  # fmt: skip
DIVERGED = "#F4C7C3"
EDGE, LIMIT, CRITICAL, PARABOLA = "#D55E00", "#E69F00", "#CC79A7", "#0072B2"
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
LEVELS = (-0.5, -0.25, 0.0, 0.25, 0.5)
"""Constants c of the parabolas s = p²/α_p + c that a vector field shows, in units of 1/α_p."""


def draw_phase(cells: Sequence[CellCurves], *, title: str, stamp: str) -> Figure:
    """Final states over two parameters, with the edge of the collapse basin that theory draws."""
    ends = [found["phase/scaled"] for cell in cells if (found := _diagram(cell)) is not None]
    top = max([1.0, *(float(np.nanmax(end)) for end in ends if np.isfinite(end).any())])
    page, seen = _panels(
        cells, title, functools.partial(_draw_phase, top=top), "no phase diagram was recorded"
    )
    _colour_bar(page, top)
    _finish_key(page, [KeyEntry(words, line) for name, (words, line) in LINES.items() if name in seen])
    notes = "Simulated, one point per pixel; 0 where a mode has collapsed at the end, pink where it diverged."
    return page.finished(notes=notes, stamp=stamp)


def draw_field(cells: Sequence[CellCurves], *, title: str, stamp: str) -> Figure:
    """The flow of (p, s) at fixed τ, with the invariant parabolas and the fixed points."""
    page, _ = _panels(cells, title, _draw_field, "no vector field was recorded")
    dot: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 4, "markevery": [1]}
    _finish_key(
        page,
        [
            KeyEntry(
                r"parabolas $s = p^2/\alpha_p + c$; solid: $c = 0$, which nothing leaves",
                {"color": PARABOLA, "linewidth": 1.2},
            ),
            KeyEntry("stable fixed point $p_+$", {"color": INK, **dot}),
            KeyEntry("saddle $p_-$, edge of the basin", {"color": INK, "markerfacecolor": "white", **dot}),
        ],
    )
    notes = r"Arrows: direction of the flow without EMA. Off the solid parabola c decays at rate $2\eta$."
    return page.finished(notes=notes, stamp=stamp)


def _panels(
    cells: Sequence[CellCurves],
    title: str,
    draw: Callable[[Axes, Arrays], set[str]],
    nothing: str,
) -> tuple[Page, set[str]]:
    """A page with a panel per cell, and what their drawings contain.

    Cells of another trainer, which have reported something but no diagram, are left out.
    """
    cells = [cell for cell in cells if not cell.reporting or _diagram(cell) is not None] or cells
    across = min(len(cells), 2 if len(cells) in (2, 4) else 3)
    page = Page(max(3.2, WIDTH_IN * across / 3), title=title)
    slot, ticks = page.inner_in / across, 0.5
    side = slot - ticks - 0.14
    seen: set[str] = set()
    for start in range(0, len(cells), across):
        top = page.bottom_in + 0.08 + line_in(LABEL_PT)
        for column, cell in enumerate(cells[start : start + across]):
            left = MARGIN_IN + column * slot + ticks
            axes = page.axes(left, top, side, side * 0.85, label=cell.label)
            heading = f"{cell.label} ({cell.note})" if cell.note else cell.label
            page.text(left, top - line_in(LABEL_PT) - 0.03, heading, size=LABEL_PT, width=slot - ticks)
            arrays = _diagram(cell)
            if arrays is None:
                page.no_data(axes, nothing)
            else:
                seen |= draw(axes, {name: values[-1] for name, values in arrays.items()})
        page.bottom_in = top + side * 0.85 + 0.42
    return page, seen


def _diagram(cell: CellCurves) -> Arrays | None:
    """What the first seed recorded: the flow is the same for each."""
    found = next((curves.spectra for curves in cell.curves if "phase/s" in curves.spectra), None)
    return found if found is None or min(found["phase/s"].shape[1:]) > 1 else None  # one start is no diagram


def _draw_phase(axes: Axes, arrays: Arrays, *, top: float) -> set[str]:
    x_name, x = _axis(arrays, "phase/x ")
    y_name, y = _axis(arrays, "phase/y ")
    _scales(axes, x, y)
    axes.set_facecolor(DIVERGED)  # seen where a state is not finite
    axes.pcolormesh(
        x, y, arrays["phase/scaled"], cmap="Greys", vmin=0, vmax=top, shading="nearest", rasterized=True
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


def _draw_field(axes: Axes, arrays: Arrays) -> set[str]:
    p, s = arrays["field/p"], arrays["field/s"]
    alpha_p = float(arrays["field/alpha_p"][0])
    # Arrows in the units of the panel, so that they all have one length on paper.
    across, up = arrays["field/dp"] / np.ptp(p), arrays["field/ds"] / np.ptp(s)
    length = np.hypot(across, up)
    length[length == 0] = 1
    every = slice(1, -1, 2)
    axes.quiver(
        p[every], s[every], (across / length)[every, every], (up / length)[every, every],
        color=FAINT, angles="uv", pivot="mid", scale=16, width=0.006, headwidth=4,
    )  # fmt: skip
    fine = np.linspace(p[0], p[-1], 200)
    for level in LEVELS:
        style: dict[str, Any] = {"linewidth": 1.2}
        if level:
            style = {"linewidth": 0.6, "linestyle": (0, (3, 2))}
        axes.plot(fine, fine**2 / alpha_p + level / alpha_p, color=PARABOLA, **style)
    low, high = arrays["field/fixed"]
    for value, face in ((low, "white"), (high, INK)):
        if np.isfinite(value):
            axes.plot(value, value**2 / alpha_p, "o", color=INK, markerfacecolor=face, markersize=4)
    axes.set_xlim(p[0], p[-1])
    axes.set_ylim(s[0], s[-1])
    axes.set_xlabel("$p$", labelpad=1.0)
    axes.set_ylabel("$s$", labelpad=1.0)
    return set()


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
    axes.imshow(np.linspace(0, 1, 64)[None], aspect="auto", cmap="Greys", vmin=0, vmax=1)
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


def _finish_key(page: Page, entries: Sequence[KeyEntry]) -> None:
    if entries:
        page.bottom_in += page.key(MARGIN_IN, page.bottom_in, entries, width=page.inner_in) + 0.06
