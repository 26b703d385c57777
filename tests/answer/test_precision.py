"""Seeds that are added until intervals are narrow, seeds of some cells, and trials that do not count."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from orchestrator.answer import publish
from orchestrator.answer.comparison.precision import aimed
from orchestrator.answer.formats import text_of
from orchestrator.answer.report.chapter import chapter
from orchestrator.answer.statistics import summarise
from orchestrator.answer.statistics.precision import half_width, is_narrow, next_number
from orchestrator.answer.tables import Table, tabulate
from orchestrator.commands.screen.grid import plan_text, status_text
from orchestrator.errors import SpecError, UsageError
from orchestrator.language.figure_spec import FigureSpec
from orchestrator.planning.expand import Expansion, size
from orchestrator.planning.plan import make_plan
from orchestrator.records import TrialRecord
from tests.builders import TINY, expansion, record, table_yaml, yaml

SPREAD = {
    "EMA · symmetric": 0.001,
    "EMA · regular": 0.001,
    "No EMA · symmetric": 0.02,
    "No EMA · regular": 0.2,
}


def numbers(made: Expansion) -> dict[str, TrialRecord]:
    """A record for every trial; cells differ in how far their seeds lie apart."""
    draws = np.random.default_rng(0).standard_normal(50)
    return {
        one.id: record(one.id, float(0.5 + SPREAD[one.cell.label] * draws[one.seed]))
        for one in made.every_trial
    }


def table(made: Expansion, records: Mapping[str, TrialRecord] | None = None) -> Table:
    return tabulate(made, made.spec.tables[0], numbers(made) if records is None else records)


def seeds_by_cell(made: Expansion) -> dict[str, tuple[int, ...]]:
    return {cell.label: made.seeds_of(cell) for cell in made.cells}


def test_seeds_are_added_where_an_interval_is_wide_and_nowhere_else() -> None:
    made = aimed(expansion(seeds=range(3)), 1.5, 8, numbers)
    found = {label: len(seeds) for label, seeds in seeds_by_cell(made).items()}
    assert found["EMA · symmetric"] == 3
    assert found["No EMA · regular"] == 8 == found["EMA · regular"]  # differences need the baseline's seeds
    narrow = dict(((row, column), one.against) for row, column, one in table(made).flat())
    assert (half_width(narrow["No EMA", "symmetric"]) or 9) <= 0.015


def test_the_same_results_lead_to_the_same_seeds_and_an_unfinished_step_is_asked_for_again() -> None:
    whole = aimed(expansion(seeds=range(3)), 1.5, 8, numbers)
    assert aimed(expansion(seeds=range(3)), 1.5, 8, numbers).trials == whole.trials
    first = {i: one for i, one in numbers(expansion(seeds=range(3))).items()}
    begun = aimed(expansion(seeds=range(3)), 1.5, 8, lambda made: first)
    assert {one.id for one in expansion(seeds=range(3)).trials} < {one.id for one in begun.trials}
    assert len(begun.trials) < len(whole.trials)


def test_the_table_says_that_width_has_stopped_it_and_where_it_was_not_reached() -> None:
    (note, *_) = table(aimed(expansion(seeds=range(3)), 1.5, 8, numbers)).notes
    assert note.startswith(
        "seeds were added until half the 95 % interval of Δ is at most 1.5 points, by width"
    )
    assert "never by p" in note and "not reached: No EMA · regular (± " in note and note.endswith("8 seeds)")
    (note, *_) = table(aimed(expansion(seeds=range(3)), 90, 8, numbers)).notes
    assert note.endswith("; reached in every cell")


def test_without_a_baseline_the_interval_of_each_mean_counts() -> None:
    text = table_yaml().replace("    baseline: {ema: EMA, predictor: regular}\n", "")
    assert "baseline" not in text
    found = seeds_by_cell(aimed(expansion(text, seeds=range(3)), 2, 6, numbers))
    assert [len(seeds) for seeds in found.values()] == [3, 3, 3, 6]


def test_fewer_than_three_seeds_are_never_narrow() -> None:
    assert not is_narrow(summarise([0.5, 0.5]), 1.0)
    assert is_narrow(summarise([0.5, 0.5, 0.5]), 1e-9)
    assert next_number(None, 1, 0.1, most=10) == 3
    assert next_number(summarise([0.0, 1.0, 2.0]), 3, 0.1, most=10) == 7  # half of the way
    assert next_number(summarise([0.0, 1.0, 2.0]), 9, 0.1, most=10) == 10


@pytest.mark.parametrize(
    ("half", "most", "said"),
    [
        (0.0, 10, "expected a number above 0"),
        (float("nan"), 10, "expected a number above 0"),
        (1.0, 2, "the sweep begins with 3"),
        (None, 8, "give both"),
    ],
)
def test_what_no_precision_can_mean_is_told(half: float | None, most: int, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        aimed(expansion(seeds=range(3)), half, most, numbers)


def test_some_cells_have_seeds_of_their_own_and_ids_stay() -> None:
    text = table_yaml() + "cell_seeds: [{where: {ema: No EMA}, seeds: 0-4}]\n"
    made = expansion(text)
    assert {i for i in (one.id for one in expansion().trials)} < {one.id for one in made.trials}
    assert [len(seeds) for seeds in seeds_by_cell(made).values()] == [2, 2, 5, 5]
    assert size(made) == "4 cells × 2 to 5 seeds = 14 trials"
    assert "(n=5)" in text_of("text", table(made))
    assert "other numbers of seeds are written as n" in text_of("text", table(made))
    assert set(seeds_by_cell(expansion(text, seeds=[7])).values()) == {(7,)}  # --seeds replaces all


def test_programs_read_which_seeds_cells_have_that_have_others() -> None:
    own = "cell_seeds: [{where: {ema: No EMA}, seeds: 0-4}]\n"
    told = json.loads(text_of("json", table(expansion(table_yaml() + own))))
    places = [(one["row"], one["column"]) for one in told["cell_seeds"]]
    assert told["seeds"] == [0, 1] and places == [("No EMA", "symmetric"), ("No EMA", "regular")]
    assert {tuple(one["seeds"]) for one in told["cell_seeds"]} == {(0, 1, 2, 3, 4)}
    assert "cell_seeds" not in json.loads(text_of("json", table(expansion())))
    (left,) = json.loads(text_of("json", table(expansion(table_yaml() + EXCLUDE))))["cell_seeds"]
    assert left == {"row": "EMA", "column": "regular", "seeds": [0]}


def test_a_figure_says_how_many_seeds_its_cells_have(monkeypatch: pytest.MonkeyPatch) -> None:
    made = expansion(table_yaml() + "cell_seeds: [{where: {ema: No EMA}, seeds: 0-4}]\n")
    stamps = list[str]()
    monkeypatch.setattr(publish.draw, "draw", lambda *given, title, stamp: stamps.append(stamp))
    publish.figure(made, FigureSpec(kind="curves"), numbers(made), {})
    assert stamps == ["sweep tiny, 2 to 5 seeds, code no results"]


EXCLUDE = "exclude: [{cell: {ema: EMA, predictor: regular}, seed: 1, reason: a broken GPU}]\n"


def test_an_excluded_trial_is_in_no_number_and_in_a_footnote_of_every_table() -> None:
    made = expansion(table_yaml() + EXCLUDE)
    shown = table(made)
    assert shown.entries[0][1].values.keys() == {0}
    assert "(n=1)" in text_of("text", shown)
    had = f"{100 * numbers(made)[made.excluded[0][0].id].metrics['probe/top1']:.1f}"
    told = f"EMA · regular · seed 1 (a broken GPU, had probe/top1 {had})"
    wanted = f"excluded by the sweep file, 1 of 8 trials: {told}"
    assert wanted in shown.notes
    for form in ("text", "md", "html", "json", "tex"):
        assert "a broken GPU" in text_of(form, shown)
    assert wanted in json.loads(text_of("json", shown))["notes"]
    assert len(made.trials) == 7 and "1 excluded" in size(made)
    told = "excluded by the sweep file, 1 of 8 trials: EMA · regular · seed 1 (a broken GPU)"
    assert told in plan_text(make_plan(made, {})) and told in status_text(make_plan(made, {}))
    parts: dict[str, Any] = {"tables": [], "problems": [], "anchor": "tiny", "command": "orch"}
    assert told in chapter(made, {}, {}, **parts).problems


def test_a_seed_that_is_excluded_is_not_added_again() -> None:
    made = expansion(table_yaml() + EXCLUDE.replace("seed: 1", "seed: 3"), seeds=range(3))
    baseline = seeds_by_cell(aimed(made, 0.01, 5, numbers))["EMA · regular"]
    assert baseline == (0, 1, 2, 4)


CHAIN = """
    axes:
      way:
        steady: {}
        between: {encoder.from: {cell: steady}}
        wide: {encoder.from: {cell: between}}
    tables: [{name: all, rows: way}]
    seeds: 3
"""


def test_what_starts_from_others_of_the_sweep_gets_seeds_together_with_them() -> None:
    def numbers(made: Expansion) -> dict[str, TrialRecord]:
        spread = {"steady": 0.0001, "between": 0.0001, "wide": 0.2}
        return {
            one.id: record(one.id, 0.5 + spread[one.cell.label] * (-1) ** one.seed * (1 + one.seed))
            for one in made.trials
        }

    assert seeds_by_cell(aimed(expansion(yaml(TINY, CHAIN)), 1.5, 5, numbers)) == {
        name: (0, 1, 2, 3, 4) for name in ("steady", "between", "wide")
    }


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("exclude: [{cell: {ema: EMAA}, seed: 1, reason: why}]\n", "no level 'EMAA' on axis 'ema'"),
        ("exclude: [{cell: {ema: EMA}, seed: 1}]\n", "reason"),
        ("cell_seeds: [{where: {em: EMA}, seeds: 3}]\n", "no such axis"),
        ("cell_seeds: [{where: {ema: EMA}, seeds: many}]\n", "expected a number of seeds"),
    ],
)
def test_a_wrong_exclusion_or_a_wrong_seed_of_a_cell_names_its_line(more: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        expansion(table_yaml() + more)
