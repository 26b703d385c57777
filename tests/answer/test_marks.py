"""Marks belong to their own metric, are fields for programs, and may be words."""

from __future__ import annotations

import csv
import io
import json

import pytest

from orchestrator.answer import publish
from orchestrator.answer.comparison.cells import compare
from orchestrator.answer.comparison.precision import aimed
from orchestrator.answer.formats import text_of
from orchestrator.answer.formats.json import event
from orchestrator.answer.tables import Table, tabulate
from orchestrator.planning.expand import Expansion
from orchestrator.records import TrialRecord
from tests.answer.report.test_report import told
from tests.answer.test_best import LEVELS, WOBBLE, apart, marked
from tests.answer.test_best import made as best_table
from tests.answer.test_evaluation_columns import asked as evaluated
from tests.answer.test_tables import EMA_SYMMETRIC_0, made_table
from tests.builders import AXES, TINY, expansion, record, table_yaml, yaml

TWO = """
    metric:
      - {metric: probe/top1, best: highest}
      - {metric: train/loss, best: highest, unit: percent}
"""


def two_metrics(seeds: int = 9) -> tuple[Expansion, dict[str, TrialRecord]]:
    """A sweep whose second metric is best where the first is worst."""
    made = expansion(table_yaml(TWO), seeds=range(seeds))
    values = {one.id: apart(one.cell.label, one.seed) for one in made.trials}
    return made, {
        i: record(i, None, metrics={"probe/top1": v, "train/loss": 1 - v}) for i, v in values.items()
    }


def test_each_metric_marks_its_own_best_and_its_own_differences() -> None:
    made, records = two_metrics()
    first, second = tabulate(made, made.spec.tables[0], records).parts
    assert (marked(first), marked(second)) == (["EMA · symmetric"], ["No EMA · symmetric"])
    shown = {
        one.spec.metric: [e.against and round(e.against.mean, 1) for _, _, e in one.flat()]
        for one in (first, second)
    }
    assert shown["probe/top1"] == [0.1, None, -0.5, -0.2] and shown["train/loss"] == [-0.1, None, 0.5, 0.2]


def test_differences_of_a_further_metric_alone_have_their_legend() -> None:
    made, records = two_metrics(seeds=2)
    bare = {
        i: record(i, None, metrics={"train/loss": one.metrics["train/loss"]}, status="collapsed")
        for i, one in records.items()
    }
    some = {i: one if n else records[i] for n, (i, one) in enumerate(bare.items())}
    text = text_of("text", tabulate(made, made.spec.tables[0], some))
    assert "Δ: difference from" in text and "† collapsed" in text


def test_an_evaluation_is_best_where_it_is_highest_whatever_the_first_metric_is() -> None:
    made = evaluated("columns: evaluations, metric: train/loss, best: lowest")
    values = {one.id: apart(one.cell.label, one.seed) for one in made.trials}
    records = {i: record(i, None, metrics={"train/loss": -v, "near/top1": v}) for i, v in values.items()}
    parts = tabulate(made, made.spec.tables[0], records).parts
    assert [marked(one) for one in parts] == [
        ["EMA · symmetric · train/loss"],
        ["EMA · symmetric · near: knn"],
    ]


def test_a_report_decides_each_metric_by_itself() -> None:
    made, records = two_metrics()
    (table,) = told(made, records).tables
    assert (
        "probe/top1: Different at 5 %" in table.decision and "train/loss: Different at 5 %" in table.decision
    )


def test_a_comparison_has_the_unit_that_the_table_gives_a_further_metric() -> None:
    made, records = two_metrics()
    found = compare(made, records, "ema=EMA,predictor=regular", metric="train/loss")
    assert found.of.in_percent and found.of.metric == "train/loss"


def test_programs_read_the_mark_of_the_best_in_a_last_field() -> None:
    table = best_table(apart)
    wanted = {("EMA", "symmetric"): True, ("EMA", "regular"): False}
    entries = json.loads(text_of("json", table))["entries"]
    assert [list(one)[-1] for one in entries] == ["best"] * 4
    assert wanted.items() <= {(one["row"], one["column"]): one["best"] for one in entries}.items()
    assert json.loads(event(table))["entries"] == entries
    rows = list(csv.DictReader(io.StringIO(text_of("csv", table))))
    assert list(rows[0])[-1] == "best"
    found = {(one["row"], one["column"]): json.loads(one["best"]) for one in rows}
    assert found == {(one["row"], one["column"]): one["best"] for one in entries}
    assert dict(table.frame()["best"]) == found


def test_ties_are_fields_too_and_an_undecided_table_has_no_best() -> None:
    def tied(label: str, seed: int) -> float:
        shift = WOBBLE[(seed + 3 * list(LEVELS).index(label)) % 9]
        return (0.8 if label.startswith("EMA") else LEVELS[label]) + shift

    best = [one["best"] for one in json.loads(text_of("json", best_table(tied)))["entries"]]
    assert best == [True, True, False, False]
    few = json.loads(text_of("json", best_table(apart, seeds=3)))["entries"]
    assert {one["best"] for one in few} == {False}


def test_a_table_that_marks_no_best_has_the_fields_that_it_had() -> None:
    assert '"best"' not in text_of("json", made_table()) and "best" not in text_of("csv", made_table())
    made, records = two_metrics()
    one = made.spec.tables[0].model_copy(update={"best": None})
    rows = list(csv.DictReader(io.StringIO(text_of("csv", tabulate(made, one, records)))))
    assert {one["best"] for one in rows if one["metric"] == "probe/top1"} == {""}
    assert {one["best"] for one in rows if one["metric"] == "train/loss"} == {"true", "false"}


def gaps(extra: str = "") -> Table:
    ended = {
        EMA_SYMMETRIC_0: None,
        "No EMA · symmetric · seed 0": record("", 0.1, status="collapsed"),
        "No EMA · symmetric · seed 1": record("", 0.1, status="collapsed"),
        "No EMA · regular · seed 0": record("", None, status="diverged"),
        "EMA · regular · seed 1": record("", 0.5, collapse="dimensional"),
    }
    return made_table(extra, **ended)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["text", "md", "html", "tex"])
def test_marks_may_be_words_in_every_format_for_people(form: str) -> None:
    text = text_of(form, gaps("marks: words\n"))
    for words in ("all 2 collapsed", "1 of 2 diverged", "1 of 2 missing", "1 of 2 dimensional collapse"):
        assert words in text
    assert not any(sign in text for sign in ("†", "‡", r"\dagger", "behind a mark"))


def test_signs_stay_where_nobody_asks_for_words() -> None:
    assert text_of("text", gaps()) == text_of("text", gaps("marks: signs\n"))
    assert "†" in text_of("text", gaps()) and "1 of 2" not in text_of("text", gaps()).partition("\n  ")[0]


def test_words_change_nothing_for_programs_nor_what_a_summary_was_made_of() -> None:
    for form in ("json", "csv"):
        assert text_of(form, gaps()) == text_of(form, gaps("marks: words\n"))
    plain, words = (expansion(table_yaml(extra)) for extra in ("", "marks: words\n"))
    assert publish.content(plain, {}) != publish.content(words, {})


def test_a_single_trial_needs_no_number() -> None:
    made = expansion(table_yaml("marks: words\n"), seeds=[0])
    records = {one.id: record(one.id, 0.1, status="collapsed") for one in made.trials}
    assert "10.0 (n=1); collapsed" in text_of("text", tabulate(made, made.spec.tables[0], records))


def test_further_metrics_and_evaluations_have_words_too() -> None:
    made = evaluated("columns: evaluations, metric: [probe/top1, train/loss], marks: words", seeds=2)
    metrics = {"probe/top1": 0.1, "near/top1": 0.1, "train/loss": 0.5}
    records = {one.id: record(one.id, None, metrics=metrics, status="collapsed") for one in made.trials}
    text = text_of("text", tabulate(made, made.spec.tables[0], records))
    assert text.count("all 2 collapsed") == 4 * 3


def test_a_second_table_of_another_unit_means_the_same_width() -> None:
    axes = AXES.partition("tables:")[0].rstrip() + "\n"
    text = yaml(TINY, axes, "tables:\n  - {name: one, rows: predictor, where: {ema: EMA}}\n")
    text += "  - {name: other, rows: predictor, where: {ema: No EMA}, unit: plain, digits: 3}\n"

    def numbers(made: Expansion) -> dict[str, TrialRecord]:
        return {one.id: record(one.id, 0.5 + WOBBLE[one.seed % 9] * 3) for one in made.every_trial}

    made = aimed(expansion(text, seeds=range(3)), 1.5, 6, numbers)
    assert {len(made.seeds_of(cell)) for cell in made.cells} == {6}
    (note, *_) = tabulate(made, made.spec.tables[1], numbers(made)).notes
    assert "at most 0.015, by width" in note
