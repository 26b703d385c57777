"""Cells against one cell and effects of axes, from records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.answer.comparison import cells, effects
from orchestrator.answer.comparison.cells import Comparison, Row, Versus, compare
from orchestrator.answer.tables import tabulate
from orchestrator.commands.screen.comparison import written
from orchestrator.errors import UsageError
from orchestrator.planning.expand import Expansion
from orchestrator.records import TrialRecord
from tests.builders import TINY, expansion, indented, record, table_yaml, yaml
from trainers.loops import ssl

BASE = {"EMA · symmetric": 0.85, "EMA · regular": 0.84, "No EMA · symmetric": 0.2, "No EMA · regular": 0.84}
WOBBLE = (0.0, 0.011, -0.007, 0.004, 0.002, -0.012, 0.006, 0.001, -0.003)
"""What all cells of a seed share."""
OWN = (1, -2, 0, 3, -1, -3, 2, 1, -1)
"""What a cell has for itself, in thousandths; each cell has it in another order."""


def records(made: Expansion, change: Callable[[str, int], Any] = lambda *_: None) -> dict[str, TrialRecord]:
    """A record per trial; `change` gives one instead, or "missing"."""
    found = {}
    for trial in made.trials:
        label, seed = trial.cell.label, trial.seed
        own = OWN[(seed + 2 * list(BASE).index(label)) % 9] / 1000 if label in BASE else 0.0
        instead = change(label, seed)
        if instead == "missing":
            continue
        value = BASE.get(label, 0.5) + WOBBLE[seed] + own
        found[trial.id] = record(trial.id, **(instead or {"value": value}))
    return found


def compared(
    seeds: int = 9, change: Callable[[str, int], Any] = lambda *_: None, **options: Any
) -> Comparison:
    made = expansion(seeds=range(seeds))
    return compare(made, records(made, change), "ema=EMA,predictor=regular", **options)


def row(found: Comparison, label: str) -> Row:
    return next(one for one in found.rows if one.cell == label)


def versus(found: Comparison, label: str) -> Versus:
    one = row(found, label).versus
    assert one is not None
    return one


def test_every_cell_is_compared_with_the_baseline_over_shared_seeds() -> None:
    found = compared(change=lambda label, seed: "missing" if (label, seed) == ("EMA · regular", 4) else None)
    assert [one.cell for one in found.rows] == list(BASE)
    assert row(found, "EMA · regular").versus is None
    against = versus(found, "No EMA · symmetric")
    assert against.difference is not None
    assert (against.difference.n, row(found, "No EMA · symmetric").asked) == (8, 9)
    assert against.difference.mean == pytest.approx(-0.64, abs=0.003)
    assert "EMA · regular: no number from 1 of 9 seeds" in found.notes


def test_a_clear_difference_over_nine_seeds_is_shown_and_no_difference_is_undecided() -> None:
    found = compared()
    assert versus(found, "No EMA · symmetric").p == 2 / 2**9
    assert versus(found, "No EMA · symmetric").p_holm == 3 * 2 / 2**9
    assert versus(found, "No EMA · symmetric").verdict == "different"
    assert versus(found, "No EMA · regular").verdict == "undecided"
    assert found.decision.startswith("Different at 5 %, all comparisons together: ")


def test_three_seeds_show_nothing_however_clear_it_looks() -> None:
    found = compared(3)
    assert {one.versus.verdict for one in found.rows if one.versus} == {"undecided"}
    assert versus(found, "No EMA · symmetric").p == 0.25
    assert "3 seeds cannot decide" in found.decision and "7 could (" in found.decision


def test_a_margin_shows_what_is_alike_and_only_that() -> None:
    found = compared(margin=0.02)
    assert versus(found, "No EMA · regular").verdict == "equivalent"
    assert versus(found, "No EMA · symmetric").verdict == "different"
    assert "Equivalent within ±2.0 points: " in found.decision
    three = compared(3, margin=0.02)
    assert versus(three, "No EMA · regular").verdict == "undecided"


def test_collapse_and_divergence_are_results_with_rates() -> None:
    states: dict[int, dict[str, Any]] = {
        0: {"status": "collapsed", "value": 0.1},
        1: {"status": "diverged", "value": None},
        2: {"collapse": "dimensional"},
        3: {"status": "failed", "value": None},
    }
    found = compared(4, change=lambda label, seed: states[seed] if label == "No EMA · regular" else None)
    rates = row(found, "No EMA · regular").rates
    assert {name: (one.hits, one.n) for name, one in rates.items()} == {
        "collapsed": (1, 3),
        "dimensional": (1, 3),
        "diverged": (1, 3),
    }
    assert rates["diverged"].low == pytest.approx(0.0084, abs=1e-4)
    assert any("1 of 4 diverged; its numbers" in note for note in found.notes)
    assert "No EMA · regular: no number from 1 of 4 seeds" in found.notes


def test_a_cell_that_diverges_is_not_called_equivalent_for_its_other_trials() -> None:
    def one_diverges(label: str, seed: int) -> Any:
        return {"status": "diverged", "value": None} if (label, seed) == ("No EMA · regular", 0) else None

    assert versus(compared(margin=0.05, change=one_diverges), "No EMA · regular").verdict == "undecided"


def test_cells_of_one_config_are_one_comparison() -> None:
    text = yaml(
        TINY,
        """
        axes:
          ema: {a: {method.momentum: 0.9}, b: {method.momentum: 0.9}, c: {method.momentum: 0.5}}
        seeds: 2
        """,
    )
    made = expansion(text)
    found = compare(made, records(made), "c")
    assert [one.cell for one in found.rows] == ["a", "c"]
    assert "b: the same trials as a" in found.notes
    assert versus(found, "a").p_holm == versus(found, "a").p


def test_every_comparison_that_is_asked_for_counts_also_one_without_numbers() -> None:
    found = compared(change=lambda label, _: "missing" if label == "No EMA · regular" else None)
    assert versus(found, "No EMA · symmetric").p_holm == 3 * 2 / 2**9
    assert versus(found, "No EMA · regular").p is None
    assert "No seed to compare yet: No EMA · regular." in found.decision


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"margin": 0.0}, "margin 0: expected a number above 0"),
        ({"margin": float("nan")}, "margin nan: expected"),
        ({"margin": 1.0}, r"1 points are 0.01"),
        ({"metric": "nope"}, "metric 'nope' was never reported"),
    ],
)
def test_what_cannot_be_compared_is_said(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        compared(2, **options)


def test_a_sweep_of_one_cell_has_nothing_to_compare_and_one_that_searches_no_equal_budgets() -> None:
    made = expansion(yaml(TINY))
    with pytest.raises(UsageError, match="no cell to compare with 'base'"):
        compare(made, {}, "base")
    made = expansion(yaml(TINY, "axes: {e: {path: epochs, values: [2, 3]}}\nschedule: {name: asha}\n"))
    with pytest.raises(UsageError, match="equal budgets"):
        compare(made, {}, "2")


def test_numbers_are_a_frame_with_the_decision_beside() -> None:
    frame = compared(margin=0.02).frame()
    assert frame.loc["EMA · regular", "verdict"] == "baseline"
    assert frame.loc["No EMA · symmetric", "pairs"] == 9
    assert frame.loc["No EMA · symmetric", "difference"] == pytest.approx(-0.64, abs=0.003)
    assert frame.attrs["decision"].startswith("Different at 5 %")
    assert "equivalence_p" not in compared().frame().columns


def test_the_effects_of_a_grid_are_tested_together() -> None:
    made = expansion(seeds=range(9))
    found = {one.name: one for one in effects.effects(made, records(made)).rows}
    ema = found["ema: No EMA - EMA"].difference
    both = found["ema: No EMA × predictor: regular"].difference
    assert ema is not None and both is not None
    assert ema.mean == pytest.approx(((0.2 - 0.85) + (0.84 - 0.84)) / 2, abs=0.003)
    assert both.mean == pytest.approx((0.84 - 0.84) - (0.2 - 0.85), abs=0.005)
    assert found["ema: No EMA - EMA"].p_holm == 3 * 2 / 2**9
    assert effects.effects(made, records(made)).frame().index[0] == "ema: No EMA - EMA"


LEFT_OUT = yaml(
    TINY,
    """
    design: leave_one_out
    axes:
      momentum: {on: {method.momentum: 0.9}}
      width: {wide: {encoder.widths: [32]}}
    seeds: 2
    """,
)


def test_the_effects_of_leaving_one_out_are_what_parts_are_worth() -> None:
    made = expansion(LEFT_OUT)
    value = {"on · wide": 0.9, "wide": 0.7, "on": 0.85}
    found = effects.effects(made, records(made, lambda label, seed: {"value": value[label]}))
    worth = {one.name: one.difference.mean for one in found.rows if one.difference}
    assert worth == {"momentum: on": pytest.approx(0.2), "width: wide": pytest.approx(0.05)}


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        (table_yaml(), "only seeds that every cell has count"),
        (LEFT_OUT, "each part counts the seeds that it shares with the whole"),
    ],
)
def test_effects_say_which_seeds_count_where_some_are_missing(text: str, seeds: str) -> None:
    made = expansion(text, seeds=range(3))
    label = made.cells[-1].label
    found = effects.effects(
        made, records(made, lambda cell, seed: "missing" if (cell, seed) == (label, 2) else None)
    )
    assert found.notes[0] == f"{seeds}; some have no number in {label}"
    numbers = {one.difference.n for one in found.rows if one.difference}
    assert numbers == ({2} if text == table_yaml() else {2, 3})


def test_a_comparison_of_commands_says_that_nobody_has_seen_what_they_draw(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = expansion(seeds=range(9))
    said = "pairing by seed is declared, not verified: what a command draws is its own"
    for of in (compared().of, effects.effects(made, records(made)).of):
        assert said not in of.notes
    monkeypatch.setattr(ssl, "PAIRED", "declared", raising=False)
    ordered = expansion(table_yaml(indented("expected: falling\n")).replace("baseline", "# baseline"))
    assert said in tabulate(ordered, ordered.spec.tables[0], records(ordered)).notes
    for of in (compared().of, effects.effects(made, records(made)).of):
        assert of.notes.count(said) == 1


def test_a_design_without_effects_says_what_to_do() -> None:
    made = expansion(
        table_yaml().replace("seeds: 2", "seeds: 2\ndesign: one_at_a_time").partition("tables:")[0]
    )
    with pytest.raises(UsageError, match=r"design one_at_a_time; compare its cells with --against CELL"):
        effects.effects(made, {})


def test_a_metric_has_the_unit_of_the_table_that_shows_it() -> None:
    text = table_yaml(indented("unit: plain\n"))
    made = expansion(text, seeds=range(3))
    assert not compare(made, records(made), "ema=EMA,predictor=regular").of.in_percent
    assert cells.records_of(compared(3))[0]["n"] == 3


@pytest.mark.parametrize(
    ("margin", "said"), [(0.02, "±2.0 points"), (0.0149, "±1.49 points"), (0.00149, "±0.149 points")]
)
def test_a_margin_is_said_with_all_of_its_digits(margin: float, said: str) -> None:
    found = compared(margin=margin)
    assert f"inside {said.removesuffix(' points')}" in written(found, "text")
    assert found.of.declared(margin) == said.removeprefix("±")
    assert (f"Equivalent within {said}: " in found.decision) == (margin > 0.01)


def test_a_label_that_begins_like_a_formula_is_text_in_the_csv_of_a_comparison() -> None:
    made = expansion(table_yaml().replace("No EMA", "=1+1"), seeds=range(3))
    found = compare(made, records(made), "ema=EMA,predictor=regular")
    assert "\n'=1+1 · regular," in written(found, "csv")
