"""A table of several metrics."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator.answer import publish
from orchestrator.answer.formats import text_of
from orchestrator.answer.formats._latex import tex_text
from orchestrator.answer.tables import Table, tabulate
from orchestrator.errors import SpecError
from orchestrator.language.table_spec import TableSpec, asked_table
from tests.builders import expansion, record, table_yaml
from trainers.measures.catalogue import METRICS

SEVERAL = "    metric: [probe/top1, {metric: knn/top1, digits: 2}, train/loss]\n"


def made(extra: str = SEVERAL) -> Table:
    asked = expansion(table_yaml(extra.replace("    ", "", 1)))
    records = {
        one.id: record(
            one.id, None, metrics={"probe/top1": 0.5 + seed / 100, "knn/top1": 0.25, "train/loss": -1.5}
        )
        for one in asked.trials
        for seed in [one.seed]
    }
    return tabulate(asked, asked.spec.tables[0], records)


def test_each_metric_has_its_columns_with_its_own_unit_and_digits() -> None:
    lines = text_of("text", made()).splitlines()
    assert lines[0] == "tiny, table main: probe/top1 in %, knn/top1 in %, train/loss"
    places = [lines[2].index(f"symmetric · {one}") for one in ("probe/top1", "knn/top1", "train/loss")]
    assert places == sorted(places)
    row = next(line for line in lines if line.startswith("No EMA"))
    assert "50.5 ± 0.7" in row and "25.00 ± 0.00" in row and "-1.500 ± 0.000" in row


def test_every_format_has_every_metric() -> None:
    table = made()
    for form in ("text", "md", "html", "tex"):
        assert "knn/top1" in text_of(form, table) and "1.500 " in text_of(form, table)
    rows = list(csv.DictReader(io.StringIO(text_of("csv", table))))
    assert [one["metric"] for one in rows] == ["probe/top1"] * 8 + ["knn/top1"] * 8 + ["train/loss"] * 8
    assert {one["unit"] for one in rows if one["metric"] == "train/loss"} == {"plain"}
    told = json.loads(text_of("json", table))
    assert (told["metric"], [one["metric"] for one in told["further"]]) == (
        "probe/top1",
        ["knn/top1", "train/loss"],
    )
    frame = table.frame()
    assert len(frame) == 12 and not frame.index.duplicated().any()


def test_a_caption_in_latex_has_the_words_of_each_metric_and_no_part_of_another() -> None:
    spec = TableSpec.model_validate(
        {"name": "main", "rows": "ema", "columns": "predictor", "metric": ["Wp/slope", "Wp/slope_r"]}
    )
    asked = expansion(table_yaml())
    values = {"Wp/slope": 0.5, "Wp/slope_r": 0.9}
    table = tabulate(asked, spec, {one.id: record(one.id, None, metrics=values) for one in asked.trials})
    words = ", ".join(METRICS[name].words for name in values)
    assert rf"\caption{{{tex_text(f'tiny, table main: {words}')}. " in text_of("tex", table)


def test_a_table_of_one_metric_is_as_it_was() -> None:
    assert text_of("json", made("    metric: probe/top1\n")) == text_of(
        "json", made("    metric: [probe/top1]\n")
    )
    assert "further" not in json.loads(text_of("json", made("    metric: probe/top1\n")))


def test_a_list_of_metrics_survives_being_written_and_read() -> None:
    spec = made().spec
    assert TableSpec.model_validate(spec.model_dump(mode="json", exclude_defaults=True)) == spec
    assert asked_table([spec], None, metric="knn/top1", rows=(), columns=()).metrics == ("knn/top1",)


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("[]", "or a list of different ones"),
        ("[probe/top1, probe/top1]", "or a list of different ones"),
        ("[probe/top1, knn/topl]", "no trial reports 'knn/topl'"),
        ("[probe/top1, {metrics: knn/top1}]", "or a list of different ones"),
    ],
)
def test_a_wrong_list_is_told(metric: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        expansion(table_yaml(f"metric: {metric}\n"))


@pytest.mark.parametrize("more", [{"digits": 3}, {"also": [{"metric": "knn/top1"}]}])
def test_what_is_said_of_a_table_and_of_its_first_metric_is_told_and_not_left_out(
    more: dict[str, Any],
) -> None:
    table: dict[str, Any] = {
        "name": "main",
        "rows": "cells",
        "metric": [{"metric": "probe/top1", "digits": 2}],
    }
    assert TableSpec.model_validate(table).digits == 2
    with pytest.raises(ValidationError, match=f"{next(iter(more))}: said of the table and under metric"):
        TableSpec.model_validate(table | more)


def test_the_summary_is_made_again_when_any_of_its_metrics_changes() -> None:
    asked = expansion(table_yaml("metric: [probe/top1, knn/top1]\n"))
    first, second = (
        {one.id: record(one.id, None, metrics={"probe/top1": 0.5, "knn/top1": k}) for one in asked.trials}
        for k in (0.1, 0.2)
    )
    assert publish.content(asked, first) != publish.content(asked, second)


OWN = """    metric:
  - probe/top1
  - metric: knn/top1
    digits: 2
    published: {source: a benchmark, tolerance: 1.5, values: [[25, 40], [null, 25]]}
    expected: rising
    expectations: [{cell: {ema: EMA, predictor: regular}, at_least: 20}]
"""


def test_a_further_metric_has_published_numbers_a_direction_and_expectations_of_its_own() -> None:
    table = made(OWN)
    assert (table.prediction, table.judged, table.verdicts.total()) == (None, (), 0)
    (own,) = table.others
    assert own.prediction and own.judged[0].says == "knn/top1 of 'EMA · regular' at least 20 %"
    assert own.verdicts == {"within": 2, "outside": 1}
    text = text_of("text", table)
    assert "published: a benchmark" in text and "knn/top1: theory: rising" in text
    assert "expected: knn/top1 of 'EMA · regular' at least 20 %: undecided" in text


def test_what_is_expected_of_a_further_metric_is_checked_when_the_file_is_read() -> None:
    with pytest.raises(SpecError, match="no level 'regulr'"):
        made(OWN.replace("predictor: regular", "predictor: regulr"))
