"""A printed page in inches: text that is measured and wrapped before it is placed, axes, a key, a footer.

Sizes are those of print: 7 inches is a text width, 8 points its captions. Knows nothing of cells or seeds.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from orchestrator.errors import UsageError, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_IN = 7.0
MARGIN_IN = 0.08
INK, FAINT = "#222222", "#666666"
NARROWEST_IN = 0.6
TITLE_PT, LABEL_PT, SMALL_PT, STAMP_PT = 9.5, 8.5, 7.5, 6.0

_LATIN = {"α": r"\alpha", "η": r"\eta"}
_STYLE: Any = {
    # Both ship with matplotlib, so that a figure looks the same on every machine.
    "font.family": ["STIXGeneral", "DejaVu Sans"],
    "mathtext.fontset": "stix",
    "text.hinting": "none",  # hinted letters stand unevenly at the sizes of print
    "font.size": LABEL_PT,
    "text.color": INK,
    "axes.labelsize": LABEL_PT,
    "axes.titlesize": LABEL_PT,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": SMALL_PT,
    "ytick.labelsize": SMALL_PT,
    **{f"{axis}tick.{size}.{key}": value
       for axis in "xy" for size in ("major", "minor")
       for key, value in (("width", 0.6), ("size", 2.5), ("pad", 2.0))},
    "lines.solid_capstyle": "round",
}  # fmt: skip


class KeyEntry(NamedTuple):
    """A line of the key: a sample and what it stands for."""

    text: str
    line: Mapping[str, Any]
    """Properties of the sample, such as colour and line style."""


@contextmanager
def styled() -> Iterator[None]:
    """This page's style over matplotlib's own defaults: a user's matplotlibrc changes no figure."""
    import matplotlib
    import numpy as np

    # Margins around the largest numbers may be no numbers.
    hushed = np.errstate(over="ignore", invalid="ignore")
    with matplotlib.rc_context(), warnings.catch_warnings(), hushed:
        # A label in a script that neither font has is boxes, which are seen in the figure.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


class Page:
    """A figure whose parts are placed in inches from its top left corner; grows downwards as it is filled."""

    def __init__(self, width_in: float, *, title: str) -> None:
        """A page with nothing but its title, which may be empty."""
        from matplotlib.figure import Figure

        self.width_in = width_in
        self.bottom_in = MARGIN_IN
        """How far down the page is filled."""
        self.figure: Figure = Figure(dpi=100)
        # Placed in inches from the top edge while the height is still open; see `finished`.
        self._axes: list[tuple[Axes, float, float, float, float]] = []
        self._artists: list[Any] = []
        self.bottom_in += self.text(
            MARGIN_IN, self.bottom_in, title, size=TITLE_PT, width=self.inner_in, weight="bold"
        )

    @property
    def inner_in(self) -> float:
        """Width between the margins."""
        return self.width_in - 2 * MARGIN_IN

    def axes(self, left: float, top: float, width: float, height: float, *, label: str) -> Axes:
        """New axes; `label` is not printed, it names them.

        Raises:
            UsageError: the page is so narrow that nothing would be seen in them.
        """
        if width < NARROWEST_IN:
            raise UsageError(
                f"a figure {self.width_in:g} in wide has {max(width, 0):.2f} in for a panel, and one needs "
                f"{NARROWEST_IN:g}; give it more width, or show less beside each other"
            )
        axes = self.figure.add_axes((0, 0, 1, 1), label=label)
        self._axes.append((axes, left, top, width, height))
        return axes

    def no_data(self, axes: Axes, reason: str) -> None:
        """Say in the place of `axes` that there is no data, and why."""
        axes.set(xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set(visible=True, color="#cccccc")
        left, top, width, height = next(place for known, *place in self._axes if known is axes)
        fitting = max(1, int(height / line_in(SMALL_PT)) - 1)
        lines = wrapped(reason, width - 0.1, size=SMALL_PT)
        if len(lines) > fitting:
            lines = [*lines[: fitting - 1], "…"]
        y = top + (height - line_in(LABEL_PT) - len(lines) * line_in(SMALL_PT)) / 2
        y += self.text(left, y, "no data", size=LABEL_PT, width=width, align="center")
        for line in lines:
            y += self.text(left, y, line, size=SMALL_PT, width=width, align="center", color=FAINT)

    def text(
        self,
        left: float,
        top: float,
        words: str,
        *,
        size: float,
        width: float,
        align: str = "left",
        **style: Any,
    ) -> float:
        """Place `words`, wrapped to `width` from `left`; returns the height they take."""
        lines = wrapped(words, width, size=size, bold=style.get("weight") == "bold")
        if not lines:
            return 0.0
        x = left + {"left": 0.0, "center": width / 2, "right": width}[align]
        for number, line in enumerate(lines):
            # One text per line, each on its baseline: a formula would push its line down.
            baseline = top + (number + 0.75) * line_in(size)
            self._artists.append(self.figure.text(x, baseline, line, size=size, ha=align, **style))
        return len(lines) * line_in(size)

    def key(self, left: float, top: float, entries: Sequence[KeyEntry], *, width: float) -> float:
        """Place a key, in as many columns as fit; returns its height."""
        from matplotlib.lines import Line2D

        sample, gap = 0.26, 0.06
        longest = max(text_in(entry.text, size=SMALL_PT) for entry in entries) + sample + gap + 0.15
        columns = max(1, min(len(entries), int(width / longest)))
        y = top
        for start in range(0, len(entries), columns):
            heights = []
            for column, entry in enumerate(entries[start : start + columns]):
                x, room = left + column * width / columns, width / columns - sample - gap - 0.05
                middle = y + line_in(SMALL_PT) / 2
                line = Line2D([x, x + sample / 2, x + sample], [middle] * 3, **entry.line)
                self._artists.append(self.figure.add_artist(line))
                heights.append(self.text(x + sample + gap, y, entry.text, size=SMALL_PT, width=room))
            y += max(heights)
        return y - top

    def finished(self, *, notes: str, stamp: str) -> Figure:
        """The figure, with notes and stamp at its foot and as high as it is filled."""
        self.bottom_in += self.text(
            MARGIN_IN, self.bottom_in, notes, size=SMALL_PT, width=self.inner_in, color=FAINT
        )
        self.bottom_in += 0.04
        self.bottom_in += self.text(
            MARGIN_IN, self.bottom_in, stamp, size=STAMP_PT, width=self.inner_in, color=FAINT
        )
        width, height = self.width_in, self.bottom_in + MARGIN_IN
        self.figure.set_size_inches(width, height)
        for axes, left, top, across, down in self._axes:
            axes.set_position((left / width, 1 - (top + down) / height, across / width, down / height))
        for artist in self._artists:
            if hasattr(artist, "set_position"):
                x, y = artist.get_position()
                artist.set_position((x / width, 1 - y / height))
            else:
                xs, ys = artist.get_data()
                artist.set_data([x / width for x in xs], [1 - y / height for y in ys])
        return self.figure


def set_numbers(axes: Axes, *, ticks: int, along: Literal["x", "y"] = "y") -> None:
    """Label an axis with about so many round numbers, each complete in itself."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator, ScalarFormatter

    axis = axes.yaxis if along == "y" else axes.xaxis
    axis.set_major_locator(MaxNLocator(nbins=ticks, steps=[1, 2, 5, 10]))
    # matplotlib would print a common factor above the axis, where the headings are.
    if 1e-3 <= max(map(abs, axis.get_view_interval())) < 1e5:
        plain = ScalarFormatter(useOffset=False)
        plain.set_scientific(False)
        axis.set_major_formatter(plain)
    else:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "\u2212")))


def line_in(size: float) -> float:
    """Height of a line of text of `size` points."""
    return 1.3 * size / 72


def text_in(words: str, *, size: float, bold: bool = False) -> float:
    """Printed width of one line of `words`."""
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.cbook import is_math_text
    from matplotlib.font_manager import FontProperties

    dpi = 300  # fine enough that hinting does not matter
    font = FontProperties(size=size, weight="bold" if bold else "normal")
    words = readable(words)
    math = bool(is_math_text(words))
    width, _, _ = RendererAgg(8, 8, dpi).get_text_width_height_descent(words, font, math)
    return float(width) / dpi


def readable(words: str) -> str:
    """`words` as matplotlib can print them: W_p and its kin as symbols, stray dollars as dollars."""
    from matplotlib.mathtext import MathTextParser

    words = printable(words)
    if "$" not in words:
        return re.sub(r"\b(W|α|η)_p\b", lambda m: f"${_LATIN.get(m[1], m[1])}_p$", words)
    try:
        if len(re.findall(r"(?<!\\)\$", words)) % 2:
            raise ValueError("a formula that does not end")
        MathTextParser("path").parse(words)
    except ValueError:
        return re.sub(r"(?<!\\)\$", r"\\$", words)
    return words


def wrapped(words: str, width: float, *, size: float, bold: bool = False) -> list[str]:
    """`words` in lines that are at most `width` inches; breaks a word only if it alone is longer."""
    lines: list[str] = []
    # A formula may hold spaces and must stay on one line.
    for word in re.findall(r"(?:\$[^$]*\$|\S)+", readable(words)):
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and text_in(joined, size=size, bold=bold) <= width:
            lines[-1] = joined
            continue
        while "$" not in word and len(word) > 1 and text_in(word, size=size, bold=bold) > width:
            fitting = next(
                (n for n in range(len(word) - 1, 1, -1) if text_in(word[:n], size=size, bold=bold) <= width),
                1,
            )
            lines.append(word[:fitting])
            word = word[fitting:]
        lines.append(word)
    return lines
