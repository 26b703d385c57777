"""Numbers near the largest that there is: what cannot be computed of them is left out, and that is said."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from orchestrator.answer import formats
from orchestrator.answer.comparison import cells, effects, two_cells
from orchestrator.answer.draw import draw, to_png
from orchestrator.answer.figures._bands import CellCurves
from orchestrator.answer.figures._finals import Final, averaged
from orchestrator.answer.figures._points import view_of
from orchestrator.answer.tables import Table, tabulate
from orchestrator.commands.screen.comparison import written
from orchestrator.commands.screen.two_cells import written as beside
from orchestrator.language.figure_spec import FigureSpec
from orchestrator.process.words import fixed
from orchestrator.records import Curves
from tests.builders import expansion, record, table_yaml

SAID = "numbers beyond 8e+307 in "
SOURCE = table_yaml("    metric: train/loss\n").replace("seeds: 2", "seeds: 3")


def strict(text: str) -> Any:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def far() -> tuple[Any, dict[str, Any]]:
    """Losses that are large with one sign in the baseline and with the other elsewhere."""
    made = expansion(SOURCE)
    sign = {"EMA · regular": 1.0}
    values = {t.id: sign.get(t.cell.label, -1.0) * (1.7e308 - t.seed * 1e306) for t in made.trials}
    return made, {i: record(i, metrics={"train/loss": value}) for i, value in values.items()}


def table(far: tuple[Any, dict[str, Any]]) -> Table:
    made, records = far
    return tabulate(made, made.spec.tables[0], records)


def test_a_table_says_that_differences_of_such_numbers_are_left_out(far: tuple[Any, dict[str, Any]]) -> None:
    found = table(far)
    (note,) = [one for one in found.notes if one.startswith(SAID)]
    assert "EMA · symmetric" in note and "differences that are more than any number here are left out" in note
    told = strict(found.written("json"))
    assert {one["difference"] for one in told["entries"]} == {None}
    shown = found.written("text")
    assert "inf" not in shown and "nan" not in shown and SAID in shown


@pytest.mark.parametrize("form", ["text", "json", "csv"])
def test_a_comparison_and_effects_have_no_number_that_is_none(
    far: tuple[Any, dict[str, Any]], form: str
) -> None:
    for found in (cells.compare(*far, "EMA · regular", margin=1.0), effects.effects(*far)):
        said = written(found, form)
        assert "nan" not in said.lower().replace("explanation", "") and "inf" not in said.lower()
        if form == "json":
            assert SAID in " ".join(strict(said)["notes"])


def test_a_table_of_usual_numbers_says_nothing_of_that() -> None:
    made = expansion(SOURCE)
    records = {t.id: record(t.id, metrics={"train/loss": 1e300}) for t in made.trials}
    assert not any(note.startswith("numbers beyond") for note in table((made, records)).notes)


@pytest.mark.parametrize("value", [1.7e308, -1.7e308])
def test_a_panel_of_such_numbers_has_an_axis(value: float) -> None:
    finals = [Final("loss", {0: value, 1: 1.0}, {0: "completed", 1: "completed"})] * 2
    view = view_of(finals)
    assert view.low < view.high and abs(view.low) < 1e302 and view.high < 1e302
    assert averaged(finals).values[0] == pytest.approx(value)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("values", [(1.7e308, 1.7e308), (-1.7e308, 1.7e308), (1e-3, 1e150), (-1e150, 1e150)])
def test_curves_of_such_numbers_are_a_figure(values: tuple[float, float]) -> None:
    ran = tuple(Curves(metrics={"loss": ((0, 1.0), (1, value), (2, value))}) for value in values)
    spec = FigureSpec.model_validate({"kind": "curves", "columns": ["loss"]})
    figure = draw(spec, [CellCurves("far", (0, 1), ran, "")], title="far", stamp="")
    assert to_png(figure).startswith(b"\x89PNG")


@pytest.mark.parametrize("value", [1.7e308, -1.7e308])
def test_two_cells_of_which_a_curve_has_no_number_stand_side_by_side(value: float) -> None:
    made = expansion(SOURCE)
    two = (made.cells[0], made.cells[1])
    drawn = {
        trial.id: Curves(metrics={"train/loss": ((1, value),), "F/rankme": ((1, 3.0 * trial.seed),)})
        for trial in made.trials
    }
    records = {trial.id: record(trial.id, metrics={"train/loss": 1.0}) for trial in made.trials}
    for metric in (None, "train/loss"):
        found = two_cells.side_by_side(made, records, drawn, two, metric=metric)
        told = beside(found, "text").partition("by epoch")[2]
        assert "train/loss" not in told and ("F/rankme" in told) == (metric is None)


HUGE = """
    metric: train/loss
    unit: UNIT
    published:
      source: a paper
      tolerance: 1e299
      values: [[1e300, 2.0], [2.0, 2.0]]
    expectations: [{cell: {ema: EMA, predictor: symmetric}, at_least: 1}]
"""
OUT = "exclude: [{cell: {ema: EMA, predictor: symmetric}, seed: 1, reason: it burnt}]\n"


@pytest.fixture(params=["plain", "percent"])
def huge(request: pytest.FixtureRequest) -> tuple[Any, dict[str, Any]]:
    """Losses of which those of one cell are on their way to infinity, read as 2.469e300, and the others 5."""
    text = table_yaml(HUGE.replace("UNIT", request.param)).replace("seeds: 2", "seeds: 3") + OUT
    made, scale = expansion(text), {"plain": 1.0, "percent": 0.01}[request.param]
    values = {
        t.id: scale * (1.2345e300 if t.cell.label == "EMA · symmetric" else 2.5) * (1 + t.seed)
        for t in made.every_trial
    }
    return made, {i: record(i, metrics={"train/loss": value}) for i, value in values.items()}


@pytest.mark.parametrize("form", sorted({*formats.names()} - {"csv", "json"}))
def test_a_huge_number_is_written_by_its_first_digits_and_others_as_ever_in_every_format(
    form: str, huge: tuple[Any, dict[str, Any]]
) -> None:
    found, digits = table(huge), huge[0].spec.tables[0].digits
    said, number = found.written(form), "2.469e+300"  # also where other numbers have fewer digits
    assert f"(it burnt, had train/loss {number})" in said and said.count(number) >= 4
    assert f"{5:.{digits}f}" in said and not re.search(r"\d{16}", said)
    assert found.judged[0].found.startswith(f"{number}, 90 % interval -")
    if form == "siunitx":  # which takes none in a column that stands by its points
        assert f"{{{number} " in said and "e+" not in "".join(re.findall(r"table-format=[^]]*", said))


def test_a_comparison_of_huge_numbers_is_read_in_a_line(huge: tuple[Any, dict[str, Any]]) -> None:
    said = written(cells.compare(*huge, "EMA · regular"), "text")
    assert "e+300" in said and not re.search(r"\d{16}", said)


@pytest.mark.parametrize("number", [0.0, -0.04, 12.5, 1e6, 11_173_962, 1.5e9, 999_999_999_999_999, -1e14])
def test_a_number_that_a_float_holds_to_its_point_is_written_whole(number: float) -> None:
    for digits in range(7):
        assert fixed(number, digits) == f"{number:.{digits}f}"
        assert fixed(number, digits, "+z") == f"{number:+z.{digits}f}"
