"""Cells against seeds while they fill up, as lines of a live screen; and numbers as a line of blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from orchestrator.answer.marks import MEANINGS
from orchestrator.commands.screen.grid import SIGNS
from orchestrator.execution.screen.lines import Progress
from orchestrator.planning.plan import Plan
from orchestrator.records import status_of

STYLES = {
    "completed": "green",
    "collapsed": "yellow",
    "dimensional": "yellow",
    "diverged": "yellow",
    "failed": "red",
    "missing": "dim",
}
BLOCKS = "▁▂▃▄▅▆▇█"
WIDEST = 40  # characters of a cell's label
SPARKS = 16  # values of a line of blocks


class Board:
    """The cells of a plan, each with a sign per seed."""

    def __init__(self, plan: Plan, progress: Progress) -> None:
        """Those of `plan`, which go as `progress` knows."""
        self._progress = progress
        self._cells: dict[str, dict[int, str]] = {}
        for trial in plan.expansion.trials:
            self._cells.setdefault(trial.cell.label, {})[trial.seed] = trial.id
        self._labels, self._seeds = list(self._cells), plan.expansion.every_seed
        self._before = {trial.id: status_of(plan.records.get(trial.id)) for trial in plan.done}
        self._width = min(WIDEST, max((len(label) for label in self._labels), default=0))
        self._place = {label: index for index, label in enumerate(self._labels)}

    def lines(self, room: int) -> Iterator[Text]:
        """At most `room` lines, but three at least; where cells do not fit, those that run are among them."""
        room = max(3, room) - 2
        digits = [len(str(seed)) for seed in self._seeds]
        head = " ".join(str(seed) for seed in self._seeds)
        yield _line(Text(f"  {'seed':{self._width}}  {head}", style="dim"))
        shown = self._shown(room if len(self._labels) <= room else max(1, room - 1))
        used: dict[str, None] = {}
        for label in shown:
            name = label if len(label) <= WIDEST else label[: WIDEST - 1] + "…"
            line = Text(f"  {name:{self._width}} ")
            for seed, width in zip(self._seeds, digits, strict=True):
                status, sign = self._sign(self._cells[label].get(seed))
                used[status] = None
                line.append(" " + sign.rjust(width), style=STYLES.get(status, "cyan"))
            yield _line(line)
        if left := len(self._labels) - len(shown):
            yield Text(f"  and {left} more cells", style="dim", no_wrap=True, overflow="crop")
        told = [
            f"{SIGNS[status]} {MEANINGS.get(status, status)}"
            for status in SIGNS
            if status in used and status != "running"
        ]
        running = [f"{BLOCKS[0]}{BLOCKS[3]}{BLOCKS[-1]} running"] if "running" in used else []
        yield _line(Text("  " + "  ".join(told + running), style="dim"))

    def _shown(self, room: int) -> list[str]:
        """The labels of so many cells: of those that run, and of those after them."""
        if len(self._labels) <= room:
            return self._labels
        labels = {self._progress.trials[one].cell.label for one in self._progress.running}
        running = sorted(self._place[label] for label in labels)
        chosen = dict.fromkeys(running[:room])
        start = running[0] if running else 0
        for index in (*range(start, len(self._labels)), *range(start - 1, -1, -1)):
            if len(chosen) >= room:
                break
            chosen[index] = None
        return [self._labels[index] for index in sorted(chosen)]

    def _sign(self, trial_id: str | None) -> tuple[str, str]:
        """The status of a trial, and its sign; a running one fills up."""
        if trial_id is None:
            return "none", " "
        if (one := self._progress.running.get(trial_id)) is not None:
            return "running", BLOCKS[min(len(BLOCKS) - 1, int(one.share * len(BLOCKS)))]
        status = self._progress.ends.get(trial_id) or self._before.get(trial_id, "missing")
        return status, SIGNS[status]


def sparkline(values: Sequence[float], *, low: float = 0.0, top: float | None = None) -> str:
    """The last values as blocks, from `low` to `top`, the largest unless said: a fall to 0 looks like one."""
    last = list(values[-SPARKS:])
    top = max(last, default=low) if top is None else top
    if top <= low:
        return ""
    share = [(value - low) / (top - low) for value in last]
    return "".join(BLOCKS[min(len(BLOCKS) - 1, max(0, int(one * len(BLOCKS))))] for one in share)


def _line(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "crop"
    return text
