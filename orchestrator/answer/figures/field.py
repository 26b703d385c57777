"""Vector fields of the `modes` trainer: the flow of (p, s) at fixed τ, a panel per cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.answer.figures._bands import CellCurves
from orchestrator.answer.figures._diagrams import RATIO, Arrays, finish_key, panels_of
from orchestrator.answer.figures._page import FAINT, INK, KeyEntry
from orchestrator.answer.figures.base import refuse_columns, refuse_over
from orchestrator.language.figure_spec import FigureSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PARABOLA = "#0072B2"
LEVELS = (-0.5, -0.25, 0.0, 0.25, 0.5)
"""Constants c of the parabolas s = p²/α_p + c that a vector field shows, in units of 1/α_p."""


def check(figure: FigureSpec) -> None:
    """Check that nothing is asked for that it has no use for."""
    refuse_columns(figure)
    refuse_over(figure)


def draw(figure: FigureSpec, cells: Sequence[CellCurves], *, title: str, stamp: str) -> Figure:
    """The flow of (p, s) at fixed τ, with the invariant parabolas and the fixed points."""
    page, _ = panels_of(cells, title, _draw_field, "no vector field was recorded", width=figure.width)
    dot: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 4, "markevery": [1]}
    finish_key(
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


def _draw_field(axes: Axes, arrays: Arrays) -> set[str]:
    p, s = arrays["field/p"], arrays["field/s"]
    alpha_p = float(arrays["field/alpha_p"][0])
    # Arrows in widths of the panel, so that on paper they all have one length and point along the flow.
    across, up = arrays["field/dp"] / np.ptp(p), RATIO * arrays["field/ds"] / np.ptp(s)
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
