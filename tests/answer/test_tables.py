from __future__ import annotations

import textwrap
from collections.abc import Mapping

import pytest

from orchestrator.answer.tables import Table, tabulate
from orchestrator.answer.tables.entries import Entry
from orchestrator.errors import SpecError, UsageError
from orchestrator.planning.expand import Expansion
from orchestrator.planning.layout import layout
from orchestrator.records import TrialRecord
from tests.builders import PUBLISHED, TINY, expansion, record, table_yaml, yaml

VALUES = {
    ("EMA", "symmetric"): (0.85, 0.87),
    ("EMA", "regular"): (0.84, 0.84),
    ("No EMA", "symmetric"): (0.20, 0.21),
    ("No EMA", "regular"): (0.76, 0.80),
}


def records(made: Expansion, **changes: TrialRecord | None) -> dict[str, TrialRecord]:
    found = {
        t.id: record(t.id, VALUES[tuple(dict(t.cell.choice).values())][t.seed])  # type: ignore[index]
        for t in made.trials
    }
    for label, changed in changes.items():
        trial = next(t for t in made.trials if t.label == label.replace("_", " "))
        found.pop(trial.id)
        if changed is not None:
            found[trial.id] = TrialRecord.model_validate(dict(changed) | {"trial_id": trial.id})
    return found


def made_table(extra: str = "", *, text: str | None = None, **changes: TrialRecord | None) -> Table:
    made = expansion(text or table_yaml(extra))
    return tabulate(made, made.spec.tables[0], records(made, **changes))


def entries(table: Table) -> Mapping[tuple[str, str], Entry]:
    return {(row, column): entry for row, column, entry in table.flat()}


EMA_SYMMETRIC_0 = "EMA · symmetric · seed 0"


def test_every_place_has_the_mean_of_its_own_seeds() -> None:
    found = {place: e.summary.mean for place, e in entries(made_table()).items() if e.summary}
    assert found == pytest.approx({place: sum(v) / 2 for place, v in VALUES.items()})


def test_the_baseline_is_compared_with_seed_by_seed() -> None:
    entry = entries(made_table())["No EMA", "regular"]
    assert entry.against is not None
    assert entry.against.mean == pytest.approx(((0.76 - 0.84) + (0.80 - 0.84)) / 2)
    assert entries(made_table())["EMA", "regular"].is_baseline


def test_a_missing_trial_is_counted_not_hidden() -> None:
    entry = entries(made_table(**{EMA_SYMMETRIC_0: None}))["EMA", "symmetric"]
    assert entry.statuses == {"missing": 1, "completed": 1}
    assert (entry.asked, entry.summary.n if entry.summary else 0) == (2, 1)


def test_a_collapsed_trial_counts_with_its_number_and_its_mark() -> None:
    collapsed = record("", 0.1, status="collapsed")
    entry = entries(made_table(**{EMA_SYMMETRIC_0: collapsed}))["EMA", "symmetric"]
    assert entry.statuses["collapsed"] == 1
    assert entry.values == {0: 0.1, 1: 0.87}


@pytest.mark.parametrize("status", ["diverged", "failed", "running"])
def test_a_trial_without_a_number_adds_none(status: str) -> None:
    value = None if status == "diverged" else 0.99  # a running trial's last number is no result
    entry = entries(made_table(**{EMA_SYMMETRIC_0: record("", value, status=status)}))["EMA", "symmetric"]
    assert entry.values == {1: 0.87}


def test_verdicts_follow_the_tolerance_in_points() -> None:
    found = {place: e.verdict for place, e in entries(made_table(PUBLISHED)).items()}
    assert found == {
        ("EMA", "symmetric"): "within",  # 86.0 against 85.7
        ("EMA", "regular"): "within",  # 84.0 against 84.2
        ("No EMA", "symmetric"): "within",  # 20.5 against 20.3
        ("No EMA", "regular"): "within",  # 78.0 against 79.4: a gap of 1.4
    }
    strict = PUBLISHED.replace("tolerance: 1.5", "tolerance: 1.3")
    assert entries(made_table(strict))["No EMA", "regular"].verdict == "outside"


def test_a_tolerance_is_kept_however_small_its_unit() -> None:
    tiny = PUBLISHED.replace("tolerance: 1.5", "tolerance: 1.0e-15").replace("85.7, 84.2", "0.0, 84.0")
    both = {f"EMA · symmetric · seed {seed}": record("", 5e-13) for seed in (0, 1)}
    found = entries(made_table(tiny, **both))
    assert found["EMA", "symmetric"].verdict == "outside"
    assert found["EMA", "regular"].verdict == "within", "what rounding leaves is no gap"
    none = tiny.replace("tolerance: 1.0e-15", "tolerance: 0.0")
    both = {f"EMA · symmetric · seed {seed}": record("", 1e-17) for seed in (0, 1)}
    assert entries(made_table(none, **both))["EMA", "symmetric"].verdict == "within"


def test_a_verdict_waits_for_all_seeds() -> None:
    found = entries(made_table(PUBLISHED, **{EMA_SYMMETRIC_0: None}))
    assert found["EMA", "symmetric"].verdict == "incomplete"


def test_published_numbers_have_no_verdict_under_another_profile() -> None:
    published = PUBLISHED.replace("tolerance", "profile: paper\n          tolerance")
    text = table_yaml(published) + "profiles: {paper: {epochs: 3}, laptop: {epochs: 2}}\n"
    made = expansion(text, profile="laptop")
    table = tabulate(made, made.spec.tables[0], records(made))
    assert not table.verdicts
    assert "no verdict" in table.notes[0]
    assert entries(table)["EMA", "symmetric"].published == pytest.approx(0.857)


def test_a_metric_that_nobody_reported_names_the_nearest() -> None:
    with pytest.raises(
        UsageError, match=r"metric 'probe/top5' was never reported; did you mean 'probe/top1'"
    ):
        made_table("metric: probe/top5\n")


def test_a_table_of_no_results_yet_is_empty_but_whole() -> None:
    made = expansion()
    table = tabulate(made, made.spec.tables[0], {})
    assert all(e.statuses == {"missing": 2} and e.summary is None for e in entries(table).values())


def test_mixed_code_versions_and_unpaired_streams_are_told() -> None:
    made = expansion()
    mixed = {
        t.id: record(t.id, code_version=f"v{n % 2}", streams_fingerprint="odd" if n == 3 else "usual")
        for n, t in enumerate(made.trials)
    }
    notes = " ".join(tabulate(made, made.spec.tables[0], mixed).notes)
    assert "different code versions: v0, v1" in notes
    assert f"not paired: {made.trials[3].cell.label}" in notes


def test_a_table_of_cells_has_a_row_for_each_cell_of_the_design() -> None:
    text = table_yaml().replace("rows: ema", "rows: cells").replace("columns: predictor\n", "where: {}\n")
    text = text.replace("seeds: 2", "seeds: 2\ndesign: one_at_a_time").replace(
        "    baseline: {ema: EMA, predictor: regular}\n", ""
    )
    made = expansion(text)
    table = tabulate(made, made.spec.tables[0], {})
    assert table.rows == ("base", "symmetric", "regular", "EMA", "No EMA")


def test_where_fixes_the_axes_that_are_neither_rows_nor_columns() -> None:
    text = table_yaml().replace("columns: predictor", "where: {predictor: regular}")
    text = text.replace("baseline: {ema: EMA, predictor: regular}", "baseline: {ema: EMA}")
    found = entries(made_table(text=text))
    assert {place: e.summary.mean for place, e in found.items() if e.summary} == pytest.approx(
        {("EMA", "probe/top1"): 0.84, ("No EMA", "probe/top1"): 0.78}
    )


def test_a_changed_profile_is_not_what_was_published() -> None:
    made = expansion(table_yaml(PUBLISHED), changes={"epochs": 9})
    table = tabulate(made, made.spec.tables[0], records(made))
    assert not table.verdicts
    assert "'none, changed: epochs': no verdict" in table.notes[0]
    assert table.profile == "none, changed: epochs"


# Designs that move one axis at a time


ONE = (
    yaml(TINY)
    + """
axes:
  lr: {path: optimizer.lr, values: [0.1, 0.2]}
  size: {path: batch_size, values: [16, 32]}
design: one_at_a_time
tables:
  - name: lr
    rows: lr
    baseline: {lr: base}
    published: {source: s, tolerance: 1, values: [[50], [51], [52]]}
  - {name: size, rows: size}
"""
)


def test_a_table_of_a_one_at_a_time_design_has_the_base_and_its_own_levels() -> None:
    made = expansion(ONE)
    shares = {"base": 0.5, "0.1": 0.51, "0.2": 0.52, "16": 0.9, "32": 0.95}
    found = {t.id: record(t.id, shares[t.cell.label]) for t in made.trials}
    by_lr, by_size = (tabulate(made, spec, found) for spec in made.spec.tables)
    for table, rows in ((by_lr, ("base", "0.1", "0.2")), (by_size, ("base", "16", "32"))):
        assert table.rows == rows
        means = [e.summary.mean for _, _, e in table.flat() if e.summary]
        assert means == pytest.approx([shares[row] for row in rows])
    assert [entry.verdict for _, _, entry in by_lr.flat()] == ["within"] * 3
    assert [entry.is_baseline for _, _, entry in by_lr.flat()] == [True, False, False]


def test_cells_that_would_share_a_place_are_refused() -> None:
    text = table_yaml().replace("columns: predictor\n", "where: {}\n").replace("rows: ema", "rows: cells")
    made = expansion(text.replace("    baseline: {ema: EMA, predictor: regular}\n", ""))
    assert len(layout(made, made.spec.tables[0]).rows) == 4
    ambiguous = made.spec.tables[0].model_copy(update={"rows": "ema"})
    with pytest.raises(UsageError, match="share a place; name the axis they differ in"):
        layout(made, ambiguous)


def test_a_baseline_that_is_not_one_cell_is_refused_before_any_result() -> None:
    made = expansion(table_yaml().replace("{ema: EMA, predictor: regular}", "{ema: EMA}"))
    with pytest.raises(UsageError, match="fits 2 of its cells"):
        layout(made, made.spec.tables[0])


def test_a_table_whose_trials_all_diverged_is_a_table_of_marks() -> None:
    made = expansion()
    diverged = {
        t.id: TrialRecord(trial_id=t.id, status="diverged", metrics={"train/loss": 3.0}) for t in made.trials
    }
    table = tabulate(made, made.spec.tables[0], diverged)
    assert all(entry.statuses == {"diverged": 2} for _, _, entry in table.flat())


# Published spreads and predictions


@pytest.mark.parametrize(("spread", "verdict"), [(0.1, "outside"), (3.0, "within")])
def test_a_gap_within_two_published_deviations_counts_as_reproduced(spread: float, verdict: str) -> None:
    extra = f"{PUBLISHED}          spread: [[null, null], [null, {spread}]]\n"
    entry = entries(made_table(extra))["No EMA", "regular"]  # 78.0 against 79.4
    assert entry.published_sd == pytest.approx(spread / 100)
    far = entries(made_table(extra.replace("79.4", "83.4")))["No EMA", "regular"]
    assert (entry.verdict, far.verdict) == ("within", verdict)


def test_a_spread_of_another_shape_than_the_values_is_refused() -> None:
    with pytest.raises(SpecError, match="as many rows and numbers as values has"):
        expansion(table_yaml(f"{PUBLISHED}          spread: [[1.0]]\n"))


def test_a_spread_is_not_negative_and_stands_beside_a_value() -> None:
    for spread, message in (("-1.0", "greater than or equal to 0"), ("1.0", "where values has null")):
        published = PUBLISHED.replace("79.4", "null")
        with pytest.raises(SpecError, match=message):
            expansion(table_yaml(f"{published}          spread: [[null, null], [null, {spread}]]\n"))


def test_a_prediction_holds_where_every_column_goes_its_way() -> None:
    clear = {f"EMA · regular · seed {s}": record("", 0.99 + s / 1000) for s in (0, 1)}
    low = {f"No EMA · regular · seed {s}": record("", 0.5 + s / 1000) for s in (0, 1)}
    steep = {f"No EMA · symmetric · seed {s}": record("", 0.2 + s / 50) for s in (0, 1)}
    table = made_table("        expected: falling\n", **clear, **low, **steep)
    assert table.prediction == "holds"
    assert "theory: falling down the rows; so is ours" in table.notes


def test_a_prediction_that_noise_alone_could_fulfil_does_not_hold() -> None:
    table = made_table("        expected: falling\n")  # regular: 0.84 and 0.84 to 0.76 and 0.80
    assert table.prediction == "undecided"
    assert any("ours is not beyond its noise (regular: EMA to No EMA)" in note for note in table.notes)


def test_a_prediction_about_nothing_does_not_hold() -> None:
    made = expansion(table_yaml("        expected: falling\n"))
    assert tabulate(made, made.spec.tables[0], {}).prediction == "incomplete"


@pytest.mark.parametrize(
    ("unit", "step"),
    [
        ("", "+67.5 points"),
        ("        unit: percent\n        digits: 2\n", "+67.50 points"),
        ("        unit: plain\n", "+0.675"),
    ],
)
def test_a_prediction_fails_with_the_step_that_goes_the_other_way_in_the_unit_of_its_table(
    unit: str, step: str
) -> None:
    low = {f"EMA · regular · seed {s}": record("", 0.1 + s / 100) for s in (0, 1)}
    table = made_table(f"        expected: falling\n{unit}", **low)
    assert table.prediction == "fails"
    assert any(f"ours does not (regular: EMA to No EMA, {step})" in note for note in table.notes)


def test_a_step_within_its_noise_does_not_decide_a_prediction() -> None:
    noisy = {"EMA · regular · seed 0": record("", 0.5), "EMA · regular · seed 1": record("", 0.9)}
    table = made_table("        expected: falling\n", **noisy)
    assert table.prediction == "undecided"
    said = "ours is undecided by a step the other way, within its noise (regular: EMA to No EMA"
    assert any(said in note for note in table.notes)


def test_one_seed_of_anything_random_neither_fulfils_a_prediction_nor_breaks_it() -> None:
    made = expansion(table_yaml("        expected: falling\n"), seeds=[0])
    for step in (0.01, -0.3):
        records = {t.id: record(t.id, 0.8 + step * t.cell.label.startswith("No EMA")) for t in made.trials}
        table = tabulate(made, made.spec.tables[0], records)
        assert table.prediction == "undecided" and not any("so is ours" in note for note in table.notes)
        assert step < 0 or any("one seed tells it from no noise" in note for note in table.notes)


def test_of_a_table_of_trials_that_draw_nothing_one_seed_decides_whatever_else_its_sweep_has() -> None:
    text = """
    version: 1
    name: mixed
    base: {trainer: modes}
    axes:
      of: {modes: {}, matrices: {trainer: linear_dynamics}}
      η: {path: eta, values: [0.1, 0.2]}
    tables:
      - {name: one, rows: η, where: {of: modes}, metric: modes/s, expected: falling}
      - {name: both, rows: η, columns: of, metric: modes/s, expected: falling}
    """
    made = expansion(textwrap.dedent(text))
    records = {t.id: record(t.id, None, metrics={"modes/s": 1 - t.cell.config().eta}) for t in made.trials}
    assert [tabulate(made, one, records).prediction for one in made.spec.tables] == ["holds", "undecided"]


def test_a_result_that_a_search_has_ended_early_is_a_gap_in_a_table() -> None:
    cut = {f"EMA · symmetric · seed {s}": record("", 0.1, status="pruned") for s in (0, 1)}
    table = made_table("        expected: falling\n", **cut)
    entry = next(one for _, _, one in table.flat() if one.cell and one.cell.label == "EMA · symmetric")
    assert entry.values == {} and entry.statuses == {"pruned": 2} and table.prediction == "incomplete"


def test_a_prediction_waits_for_every_cell() -> None:
    table = made_table("        expected: falling\n", **{EMA_SYMMETRIC_0: None})
    assert table.prediction == "incomplete"


def test_an_axis_that_does_not_apply_where_a_table_looks_need_not_be_named() -> None:
    text = yaml(
        TINY,
        """
        axes:
          ema: {EMA: {method.momentum: 0.9}, No EMA: {method.momentum: 0.0}}
          ramp: {when: {ema: EMA}, levels: {constant: {}, ramped: {method.momentum_end: 1.0}}}
          lr: {when: {ema: No EMA}, path: optimizer.lr, values: [0.1, 0.2]}
        tables:
          - {name: main, rows: ramp, where: {ema: EMA}}
        """,
    )
    assert layout(expansion(text), expansion(text).spec.tables[0]).rows == ("constant", "ramped")
    with pytest.raises(SpecError, match="axis 'lr' is neither in rows"):
        expansion(text.replace("where: {ema: EMA}", "where: {ema: No EMA}"))


def test_what_a_theory_says_is_not_called_published() -> None:
    theory = PUBLISHED.replace("source: a paper, Table 1", 'what: theory\n          source: "in closed form"')
    written = made_table(theory).written("text")
    assert "published" not in written and written.count("theory") >= 4
    assert "theory: in closed form" in written and "at most 1.5 points from theory's number" in written


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        ([0], "seed 0"),
        ([0, 1, 2], "seeds 0-2"),
        ([0, 3, 7], "seeds 0, 3, 7"),
        ([7, 0], "seeds 0, 7"),
        ([0, 1, 2, 5], "seeds 0-2, 5"),
        ([2, 0, 1], "seeds 0-2"),
    ],
)
def test_a_table_names_the_seeds_it_has_and_no_other(seeds: list[int], said: str) -> None:
    made = expansion(seeds=seeds)
    assert f"({said})" in tabulate(made, made.spec.tables[0], {}).written("text")
