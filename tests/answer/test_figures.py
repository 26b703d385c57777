"""The figures: what is drawn is the median and the range over seeds, and gaps are said in words."""

from __future__ import annotations

import functools
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from scipy import stats

from orchestrator.answer import publish
from orchestrator.answer.draw import draw, to_pdf, to_png
from orchestrator.answer.figures._bands import CellCurves
from orchestrator.commands.look import write_figures
from orchestrator.errors import UsageError
from orchestrator.language.figure_spec import FigureSpec
from orchestrator.records import Curves
from tests.builders import expansion, record

D, EPOCHS = 64, (0, 1, *range(5, 100, 5), 100)
COLUMNS = ("F", "Wp", "alignment", "asymmetry")


def curves(seed: int, *, d: int = D, epochs: tuple[int, ...] = EPOCHS, collapses: bool = False) -> Curves:
    """A seed whose spectra decay by rank and, when it collapses, fall below zero but for the first."""
    random = np.random.default_rng(seed)
    t, rank = np.array(epochs)[:, None] / 100, np.arange(1, d + 1)
    values = 100 * rank ** -(1.0 + t) * random.uniform(0.8, 1.2, (len(epochs), 1))
    if collapses:
        values[:, 1:] *= (1 - t) ** 4
        values[-1, 1:] = -1e-12
    predictor = np.cos(np.pi * rank / d) * (1 - 0.7 * t) + (16 * t * (rank == 1) if collapses else 0)
    alignment = np.clip(t - 0.5 * rank / d + 0.1 * random.standard_normal((len(epochs), d)), -1, 1)
    metrics = {
        "train/loss": np.exp(-5 * t[:, 0]) + 0.1 * random.random(len(epochs)),
        "F/rankme": d * np.exp(-(4 if collapses else 1) * t[:, 0]),
        "embedding/std": 0.1 * random.uniform(0.9, 1.1, len(epochs)),
        "alignment/chance": predictor.mean(1) / np.sqrt((predictor**2).mean(1)) + 0.01 * seed,
        "Wp/asymmetry_l1": 1.41 * np.exp(-3 * t[:, 0]) + 0.01 * seed,
        "Wp/asymmetry_fro": 1.40 * np.exp(-3 * t[:, 0]),
        "Wp/slope": 0.5 - 0.1 * t[:, 0],
    }
    return Curves(
        metrics={name: tuple(zip(epochs, map(float, v), strict=True)) for name, v in metrics.items()},
        spectra_epochs=epochs,
        spectra={
            "F": values,
            "Wp": predictor,
            "alignment": alignment,
            "embedding": values.clip(min=0),
            "feature": values.clip(min=0) ** 2,
        },
    )


def cell(label: str = "EMA · symmetric W_p", *, seeds: int = 3, note: str = "", **how: Any) -> CellCurves:
    return CellCurves(label, tuple(range(seeds)), tuple(curves(seed, **how) for seed in range(seeds)), note)


KINDS = ["eigenspace", "curves", "spectra", "slope"]
FOUR = (
    cell("EMA · symmetric W_p"),
    cell("EMA · non symmetric W_p"),
    cell("No EMA · symmetric W_p", collapses=True, note="3 of 3 collapsed"),
    cell("No EMA · non symmetric W_p"),
)
DIVERGED = CellCurves("lr 10", (0, 1, 2), (), "3 of 3 diverged at step 17")


def drawn(kind: str, cells: Any, *columns: str, title: str = "Why?") -> Any:
    spec = FigureSpec.model_validate({"kind": kind, "columns": columns})
    return draw(spec, cells, title=title, stamp="profile laptop · n=3 · commit 785a4f9")


@functools.cache
def eigenspace_of_four() -> Any:
    return drawn("eigenspace", FOUR)


def panel(figure: Any, label: str) -> Any:
    return next(axes for axes in figure.axes if axes.get_label() == label)


def artist(axes: Any, label: str) -> Any:
    return next(child for child in axes.get_children() if child.get_label() == label)


def rank_lines(axes: Any) -> dict[int, Any]:
    lines = artist(axes, "ranks")
    return dict(zip(map(int, lines.get_array()), [s[:, 1] for s in lines.get_segments()], strict=True))


def words(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.texts]


def stacked(cell: CellCurves, name: str) -> Any:
    return np.stack([each.spectra[name] for each in cell.curves])


@pytest.mark.parametrize("name", ["F", "Wp", "alignment"])
def test_every_line_is_the_median_over_the_seeds(name: str) -> None:
    lines = rank_lines(panel(eigenspace_of_four(), f"0/{name}"))
    medians = np.median(stacked(FOUR[0], name), axis=0)
    assert sorted(lines) == list(range(1, D + 1))
    assert all(np.array_equal(lines[rank], medians[:, rank - 1]) for rank in lines)


def test_a_band_reaches_from_the_smallest_to_the_largest_seed() -> None:
    band = artist(panel(eigenspace_of_four(), "0/F"), "band 4")
    heights = band.get_paths()[0].vertices[:, 1]
    seeds = stacked(FOUR[0], "F")[:, :, 3]
    assert set(seeds.min(axis=0)) | set(seeds.max(axis=0)) == set(heights)


def test_bands_stand_only_at_powers_of_two() -> None:
    labels = [c.get_label() for c in panel(eigenspace_of_four(), "0/Wp").collections]
    assert [x for x in labels if x.startswith("band")] == [f"band {2**k}" for k in range(7)]


def test_rank_one_is_the_largest_eigenvalue() -> None:
    lines = rank_lines(panel(eigenspace_of_four(), "3/F"))
    assert all((lines[rank] >= lines[rank + 1]).all() for rank in range(1, D))


def test_panels_of_metrics_with_the_same_words_are_told_apart() -> None:
    names = ("correlation/root", "correlation/depth_2")
    seed = Curves(metrics={name: ((0, 0.1), (1, 0.2)) for name in names})
    said = words(drawn("curves", (CellCurves("one", (0,), (seed,), ""),), *names))
    assert all(any(name in line for line in said) for name in names)


def test_colours_go_to_the_last_rank_that_is_drawn_whatever_else_was_recorded() -> None:
    one = curves(0)
    features = np.ones((len(EPOCHS), 4 * D))
    wide = one.model_copy(update={"spectra": {**one.spectra, "feature": features}})
    bar = panel(drawn("eigenspace", (CellCurves("one", (0,), (wide,), ""),)), "rank colours")
    assert bar.get_xlim()[1] == pytest.approx(D)


def test_eigenvalues_that_a_log_axis_cannot_show_are_clipped_and_the_figure_says_so() -> None:
    figure = eigenspace_of_four()
    assert rank_lines(panel(figure, "2/F"))[2][-1] == 1e-8
    assert any("clipped at" in line for line in words(figure))
    assert not any("clipped at" in line for line in words(drawn("eigenspace", FOUR[:1])))


def test_the_chance_line_is_the_metric() -> None:
    line = artist(panel(eigenspace_of_four(), "2/alignment"), "chance")
    metric = [dict(each.metrics["alignment/chance"]) for each in FOUR[2].curves]
    assert list(line.get_ydata()) == [np.median([seed[epoch] for seed in metric]) for epoch in EPOCHS]


def test_the_mean_alignment_is_averaged_before_the_median_is_taken() -> None:
    line = artist(panel(eigenspace_of_four(), "1/alignment"), "mean")
    expected = np.median(stacked(FOUR[1], "alignment").mean(axis=2), axis=0)
    np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-12)  # the order of a sum of 64


def test_asymmetry_is_drawn_beside_that_of_an_iid_matrix() -> None:
    axes = panel(eigenspace_of_four(), "0/asymmetry")
    assert artist(axes, "iid").get_ydata()[0] == 2**0.5
    values = [value for _, value in FOUR[0].curves[0].metrics["Wp/asymmetry_fro"]]
    assert list(artist(axes, "fro").get_ydata()) == values  # the same in every seed


@pytest.mark.parametrize("count", [1, 4, 12])
def test_there_is_one_row_per_cell_with_its_label_beside_title_and_stamp(count: int) -> None:
    cells = [cell(f"cell {index}", seeds=2, d=8) for index in range(count)]
    figure = drawn("eigenspace", cells)
    panels = {f"{row}/{name}" for row in range(count) for name in COLUMNS}
    assert {axes.get_label() for axes in figure.axes} == panels | {"rank colours"}
    assert {"Why?", "profile laptop · n=3 · commit 785a4f9"} <= set(words(figure))
    assert {each.label for each in cells} <= set(words(figure))


def test_only_the_chosen_columns_are_drawn_in_the_order_asked_for() -> None:
    figure = drawn("eigenspace", FOUR, "alignment", "F")
    left = {axes.get_label(): axes.get_position().x0 for axes in figure.axes}
    assert len(left) == 4 * 2 + 1  # and the colours of the ranks
    assert left["0/alignment"] < left["0/F"]


def test_rows_share_an_axis_where_all_stay_readable_and_else_the_figure_says_so() -> None:
    alike, different = drawn("eigenspace", FOUR[:2]), eigenspace_of_four()
    assert panel(alike, "0/Wp").get_ylim() == panel(alike, "1/Wp").get_ylim()
    assert "real part" in words(alike)
    assert panel(different, "0/Wp").get_ylim() != panel(different, "2/Wp").get_ylim()
    assert "real part, scale by row" in words(different)


def test_a_cell_without_data_says_so_and_why() -> None:
    figure = drawn("eigenspace", (FOUR[0], DIVERGED))
    assert words(figure).count("no data") == 4
    assert "3 of 3 diverged at step 17 · n=0" in words(figure)


def test_a_method_without_a_predictor_has_no_data_there_but_its_f() -> None:
    f_only = Curves(spectra_epochs=EPOCHS, spectra={"F": curves(0).spectra["F"]})
    figure = drawn("eigenspace", (CellCurves("Barlow Twins", (0,), (f_only,), ""),))
    assert words(figure).count("no data") == words(figure).count("no predictor matrix") == 3


def test_a_figure_of_nothing_is_drawn_all_the_same() -> None:
    assert words(drawn("eigenspace", (DIVERGED,))).count("no data") == 4


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_epoch_and_a_single_dimension_are_drawn(kind: str) -> None:
    assert to_png(drawn(kind, (cell(d=1, epochs=(0,)),)))


def test_nan_is_left_out_of_the_median() -> None:
    broken = curves(1)
    broken.spectra["F"][-3:] = np.nan
    pair = CellCurves("EMA", (0, 1), (curves(0), broken), "1 of 2 diverged")
    figure = drawn("eigenspace", (pair,))
    assert np.array_equal(rank_lines(panel(figure, "0/F"))[5][-3:], curves(0).spectra["F"][-3:, 4])
    assert to_png(figure)


def test_seeds_that_got_less_far_count_where_they_are() -> None:
    pair = CellCurves("EMA", (0, 1), (curves(0), curves(1, epochs=EPOCHS[:5])), "")
    line = artist(panel(drawn("curves", (pair,), "F/rankme"), "F/rankme"), "EMA")
    assert list(line.get_xdata()) == list(EPOCHS)
    assert line.get_ydata()[-1] == pair.curves[0].metrics["F/rankme"][-1][1]


def test_curves_are_one_panel_per_metric_and_one_line_per_cell() -> None:
    figure = drawn("curves", FOUR)
    assert [axes.get_label() for axes in figure.axes] == ["train/loss", "F/rankme", "embedding/std"]
    for axes in figure.axes:
        assert [line.get_label() for line in axes.get_lines()] == [each.label for each in FOUR]


def test_curves_are_headed_by_what_their_metrics_are() -> None:
    told = words(drawn("curves", FOUR[:1], "train/loss", "F/rankme"))
    assert "training loss" in told and "train/loss" not in told
    spec = FigureSpec(kind="curves", columns=("F/rankme",), over="train/loss")
    assert draw(spec, FOUR[:1], title="", stamp="").axes[0].get_xlabel() == "training loss"


def test_a_curve_is_the_median_and_its_band_the_range() -> None:
    axes = panel(drawn("curves", FOUR[:1], "train/loss"), "train/loss")
    seeds = np.array([[v for _, v in each.metrics["train/loss"]] for each in FOUR[0].curves])
    assert list(axes.get_lines()[0].get_ydata()) == list(np.median(seeds, axis=0))
    heights = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert set(heights) == set(seeds.min(axis=0)) | set(seeds.max(axis=0))


def test_twelve_cells_are_told_apart() -> None:
    figure = drawn("curves", [cell(f"cell {k}", seeds=1, d=4) for k in range(12)])
    looks = {(line.get_color(), str(line.get_linestyle())) for line in figure.axes[0].get_lines()}
    assert len(looks) == 12


def test_the_key_names_the_cells_that_have_no_data() -> None:
    assert "lr 10 (no data; 3 of 3 diverged at step 17)" in words(drawn("curves", (FOUR[0], DIVERGED)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_equal_figures_are_equal_bytes(kind: str) -> None:
    first, second = drawn(kind, FOUR), drawn(kind, FOUR)
    assert to_png(first) == to_png(second)
    assert to_pdf(first) == to_pdf(second)
    assert b"Matplotlib" not in to_png(first)
    assert b"CreationDate" not in to_pdf(first)


def test_drawing_leaves_the_settings_of_matplotlib_alone() -> None:
    import matplotlib

    with matplotlib.rc_context({"font.size": 23, "lines.linewidth": 9}):
        before = dict(matplotlib.rcParams)
        styled = to_png(drawn("curves", FOUR))
        assert dict(matplotlib.rcParams) == before
    assert to_png(drawn("curves", FOUR)) == styled


@pytest.mark.parametrize("kind", KINDS)
def test_no_two_texts_overlap_whatever_the_labels(kind: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from orchestrator.answer.figures._page import styled

    long = cell(
        "predictor width 2048 and weight_decay_on_the_predictor_only" * 3, note="1 of 3 collapsed, " * 6
    )
    cells = (long, DIVERGED, cell("costs $5 or $x^2$"), cell(r"$\nonsense$"))
    figure = drawn(kind, cells, title="Does a question fit that is longer than any line of the page? " * 3)
    with styled():
        renderer = FigureCanvasAgg(figure).get_renderer()
        boxes = [text.get_window_extent(renderer) for text in figure.texts]
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)
    boxes = [box.shrunk(1, 0.7) for box in boxes]  # a line's box has room for accents that none has
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]


@pytest.mark.parametrize(("got", "hint"), [("Wq", ""), ("alinement", "did you mean 'alignment'? ")])
def test_an_unknown_column_is_one_line_that_names_the_known_ones(got: str, hint: str) -> None:
    with pytest.raises(UsageError) as error:
        drawn("eigenspace", FOUR, got)
    expected = f"no column '{got}' in an eigenspace figure; {hint}known: F, Wp, alignment, asymmetry"
    assert str(error.value) == f"figure 'eigenspace': {expected}"


def test_a_metric_that_nobody_reported_is_one_line_that_names_the_reported_ones() -> None:
    with pytest.raises(UsageError) as error:
        drawn("curves", FOUR, "train/lose")
    reported = (
        "F/rankme, Wp/asymmetry_fro, Wp/asymmetry_l1, Wp/slope, alignment/chance, embedding/std, train/loss"
    )
    expected = f"metric 'train/lose' was never reported; did you mean 'train/loss'? reported: {reported}"
    assert str(error.value) == f"figure 'curves': {expected}"


def test_curves_that_nobody_reported_are_an_error_and_so_is_no_cell() -> None:
    with pytest.raises(UsageError, match="'train/loss' was never reported; reported: nothing"):
        drawn("curves", (DIVERGED,))
    with pytest.raises(UsageError, match="no cell to draw"):
        drawn("eigenspace", ())


def test_metrics_of_the_default_that_a_trainer_does_not_report_are_left_out() -> None:
    loss = Curves(metrics={"train/loss": ((1, 0.5), (2, 0.4))})
    figure = drawn("curves", (CellCurves("supervised", (0,), (loss,), ""),))
    assert [axes.get_label() for axes in figure.axes] == ["train/loss"]


def test_importing_figures_loads_neither_matplotlib_nor_torch() -> None:
    check = "import sys, orchestrator.answer.draw; print({'matplotlib', 'torch'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"


# Spectra overlaid


def test_a_spectrum_is_drawn_relative_to_its_largest_value() -> None:
    axes = panel(
        drawn("spectra", FOUR[:2], "embedding"), "eigenvalues of the embeddings' covariance / largest"
    )
    assert len(axes.lines) == 2
    for line, one in zip(axes.lines, FOUR, strict=False):
        own = [c.spectra["embedding"][-1] / c.spectra["embedding"][-1, 0] for c in one.curves]
        np.testing.assert_allclose(line.get_ydata(), np.median(own, axis=0), rtol=1e-6)


def of_wp(label: str, *spectra: Any) -> CellCurves:
    """A cell whose seeds have these eigenvalues of W_p, and nothing else."""
    own = tuple(
        Curves(metrics={}, spectra_epochs=(1,), spectra={"Wp": np.array([one], float)}) for one in spectra
    )
    return CellCurves(label, tuple(range(len(own))), own, "")


def test_seeds_that_differ_by_a_factor_alone_have_one_relative_spectrum() -> None:
    figure = drawn("spectra", (of_wp("one", (1, 0.5, 0.25), (1, 0.5, 0.25), (10, 5, 2.5)),), "Wp")
    axes = panel(figure, "eigenvalues of W_p / largest")
    assert axes.lines[0].get_ydata().tolist() == [1, 0.5, 0.25]
    assert sorted({y for _, y in axes.collections[0].get_paths()[0].vertices}) == [0.25, 0.5, 1]
    assert "lower edge" not in " ".join(words(figure)) and "real parts" in " ".join(words(figure))


def test_the_axis_of_spectra_holds_their_bands() -> None:
    figure = drawn("spectra", (of_wp("one", (1, 1e-2), (1, 1e-2), (1, 1e-6)),), "Wp")
    assert panel(figure, "eigenvalues of W_p / largest").get_ylim()[0] < 1e-6


def test_values_that_a_logarithm_cannot_show_are_announced_and_stretch_no_axis() -> None:
    figure = drawn("spectra", (of_wp("one", (1, 0.5, -0.3)),), "Wp")
    axes = panel(figure, "eigenvalues of W_p / largest")
    assert "not above zero, or too small, lies on the lower edge" in " ".join(words(figure))
    assert axes.get_ylim() == pytest.approx((0.25, 2)) and axes.lines[0].get_ydata()[2] == axes.get_ylim()[0]


def test_a_cell_without_a_spectrum_says_so_in_the_key() -> None:
    bare = CellCurves("bare", (0,), (Curves(metrics={"train/loss": ((1, 0.5),)}),), "")
    cells = (of_wp("one", (1, 0.5)), of_wp("negative", (-1, -2)), bare, DIVERGED)
    said = " ".join(words(drawn("spectra", cells, "Wp")))
    for label in ("negative ($W_p$: none above zero; n=1)", "bare (no $W_p$; n=1)", "lr 10 (no data; 3 of 3"):
        assert label in said
    assert "no cell has a value above zero" in words(drawn("spectra", cells[1:], "Wp"))


def test_an_unknown_spectrum_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="no spectrum 'embeding'; did you mean 'embedding'"):
        drawn("spectra", FOUR, "embeding")


def test_the_slope_figure_shows_the_theorys_line_and_each_cells_own_by_least_squares() -> None:
    figure = drawn("slope", FOUR[:1])
    axes = panel(figure, "eigenvalues of W_p over eigenvalues of F")
    f, w = (np.median(stacked(FOUR[0], name), axis=0)[-1] for name in ("F", "Wp"))
    alive = w > 0.05 * w[0]
    fit = stats.linregress(np.log(f[alive]), np.log(w[alive]))
    half = stats.t.ppf(0.975, alive.sum() - 2) * fit.stderr
    for label, slope in (("theory", 0.5), ("fit", fit.slope)):
        x, y = artist(axes, label).get_data()
        assert np.log(y[1] / y[0]) / np.log(x[1] / x[0]) == pytest.approx(slope)
    said = " ".join(words(figure))
    assert f"slope {fit.slope:.2f} ± {half:.2f} of {alive.sum()} modes" in said


def test_a_slope_figure_without_predictors_says_so() -> None:
    f_only = Curves(metrics={}, spectra_epochs=(0,), spectra={"F": np.ones((1, 3))})
    bare = CellCurves("Barlow Twins", (0,), (f_only,), "")
    assert "no data" in words(drawn("slope", (bare,)))


@pytest.mark.parametrize(("typed", "inches"), [("column", 3.25), ("text", 5.5), ("page", 6.75), ("4.5", 4.5)])
def test_a_width_is_typed_as_a_part_of_a_paper_or_in_inches(typed: str, inches: float) -> None:
    assert write_figures.inches(typed) == inches
    assert FigureSpec(kind="dots", width=inches).width == inches


def test_another_width_is_told_with_those_that_are() -> None:
    with pytest.raises(UsageError, match="--width colum: expected inches, or column, text or page"):
        write_figures.inches("colum")


def test_what_cannot_be_drawn_says_whether_nothing_was_trained_or_no_epoch_was_reported() -> None:
    asked, over, final = expansion(), FigureSpec(kind="eigenspace"), FigureSpec(kind="dots")
    there = {trial.id: record(trial.id) for trial in asked.trials}
    with pytest.raises(UsageError, match=r"^sweep 'tiny' has no results to draw yet; run it first$"):
        publish.check_results(asked, [final], {}, {})
    with pytest.raises(UsageError, match=r"'tiny': 8 trials began and none has reported .*kind dots"):
        publish.check_results(asked, [over], there, {})
    publish.check_results(asked, [over, final], there, {})
