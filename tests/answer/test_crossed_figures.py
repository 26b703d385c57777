"""Laws of figures over axes: interactions of a full grid, responses to numbers, parallel coordinates."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from orchestrator.answer import publish
from orchestrator.answer.draw import check_cells, draw
from orchestrator.answer.draw.cells import bare_cells
from orchestrator.answer.figures._bands import CellCurves
from orchestrator.answer.figures._finals import Final
from orchestrator.answer.figures._levels import is_log
from orchestrator.errors import SpecError, UsageError
from orchestrator.language.figure_spec import FigureSpec
from orchestrator.language.load import cross_checked
from tests.answer.test_dots_figure import labelled, points
from tests.answer.test_figures import words
from tests.builders import TINY, expansion, sweep, table_yaml, yaml


def grid(seeds: int = 3, **axes: list[Any]) -> list[CellCurves]:
    """The cells of a full grid; its n-th cell has 10 n + seed."""
    places = [dict(zip(axes, levels, strict=True)) for levels in itertools.product(*axes.values())]
    return [cell(index, levels, seeds) for index, levels in enumerate(places)]


def cell(index: int, levels: dict[str, Any], seeds: int = 3) -> CellCurves:
    values = {seed: float(10 * index + seed) for seed in range(seeds)}
    final = Final("accuracy (%)", values, dict.fromkeys(values, "completed"))
    numbers = {axis: float(one) for axis, one in levels.items() if isinstance(one, int | float)}
    named = {axis: None if one is None else str(one) for axis, one in levels.items()}
    label = " · ".join(one for one in named.values() if one)
    return CellCurves(label, (), (), "", place=index, levels=named, numbers=numbers, finals={"m": final})


def drawn(kind: str, cells: list[CellCurves], **how: Any) -> Any:
    spec = FigureSpec(kind=kind, **how)
    check_cells(spec, cells)
    return draw(spec, cells, title="", stamp="")


def lines(axes: Any) -> dict[str, list[float]]:
    return {line.get_label(): list(line.get_ydata()) for line in axes.lines if len(line.get_xdata()) > 1}


# Interactions


def test_a_line_joins_the_means_of_a_level_over_the_other_axis() -> None:
    figure = drawn("interaction", grid(ema=["EMA", "none"], predictor=["linear", "mlp", "no"]))
    (axes,) = figure.axes
    found = {label: y for label, y in lines(axes).items() if label in ("linear", "mlp", "no")}
    assert found == {"linear": [1.0, 31.0], "mlp": [11.0, 41.0], "no": [21.0, 51.0]}
    ends = points(axes, "interval")
    assert len(points(axes, "seed")) == 18 and np.isfinite(ends[:, 0]).sum() == 2 * 6
    assert {"EMA", "none", "ema", "predictor: linear", "predictor: no"} <= set(words(figure))


def test_the_axes_may_be_chosen_and_exchanged() -> None:
    figure = drawn("interaction", grid(a=["x", "y"], b=["u", "v"]), axes=("b", "a"))
    assert lines(figure.axes[0])["x"] == [1.0, 11.0]


def test_levels_differ_in_colour_and_in_dashes_and_in_marker() -> None:
    (axes,) = drawn("interaction", grid(a=["x", "y"], b=["u", "v", "w"])).axes
    joining = [line for line in axes.lines if line.get_label() in ("u", "v", "w")]
    assert (
        len({line.get_color() for line in joining}) == len({str(line._dash_pattern) for line in joining}) == 3
    )
    assert len({line.get_marker() for line in labelled(axes, "mean")}) == 3


def test_a_third_axis_is_a_panel_per_level_and_panels_share_their_scale() -> None:
    figure = drawn("interaction", grid(a=["x", "y"], b=["u", "v"], c=["p", "q"]))
    assert len(figure.axes) == 2 and {"c: p", "c: q"} <= set(words(figure))
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()


def test_further_axes_are_averaged_seed_by_seed_and_named() -> None:
    cells = grid(a=["x", "y"], b=["u", "v"], c=["p", "q"], d=["r", "s"])
    figure = drawn("interaction", cells)
    assert any("Averaged, seed by seed, over the levels of d (r, s)." in line for line in words(figure))
    assert lines(figure.axes[0])["u"] == [6.0, 86.0]  # of cells 0 and 1, 8 and 9


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        (
            grid(a=["x", "y", "z"]),
            "two axes with two levels or more among its cells, and a has 3; draw kind dots",
        ),
        (grid(a=["x", "y"], b=["u", "v"])[1:], "and 3 of 4 combinations of levels are there"),
        (
            [cell(0, {"a": "x", "b": None}), *grid(a=["y", "z"], b=["u", "v"])],
            "axis 'b' has no level in some",
        ),
    ],
)
def test_what_is_no_full_grid_is_refused_in_a_line(cells: list[CellCurves], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        drawn("interaction", cells)
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_an_axis_that_is_none_of_the_sweep_is_told_with_the_nearest() -> None:
    cells = grid(predictor=["x", "y"], ema=["u", "v"])
    with pytest.raises(UsageError, match="axis 'predicter' is none of the sweep; did you mean 'predictor'"):
        drawn("interaction", cells, axes=("predicter", "ema"))


def test_what_a_design_cannot_fill_is_told_before_anything_is_trained() -> None:
    text = table_yaml() + "design: one_at_a_time\nfigures: [{kind: interaction}]\n"
    with pytest.raises(
        UsageError, match="figure 'interaction': an interaction needs cells of every combination"
    ):
        publish.check(expansion(text))


def test_a_final_metric_that_no_trial_reports_is_told_with_its_line() -> None:
    text = table_yaml() + "figures: [{kind: dots, columns: [probe/top2]}]\n"
    with pytest.raises(SpecError, match="no trial reports 'probe/top2'"):
        cross_checked(sweep(text), "sweep.yaml")
    cross_checked(sweep(text.replace("top2", "top1")), "sweep.yaml")


# Responses


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.01, 0.1], True),
        ([0.01, 0.03, 0.1], True),
        ([0.0, 1e-4, 1e-3], True),
        ([0.3, 0.5], False),
        ([1, 50, 100, 150, 200], False),
        ([-1.0, 0.001, 10.0], False),
        ([0.0, 0.1, 0.2], False),
        ([16, 32, 64, 128, 256], True),
    ],
)
def test_an_axis_is_logarithmic_where_its_values_lie_so(values: list[float], expected: bool) -> None:
    assert is_log(values) is expected


def test_draws_that_are_even_in_the_logarithm_are_told_from_even_ones() -> None:
    random = np.random.default_rng(0)
    for _ in range(10):
        assert is_log(10 ** random.uniform(-3, 0, 64)) and not is_log(random.uniform(0.01, 1, 64))


def test_each_axis_of_numbers_is_a_panel_with_a_line_per_level_of_the_others() -> None:
    figure = drawn("response", grid(lr=[0.01, 0.1, 1.0], width=[16, 32], ema=["on", "off"]))
    assert len(figure.axes) == 2
    rate, width = figure.axes
    assert rate.get_xscale() == "log" and width.get_xscale() == "linear"
    assert len(labelled(rate, "line")) == 4 and len(labelled(width, "line")) == 6
    assert list(labelled(rate, "line")[0].get_xdata()) == [0.01, 0.1, 1.0]
    assert list(labelled(rate, "line")[0].get_ydata()) == [1.0, 41.0, 81.0]
    assert {"lr", "width", "width: 16, ema: on", "lr: 1.0, ema: off"} <= set(words(figure))


def test_a_single_axis_has_one_line_through_the_means_of_its_values_in_their_order() -> None:
    (axes,) = drawn("response", grid(lr=[1.0, 0.01, 0.1])).axes
    (line,) = labelled(axes, "line")
    assert list(line.get_xdata()) == [0.01, 0.1, 1.0] and list(line.get_ydata()) == [11.0, 21.0, 1.0]
    assert len(points(axes, "seed")) == 9


def test_cells_that_differ_in_several_sampled_axes_are_points_without_a_line() -> None:
    random = np.random.default_rng(0)
    draws = [(float(10**a), float(b)) for a, b in random.uniform(-3, 0, (12, 2))]
    cells = [cell(i, {"lr": a, "decay": b, "m": "pq"[i % 2]}) for i, (a, b) in enumerate(draws)]
    figure = drawn("response", cells)
    assert len(figure.axes) == 2 and not any(labelled(axes, "line") for axes in figure.axes)
    assert len({line.get_color() for line in labelled(figure.axes[0], "seed")}) == 2
    assert any("no line joins them" in line for line in words(figure))


def test_a_decay_of_zero_stands_beside_the_others_on_a_logarithmic_axis() -> None:
    (axes,) = drawn("response", grid(decay=[0.0, 1e-4, 1e-3, 1e-2])).axes
    places = axes.transData.transform([(value, 0) for value in (0.0, 1e-4, 1e-3, 1e-2)])[:, 0]
    assert (np.diff(places) > 0).all() and 0.0 in axes.get_xticks()


def test_a_response_without_an_axis_of_numbers_says_which_axes_there_are() -> None:
    with pytest.raises(
        UsageError, match=r"no axis of its cells has two values that are numbers; .*: a, b; draw"
    ):
        drawn("response", grid(a=["x", "y"], b=["u", "v"]))
    with pytest.raises(
        UsageError, match="axis 'a' is none of numbers: x, y; take one of lr, or draw kind dots"
    ):
        drawn("response", grid(a=["x", "y"], lr=[0.1, 0.2]), axes=("a",))


def test_a_level_is_a_number_by_what_it_sets_or_by_its_label() -> None:
    axes = """
    axes:
      η: {path: optimizer.weight_decay, values: [0.0, 0.0004], labels: [none, η 4e-4]}
      size: {zip: {encoder.widths: [[8], [16]], epochs: [1, 2]}, labels: ["8", "16"]}
      flag: {path: method.predictor.symmetric, values: [true, false]}
    """
    made = expansion(yaml(TINY, axes))
    assert bare_cells(made, [0])[0].numbers == {"η": 0.0, "size": 8.0}
    assert bare_cells(made, [7])[0].numbers == {"η": 0.0004, "size": 16.0}


# Parallel coordinates


def test_a_line_per_cell_goes_through_its_levels_to_its_mean() -> None:
    figure = drawn("parallel", grid(lr=[0.01, 0.1, 1.0], ema=["on", "off"]))
    (axes,) = figure.axes
    found = {line.get_label(): list(line.get_ydata()) for line in axes.lines if "·" in line.get_label()}
    assert found["0.01 · on"] == pytest.approx([0.0, 1.0, 0.0])
    assert found["1.0 · off"] == pytest.approx([1.0, 0.0, 1.0])
    assert {"lr", "ema", "accuracy (%)"} <= set(words(figure))


def test_a_cell_without_a_number_is_dashed_and_grey() -> None:
    cells = grid(lr=[0.01, 0.1, 1.0])
    cells[1] = cells[1]._replace(finals={"m": Final("accuracy (%)", {}, {0: "missing"})})
    figure = drawn("parallel", cells)
    line = next(one for one in figure.axes[0].lines if one.get_label() == "0.1")
    assert line.get_color() == "#aaaaaa" and line.get_marker() == "o"  # a line of one point is invisible
    assert any("Grey, dashed" in one for one in words(figure))


@pytest.mark.parametrize("momenta", [(0.9, 0.99, None), ("slow", "fast", None)])
def test_a_cell_without_a_level_of_an_axis_is_drawn_whole_below_its_levels(momenta: tuple[Any, ...]) -> None:
    places = [{"ema": "No EMA" if one is None else "EMA", "m": one} for one in momenta]
    figure = drawn("parallel", [cell(index, levels) for index, levels in enumerate(places)])
    (axes,) = figure.axes
    found = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    assert np.isfinite(np.concatenate(list(found.values()))).all()
    ema, none, number = found["No EMA"]
    assert axes.get_ylim()[0] < none < 0 <= min(ema, number)
    assert "no level" in [one.get_text() for one in axes.texts]
    assert any("No level: an axis does not apply" in one for one in words(figure))
    whole = drawn("parallel", grid(lr=[0.01, 0.1, 1.0], ema=["on", "off"]))
    assert "No level" not in " ".join(words(whole)) and whole.axes[0].get_ylim() == (-0.04, 1.04)
