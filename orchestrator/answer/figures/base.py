"""What a kind of figure is: a file here, with these two functions.

    check(figure)                              raises UsageError for what can be wrong before any result
    draw(figure, cells, *, title, stamp)       the matplotlib Figure; drawn inside `_page.styled()`

The file's name is the kind's, and the first line of its text tells a person what it shows.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.answer.figures._bands import CellCurves, laid_over, reported_metrics
from orchestrator.errors import UsageError
from orchestrator.language.figure_spec import FigureSpec
from orchestrator.language.hints import nearest
from trainers.measures.catalogue import METRICS

EPOCHS = "epochs trained"


def horizontal(figure: FigureSpec, cells: Sequence[CellCurves]) -> tuple[Sequence[CellCurves], str]:
    """The cells over epochs, or over the metric that `over` names; and what the horizontal axis says.

    Raises:
        UsageError: that metric was never reported.
    """
    if figure.over is None:
        return cells, EPOCHS
    reported((figure.over,), cells, name=figure.file_name)
    return [laid_over(cell, figure.over) for cell in cells], in_words(figure.over)


def in_words(metric: str) -> str:
    """What a metric is, and its unit; one that nobody describes by its name."""
    known = METRICS.get(metric)
    if known is None:
        return metric
    return known.words if known.unit in ("1", "share") else f"{known.words} ({known.unit})"


def reported(metrics: Sequence[str], cells: Sequence[CellCurves], *, name: str) -> tuple[str, ...]:
    """These metrics.

    Raises:
        UsageError: one was never reported.
    """
    there = reported_metrics(cells)
    for metric in metrics:
        if metric not in there:
            known = ", ".join(there) or "nothing"
            hint = nearest(metric, there)
            hint = f"{hint} " if hint.startswith("did") else ""
            raise UsageError(
                f"figure '{name}': metric '{metric}' was never reported; {hint}reported: {known}"
            )
    return tuple(metrics)


def refuse_columns(figure: FigureSpec) -> None:
    """Check that no columns are asked for.

    Raises:
        UsageError: some are.
    """
    if figure.columns:
        raise UsageError(
            f"figure '{figure.file_name}': kind {figure.kind} has no columns to choose; remove them"
        )


def refuse_over(figure: FigureSpec) -> None:
    """Check that no metric is to replace the epochs.

    Raises:
        UsageError: one is.
    """
    if figure.over is not None:
        raise UsageError(f"figure '{figure.file_name}': kind {figure.kind} has no use for `over`; remove it")
