"""Laws of the figure of final metrics: means and intervals are those of tables, and every trial is seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from orchestrator.answer import publish
from orchestrator.answer.draw import draw
from orchestrator.answer.figures._bands import CellCurves
from orchestrator.answer.figures._finals import Final, averaged
from orchestrator.answer.figures._lines import look, looks
from orchestrator.answer.statistics import summarise
from orchestrator.answer.tables import tabulate
from orchestrator.errors import UsageError
from orchestrator.language.figure_spec import FigureSpec
from orchestrator.planning.expand import Expansion
from orchestrator.records import TrialRecord
from tests.answer.test_figures import panel, words
from tests.builders import PUBLISHED, expansion, record, table_yaml

METRIC = "top-1 accuracy of a linear probe (%)"


def asked(extra: str = PUBLISHED, seeds: int = 3) -> Expansion:
    return expansion(table_yaml(extra).replace("seeds: 2", f"seeds: {seeds}"))


def results(made: Expansion, **odd: TrialRecord) -> dict[str, TrialRecord]:
    found = {trial.id: record(trial.id, 0.5 + 0.01 * i) for i, trial in enumerate(made.trials)}
    for label, one in odd.items():
        trial = next(trial for trial in made.trials if trial.label == label.replace("_", " "))
        found[trial.id] = TrialRecord.model_validate(dict(one) | {"trial_id": trial.id})
    return found


def dots(made: Expansion, records: dict[str, TrialRecord], **how: Any) -> Any:
    return publish.figure(made, FigureSpec(kind="dots", **how), records, {})


def labelled(axes: Any, label: str) -> list[Any]:
    """What looks alike is one line of matplotlib's, in the order of the cells."""
    return [line for line in axes.lines if line.get_label().startswith(label)]


def points(axes: Any, label: str) -> np.ndarray:
    """The points of that label, [N, 2], in the order of the cells where each looks otherwise."""
    return np.concatenate([np.column_stack(line.get_data()) for line in labelled(axes, label)])


def cells(number: int, *, seeds: int = 3, **finals: float) -> list[CellCurves]:
    made = []
    for index in range(number):
        values = {seed: 50.0 + index + seed for seed in range(seeds)}
        final = Final("accuracy (%)", values, dict.fromkeys(values, "completed"))
        made.append(CellCurves(f"cell {index}", (), (), "", finals={"m": final}, place=index))
    return made


def test_the_interval_is_that_of_the_table() -> None:
    made = asked()
    records = results(made)
    axes = panel(dots(made, records), "probe/top1")
    entries = [entry for _, _, entry in tabulate(made, made.spec.tables[0], records).flat()]
    means, intervals = labelled(axes, "mean"), labelled(axes, "interval")
    for mean, interval, entry in zip(means, intervals, entries, strict=True):
        assert entry.summary is not None and entry.summary.low is not None and entry.summary.high is not None
        assert mean.get_xdata()[0] == pytest.approx(100 * entry.summary.mean)
        assert interval.get_xdata() == pytest.approx([100 * entry.summary.low, 100 * entry.summary.high])


def test_every_seed_is_a_point_and_the_cells_stand_in_the_order_of_the_file() -> None:
    made = asked()
    records = results(made)
    figure = dots(made, records)
    found = points(panel(figure, "probe/top1"), "seed")[:, 0]
    by_cell = [
        100 * records[cell.trial_id(seed)].metrics["probe/top1"] for cell in made.cells for seed in range(3)
    ]
    assert found == pytest.approx(by_cell)
    heights = list(points(panel(figure, "probe/top1"), "mean")[:, 1])
    assert len(heights) == len(made.cells) and heights == sorted(heights)
    tops = [
        text.get_position()[1]
        for cell in made.cells
        for text in figure.texts
        if text.get_text() == cell.label
    ]
    assert tops == sorted(tops, reverse=True)


def test_what_is_published_is_an_open_marker_and_whose_it_is_is_said() -> None:
    made = asked()
    figure = dots(made, results(made))
    marks = labelled(panel(figure, "probe/top1"), "published")
    assert [x for mark in marks for x in mark.get_xdata()] == pytest.approx([85.7, 84.2, 20.3, 79.4])
    assert {mark.get_markerfacecolor() for mark in marks} == {"none"}
    assert "published" in words(figure) and any("a paper, Table 1" in line for line in words(figure))


def test_what_is_published_of_another_profile_says_so() -> None:
    text = table_yaml(PUBLISHED + "          profile: paper\n") + "profiles: {paper: {epochs: 3}}\n"
    made = expansion(text)
    assert any("published for profile paper" in line for line in words(dots(made, results(made))))


def test_one_seed_is_a_point_without_an_interval() -> None:
    made = asked(seeds=1)
    axes = panel(dots(made, results(made)), "probe/top1")
    assert len(points(axes, "seed")) == 4
    assert not labelled(axes, "mean") and not labelled(axes, "interval")


def test_collapsed_and_diverged_trials_are_marked() -> None:
    made = asked()
    odd = {
        "EMA_·_symmetric_·_seed_0": record("", 0.1, status="collapsed"),
        "EMA_·_symmetric_·_seed_1": record("", None, status="diverged"),
    }
    figure = dots(made, results(made, **odd))
    markers = [line.get_marker() for line in labelled(panel(figure, "probe/top1"), "seed")[:3]]
    assert markers == ["x", "X", "o"]
    assert {"collapsed", "diverged: no number, at the edge"} <= set(words(figure))
    assert "1 of 3 collapsed, 1 of 3 diverged" in " ".join(words(figure))


def test_an_interval_that_is_much_longer_than_the_points_are_apart_ends_in_an_arrowhead() -> None:
    made = asked(extra="", seeds=2)
    axes = panel(dots(made, results(made)), "probe/top1")
    low, high = axes.get_xlim()
    values = points(axes, "seed")[:, 0]
    assert high - low < 3 * (max(values) - min(values))
    assert labelled(axes, "goes on")


@pytest.mark.parametrize("number", [2, 13, 40])
def test_many_cells_and_long_labels_keep_their_rows_apart(number: int) -> None:
    rows = [
        one._replace(label=f"{one.label} of a sweep with labels that are long " * 2) for one in cells(number)
    ]
    figure = draw(FigureSpec(kind="dots"), rows, title="", stamp="")
    heights = np.sort(points(panel(figure, "m"), "mean")[:, 1])
    assert len(heights) == number and min(np.diff(heights)) > 0.15
    assert figure.get_size_inches()[1] < 1 + number


def test_hundreds_of_cells_are_drawn_by_a_few_lines_and_none_joins_two_cells() -> None:
    axes = draw(FigureSpec(kind="dots"), cells(300), title="", stamp="").axes[0]
    assert len(axes.lines) + len(axes.collections) < 40 and len(points(axes, "seed")) == 900
    for line in labelled(axes, "interval"):
        (starts,) = np.nonzero(np.isfinite(line.get_xdata())[:-1] & np.isfinite(line.get_xdata())[1:])
        assert (line.get_ydata()[starts] == line.get_ydata()[starts + 1]).all()


def test_several_metrics_share_their_rows_and_each_says_its_unit() -> None:
    made = asked()
    records = {
        i: TrialRecord.model_validate(dict(one) | {"metrics": one.metrics | {"F/rankme": 9.0}})
        for i, one in results(made).items()
    }
    figure = dots(made, records, columns=("probe/top1", "F/rankme"))
    assert [axes.get_label() for axes in figure.axes] == ["probe/top1", "F/rankme"]
    shown = " ".join(words(figure))
    assert METRIC in shown and "RankMe of F (dimensions)" in shown
    assert [text.get_text() for text in figure.texts].count("EMA · symmetric") == 1


def test_a_metric_that_nobody_reported_is_one_line_of_the_figure() -> None:
    made = asked()
    with pytest.raises(
        UsageError, match=r"^figure 'dots': metric 'probe/top5' was never reported; did you mean"
    ):
        dots(made, results(made), columns=("probe/top5",))


def test_a_cell_has_its_colour_in_every_figure_whatever_else_is_drawn() -> None:
    four = cells(4)
    assert looks(four[2:]) == [look(2), look(3)]
    axes = draw(FigureSpec(kind="dots"), four[2:], title="", stamp="").axes[0]
    assert [line.get_color() for line in labelled(axes, "mean")] == [look(2)["color"], look(3)["color"]]


def test_cells_that_would_look_alike_are_told_apart() -> None:
    pair = [cells(1)[0]._replace(place=place) for place in (0, 28)]
    first, second = looks(pair)
    assert first != second


def test_cells_are_averaged_within_a_seed_and_only_over_seeds_that_all_have() -> None:
    first = Final("m", {0: 1.0, 1: 2.0, 2: 9.0}, {0: "completed", 1: "collapsed", 2: "completed"})
    second = Final("m", {0: 3.0, 1: 5.0}, {0: "completed", 1: "completed", 2: "diverged"})
    both = averaged([first, second])
    assert both.values == {0: 2.0, 1: 3.5}
    assert both.statuses == {0: "completed", 1: "collapsed", 2: "diverged"}
    assert both.summary == summarise([2.0, 3.5])
