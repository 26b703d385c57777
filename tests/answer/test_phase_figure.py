"""Phase diagrams and vector fields: the panels, what theory draws on them, and what has no diagram."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from orchestrator.answer import publish as answer
from orchestrator.answer.draw import check, draw, to_png
from orchestrator.answer.figures._bands import CellCurves
from orchestrator.answer.figures._diagrams import panels_of
from orchestrator.errors import UsageError
from orchestrator.language.figure_spec import FigureSpec
from orchestrator.records import Curves, curves_of
from tests.builders import expansion, record, table_yaml
from trainers.attempt.report import EpochReport
from trainers.config.base import Runtime
from trainers.loops import modes

AXES = {
    "x": {"of": "eta", "low": 0.01, "high": 0.3, "points": 15},
    "y": {"of": "alpha_p", "low": 0.1, "high": 10, "points": 12, "log": True},
}


def cell(label: str = "decay", **settings: Any) -> CellCurves:
    """A cell of one seed of the `modes` trainer."""
    heard: list[EpochReport] = []
    start = {} if "x" in settings else {"p0": 0.2, "s0": 0.05}
    config = modes.Config.model_validate({"time": 200, **start, **AXES, **settings})
    modes.fit(config, runtime=Runtime(), folder=None, report=heard.append)
    return CellCurves(label, (0,), (curves_of(heard),), "")


def drawn(kind: str, *cells: CellCurves) -> Any:
    return draw(FigureSpec.model_validate({"kind": kind}), cells, title="Where?", stamp="stamp")


def lines(axes: Any) -> list[np.ndarray]:
    return [np.column_stack(line.get_data()) for line in axes.lines]


def words(figure: Any) -> str:
    return " ".join(text.get_text() for text in figure.texts)


def test_a_phase_diagram_shows_the_final_state_with_the_edge_and_the_critical_decay() -> None:
    one = cell()
    figure = drawn("phase", one)
    axes = next(axes for axes in figure.axes if axes.get_label() == "decay")
    arrays = {name: values[-1] for name, values in one.curves[0].spectra.items()}
    shown = axes.collections[0].get_array().reshape(12, 15)
    np.testing.assert_array_equal(shown, arrays["phase/scaled"])
    edge, critical = lines(axes)
    np.testing.assert_array_equal(edge, arrays["phase/edge"])
    np.testing.assert_allclose(critical[:, 0], 0.2497752, atol=1e-7)
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "log")
    assert "edge of the collapse basin, theory" in words(figure)


def test_with_an_ema_the_edge_is_named_a_limit() -> None:
    figure = drawn("phase", cell(beta=0.4))
    assert "without EMA" in words(figure) and "basin, theory" not in words(figure)


def test_a_vector_field_shows_its_parabolas_and_fixed_points() -> None:
    figure = drawn(
        "field",
        cell(eta=0.04, x={"of": "p0", "low": -1, "high": 2}, y={"of": "s0", "low": 0, "high": 2}),
    )
    (axes,) = figure.axes
    points = [xy[0] for xy in lines(axes) if len(xy) == 1]
    np.testing.assert_allclose(points, [[0.0417441, 0.0417441**2], [0.9573567, 0.9573567**2]], atol=1e-6)
    curves = [xy for xy in lines(axes) if len(xy) > 1]
    assert len(curves) == 5 and any(np.allclose(xy[:, 1], xy[:, 0] ** 2) for xy in curves)


def test_arrows_of_a_vector_field_point_along_the_flow_on_paper() -> None:
    one = cell(eta=0.04, x={"of": "p0", "low": -1, "high": 2}, y={"of": "s0", "low": 0, "high": 2})
    arrays = {name: values[-1] for name, values in one.curves[0].spectra.items()}
    figure = drawn("field", one)
    axes = next(axes for axes in figure.axes if axes.get_label() == "decay")
    arrows = next(found for found in axes.collections if hasattr(found, "U"))
    every = slice(1, -1, 2)
    p, s = np.meshgrid(arrays["field/p"][every], arrays["field/s"][every])
    flow = np.stack([arrays[name][every, every].ravel() for name in ("field/dp", "field/ds")], axis=1)
    start = np.stack([p.ravel(), s.ravel()], axis=1)
    along = axes.transData.transform(start + flow) - axes.transData.transform(start)
    length = np.hypot(*along.T)
    moving = length > 0
    across, up = (along[moving] / length[moving, None]).T
    np.testing.assert_allclose(arrows.U.ravel()[moving], across, atol=1e-3)
    np.testing.assert_allclose(arrows.V.ravel()[moving], up, atol=1e-3)


@pytest.mark.parametrize("kind", ["phase", "field"])
def test_cells_of_another_trainer_have_no_panel_but_missing_ones_have(kind: str) -> None:
    trained = CellCurves("trained", (0,), (Curves(metrics={"train/loss": ((0, 1.0),)}),), "")
    missing = CellCurves("missing", (0,), (), "1 of 1 missing")
    figure = drawn(kind, cell(), trained, missing)
    assert {"decay", "missing"} <= {axes.get_label() for axes in figure.axes}
    assert "trained" not in {axes.get_label() for axes in figure.axes}
    assert "no data" in words(figure)


@pytest.mark.parametrize("kind", ["phase", "field"])
def test_equal_figures_are_equal_files(kind: str) -> None:
    one = cell()
    assert to_png(drawn(kind, one)) == to_png(drawn(kind, one))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"kind": "phase", "columns": ["F"]}, "kind phase has no columns"),
        ({"kind": "spectra", "over": "dynamics/time"}, "kind spectra has no use for `over`"),
    ],
)
def test_what_a_kind_cannot_do_is_said_before_training(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check(FigureSpec.model_validate(spec))


# Curves over another metric


def test_curves_over_a_metric_stand_at_its_values() -> None:
    pairs = ((0, 0.0), (1, 2.5), (2, 7.0))
    one = CellCurves(
        "a", (0,), (Curves(metrics={"t": pairs, "y": ((0, 1.0), (1, 2.0), (2, 3.0), (3, 4.0))}),), ""
    )
    spec = FigureSpec(kind="curves", columns=("y",), over="t")
    (axes,) = draw(spec, [one], title="", stamp="").axes
    np.testing.assert_array_equal(axes.lines[0].get_data(), [[0.0, 2.5, 7.0], [1.0, 2.0, 3.0]])
    assert axes.get_xlabel() == "t"


def over_loss(kind: str, column: str) -> Any:
    """Two seeds whose losses fall, each from its own, over which a metric and a spectrum are laid."""
    own = tuple(
        Curves(
            metrics={
                "loss": tuple((epoch, loss + 2 * seed) for epoch, loss in enumerate((9.0, 5.0, 3.0))),
                "y": tuple((epoch, 10.0 * epoch + 2 * seed) for epoch in range(3)),
            },
            spectra_epochs=(1, 2),
            spectra={"Wp": np.arange(4.0).reshape(2, 2) + seed},
        )
        for seed in range(2)
    )
    spec = FigureSpec(kind=kind, columns=(column,), over="loss")
    return draw(spec, [CellCurves("a", (0, 1), own, "")], title="", stamp="")


def test_seeds_that_differ_along_the_axis_are_summarised_epoch_by_epoch_in_the_order_of_time() -> None:
    figure = over_loss("curves", "y")
    (axes,) = figure.axes
    np.testing.assert_array_equal(axes.lines[0].get_data(), [[10.0, 6.0, 4.0], [1.0, 11.0, 21.0]])
    assert {tuple(one) for one in axes.collections[0].get_paths()[0].vertices} >= {(6.0, 10.0), (6.0, 12.0)}
    low, high = axes.get_xlim()
    assert low < 4 < 10 < high
    assert "Along the axis: median over seeds" in words(figure)


def test_an_axis_between_two_whole_numbers_has_ticks() -> None:
    losses = Curves(metrics={"loss": ((1, 0.9), (2, 0.4), (3, 0.2)), "y": ((1, 1.0), (2, 2.0), (3, 3.0))})
    spec = FigureSpec(kind="curves", columns=("y",), over="loss")
    (axes,) = draw(spec, [CellCurves("a", (0,), (losses,), "")], title="", stamp="").axes
    low, high = axes.get_xlim()
    assert sum(low <= tick <= high for tick in axes.get_xticks()) > 1


def test_an_eigenspace_over_a_falling_metric_has_every_epoch_since_its_first_spectrum() -> None:
    figure = over_loss("eigenspace", "Wp")
    segments = next(c for c in figure.axes[0].collections if c.get_label() == "ranks").get_segments()
    np.testing.assert_array_equal(segments[1], [[6.0, 0.5], [4.0, 2.5]])


def test_spectra_over_a_metric_stand_at_its_values() -> None:
    values = np.arange(12.0).reshape(3, 4) + 1
    curves = Curves(
        metrics={"t": ((0, 0.0), (5, 1.5), (9, 4.0))},
        spectra_epochs=(0, 5, 9),
        spectra={"F": values, "Wp": values},
    )
    spec = FigureSpec(kind="eigenspace", columns=("Wp",), over="t")
    figure = draw(spec, [CellCurves("a", (0,), (curves,), "")], title="", stamp="")
    segments = next(c for c in figure.axes[0].collections if c.get_label() == "ranks").get_segments()
    np.testing.assert_array_equal(segments[0][:, 0], [0.0, 1.5, 4.0])


def test_a_metric_that_was_never_reported_cannot_be_an_axis() -> None:
    one = CellCurves("a", (0,), (Curves(metrics={"y": ((0, 1.0),)}),), "")
    with pytest.raises(UsageError, match="metric 'time' was never reported"):
        draw(FigureSpec(kind="curves", columns=("y",), over="time"), [one], title="", stamp="")


def test_a_kind_that_the_trainers_cannot_fill_is_refused_before_training() -> None:
    text = "version: 1\nname: a\nbase: {trainer: modes}\nfigures: [{kind: eigenspace}]\n"
    with pytest.raises(
        UsageError, match="trials of modes record nothing for kind eigenspace; they have curves"
    ):
        answer.check(expansion(text))
    answer.check(expansion(text.replace("eigenspace", "phase")))


# What a page says of its cells


def test_panels_stand_as_the_axes_do() -> None:
    cells = [cell(f"{row} · {column}")._replace(row=row) for row in "abcd" for column in "xy"]
    page, _ = panels_of(cells, "", lambda axes, arrays: set(), "nothing")
    places = {axes.get_label(): (left, top) for axes, left, top, _, _ in page._axes}
    assert len({left for left, _ in places.values()}) == 2  # α_p beside each other, η below
    for row in "abcd":
        assert places[f"{row} · x"][1] == places[f"{row} · y"][1]


def test_what_lives_is_light_and_pink_is_named_only_where_it_is() -> None:
    one = cell()
    assert "pink" not in words(drawn("phase", one))
    (shown,) = [axes for axes in drawn("phase", one).axes if axes.get_label() == "decay"]
    assert shown.collections[0].get_cmap()(0.0)[:3] == (0.0, 0.0, 0.0)
    arrays = {name: values.copy() for name, values in one.curves[0].spectra.items()}
    arrays["phase/scaled"][-1, 0, 0] = np.nan
    lost = one._replace(curves=(one.curves[0].model_copy(update={"spectra": arrays}),))
    assert "pink where it diverged" in words(drawn("phase", lost))


def test_a_plot_of_one_trial_speaks_of_one_trial() -> None:
    values = np.arange(12.0).reshape(3, 4) + 1
    curves = Curves(
        metrics={"train/loss": ((1, 3.0), (2, 2.0), (3, 1.0))}, spectra_epochs=(1, 2, 3),
        spectra={"F": values, "Wp": values, "alignment": values / 20, "embedding": values, "feature": values},
    )  # fmt: skip
    text = table_yaml() + "figures: [{kind: eigenspace}, {kind: curves}, {kind: spectra}, {kind: slope}]\n"
    made, drawings = expansion(text), {}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            answer.draw, "to_png", lambda figure: drawings.setdefault(len(drawings), figure) and b""
        )
        trial = next(one for one in made.trials if one.seed == 1)
        answer.trial_figure_files(made, trial, {trial.id: curves}, record(trial.id))
    assert len(drawings) == 4
    for figure in drawings.values():
        said = words(figure)
        assert "n=1" not in said and "2 seeds" not in said and "smallest to largest seed" not in said
        assert "median" not in said and "sweep tiny, seed 1, code no results" in said


def test_all_panels_of_an_eigenspace_begin_with_its_first_spectrum() -> None:
    values = np.arange(8.0).reshape(2, 4) + 1
    curves = Curves(
        metrics={"Wp/asymmetry_l1": ((0, 9.0), (1, 1.0), (2, 0.5))},
        spectra_epochs=(1, 2),
        spectra={"F": values},
    )
    spec = FigureSpec(kind="eigenspace", columns=("F", "asymmetry"))
    figure = draw(spec, [CellCurves("a", (0,), (curves,), "")], title="", stamp="")
    line = next(line for axes in figure.axes for line in axes.lines if list(line.get_ydata()) == [1.0, 0.5])
    assert list(line.get_xdata()) == [1.0, 2.0]
