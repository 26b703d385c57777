"""The laws of every kind of figure, over a sweep with two axes, one of numbers, and over one trial of it."""

from __future__ import annotations

import functools
import re
from typing import Any

import pytest

from orchestrator.answer import draw, publish
from orchestrator.answer.figures._bands import CellCurves
from orchestrator.errors import UsageError
from orchestrator.language.figure_spec import FigureSpec
from orchestrator.planning.expand import Expansion
from orchestrator.records import Curves
from tests.answer.test_figures import curves, words
from tests.builders import TINY, expansion, record, yaml
from tests.marks import but_first_slow
from trainers.config.families import members

KINDS = members("orchestrator.answer.figures")
LONG = "predictor width 2048 and weight_decay_on_the_predictor_only" * 2
AXES = f"""
    axes:
      lr: {{path: optimizer.lr, values: [0.01, 0.1, 1.0]}}
      predictor:
        symmetric W_p: {{method.predictor.symmetric: true}}
        {LONG}: {{method.predictor.symmetric: false}}
    seeds: 3
    tables:
      - name: main
        rows: lr
        columns: predictor
        published: {{source: "a paper, Table 1", values: [[50, 40], [60, null], [70, 30]]}}
"""


@functools.cache
def asked() -> Expansion:
    return expansion(yaml(TINY, AXES))


@functools.cache
def results() -> tuple[dict[str, Any], dict[str, Curves]]:
    records, found = {}, {}
    for number, trial in enumerate(asked().trials):
        status = {4: "collapsed", 7: "diverged"}.get(number, "completed")
        value = None if status == "diverged" else 0.3 + 0.03 * number
        records[trial.id] = record(trial.id, value, status=status)
        found[trial.id] = curves(trial.seed, d=8)
    return records, found


@functools.cache
def drawn(kind: str, *, plain: bool = False, **how: Any) -> Any:
    return publish.figure(asked(), FigureSpec(kind=kind, **how), *results(), plain=plain)


@pytest.mark.parametrize("kind", but_first_slow(KINDS))
def test_equal_figures_are_equal_bytes_in_every_format(kind: str) -> None:
    assert draw.to_png(drawn(kind), dpi=40).startswith(b"\x89PNG") and draw.to_pdf(drawn(kind)).startswith(
        b"%PDF"
    )
    assert draw.to_svg(drawn(kind)) == draw.to_svg(drawn.__wrapped__(kind))


@pytest.mark.parametrize("kind", but_first_slow(KINDS, 3))
def test_no_two_texts_overlap_and_none_leaves_the_page(kind: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from orchestrator.answer.figures._page import styled

    for how in ({}, {"width": 5.0}):
        try:
            figure = drawn(kind, **how)  # type: ignore[arg-type]
        except UsageError as error:
            assert how and re.match(rf"^figure '{kind}': [^\n]* have no room in 5 in", str(error))
            continue
        with styled():
            renderer = FigureCanvasAgg(figure).get_renderer()
            boxes = [text.get_window_extent(renderer) for text in figure.texts]
        assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y0 >= 0 for box in boxes)
        boxes = [box.shrunk(1, 0.7) for box in boxes]  # a line's box has room for accents that none has
        assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]


@pytest.mark.parametrize("kind", but_first_slow(KINDS, 3))
def test_a_figure_is_as_wide_as_asked_for_and_refuses_to_be_too_narrow(kind: str) -> None:
    assert drawn(kind, width=7.5).get_size_inches()[0] == pytest.approx(7.5)
    with pytest.raises(UsageError, match=r"^a figure 1 in wide has .* in for a panel"):
        drawn(kind, width=1.0)


@pytest.mark.parametrize("kind", but_first_slow(KINDS, 3))
def test_plain_leaves_out_title_and_stamp(kind: str) -> None:
    shown = " ".join(words(drawn(kind, plain=True)))
    assert "tiny" not in shown and "code" not in shown


@pytest.mark.parametrize("kind", KINDS)
def test_one_trial_is_a_figure_or_one_line(kind: str) -> None:
    one = CellCurves("a cell", (0,), (curves(0, d=8),), "", is_one_trial=True)
    try:
        assert draw.draw(FigureSpec(kind=kind), [one], title="", stamp="").axes
    except UsageError as error:
        assert str(error).startswith(f"figure '{kind}': ") and "\n" not in str(error)


@pytest.mark.parametrize("kind", KINDS)
def test_before_any_result_a_figure_says_that_there_is_no_data_or_is_one_line(kind: str) -> None:
    try:
        figure = publish.figure(asked(), FigureSpec(kind=kind), {}, {})
    except UsageError as error:
        assert str(error).startswith(f"figure '{kind}': ") and "\n" not in str(error)
    else:
        told = " ".join(words(figure))
        assert "no data" in told or "no number" in told or "No trial has a number yet." in told


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_kind_has_no_use_for_is_refused_by_name(kind: str) -> None:
    takes = getattr(draw.load(kind), "TAKES_AXES", False)
    with pytest.raises(UsageError, match=rf"^figure '{kind}': [^\n]*(axes|axis)"):
        spec = FigureSpec(kind=kind, axes=("nonsense",))
        draw.check(spec)
        assert takes
        publish.check_figure(asked(), spec)


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_says_what_a_figure_shows(kind: str) -> None:
    assert re.fullmatch(rf"{kind} of tiny, 6 cells\. .+\.", described(kind))


def described(kind: str) -> str:
    spec = asked().spec.model_copy(update={"figures": (FigureSpec(kind=kind),)})
    return publish.described(asked()._replace(spec=spec), kind)
