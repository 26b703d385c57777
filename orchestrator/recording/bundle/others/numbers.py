"""Numbers as others write them: whole, in a share or in percent, with a line for each that is none."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from orchestrator.errors import UsageError
from orchestrator.language.hints import cut
from orchestrator.planning.expand import Expansion
from orchestrator.recording.bundle.others.columns import NUMBER, Columns

MOST_SEEDS = 2**31
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
Values = Mapping[str, str | float]


class Numbers:
    """Reads numbers, and remembers what is wrong with them."""

    def __init__(self, expansion: Expansion, columns: Columns, file: str, *, percent: bool) -> None:
        """Read those of `file`; `percent`: shares are in percent where no unit is said.

        Raises:
            UsageError: a unit is said of what is no share.
        """
        self.problems: list[str] = []
        self._columns, self._file = columns, file
        self._largest: dict[str, tuple[float, str]] = {}
        """The largest share, and where it is."""
        self.units: dict[str, str] = {}
        """Of each metric in the source: share, percent or plain."""
        tables = {one.metric: one.in_percent for table in expansion.spec.tables for one in table.parts}
        for metric, one in columns.metrics.items():
            share = tables.get(metric, metric.endswith(("top1", "top5")))
            if one.unit is not None and not share:
                raise UsageError(f"--map: {metric} is no share, and has no unit {one.unit}; leave it out")
            self.units[metric] = (one.unit or ("percent" if percent else "share")) if share else "plain"

    def check_units(self) -> None:
        """A share is not above 1, and what is in percent is not all below."""
        for metric, unit in self.units.items():
            largest, place = self._largest.get(metric, (math.nan, ""))
            column = self._columns.metrics[metric].column
            if unit == "share" and largest > 1:
                self.problems.append(
                    f"{place}: '{column}' is {largest:g}, and {metric} is a share from 0 to 1; say --percent "
                    "if it is in percent"
                )
            if unit == "percent" and largest > 100:
                self.problems.append(f"{place}: '{column}' is {largest:g}, more than 100 percent; mend it")
            if unit == "percent" and 0 < largest <= 1:
                self.problems.append(
                    f"{self._file}: '{column}' has nothing above 1, which is no percent but a share; leave "
                    "out --percent, or in a file for --map its unit"
                )

    def metric(self, metric: str, text: str | float | None, place: str) -> float | None:
        """A metric in its own unit; None where there is none, or with a line, where it is wrong."""
        column, unit = self._columns.metrics[metric].column, self.units[metric]
        value = None if text is None else self._number(place, column, text)
        if value is None or unit == "plain":
            return value
        if value < 0:
            self.problems.append(f"{place}: '{column}' is {value:g}, and {metric} is not below 0; mend it")
        if metric not in self._largest or value > self._largest[metric][0]:
            self._largest[metric] = value, place
        return value / 100 if unit == "percent" else value

    def _number(self, place: str, column: str, text: str | float) -> float | None:
        if not isinstance(text, str):  # of a program's own: one that is not finite says that the run diverged
            return float(text) if math.isfinite(text) else None
        if NUMBER.fullmatch(text) and math.isfinite(float(text)):
            return float(text)
        hint = "leave it empty where there is no number"
        if _DECIMAL_COMMA.fullmatch(text):
            hint = f"write a point for the comma: {text.replace(',', '.')}"
        elif text.endswith("%"):
            hint = "leave out the sign, and say --percent"
        self.problems.append(f"{place}: '{column}' is '{cut(text)}', and no number; {hint}")
        return None

    def whole(self, what: str, column: str | None, text: str | float | None, place: str) -> int | None:
        """A seed or an epoch; None, with a line, where it is none."""
        if text is None:
            told = f"{place}: has no {what} in '{column}'; write one, or name another column"
            self.problems.append(told)
            return None
        number = float(text) if isinstance(text, float) or NUMBER.fullmatch(text) else math.nan
        if not (number.is_integer() and 0 <= number < MOST_SEEDS):
            shown = cut(str(text))
            self.problems.append(f"{place}: {what} '{shown}' is no whole number from 0 to {MOST_SEEDS - 1}")
            return None
        return int(number)
