"""A table with a column for each evaluation, together with everything else that a table may have."""

from __future__ import annotations

import csv
import io

import pytest

from orchestrator.answer import publish
from orchestrator.answer.comparison.beside import with_others
from orchestrator.answer.comparison.precision import grown
from orchestrator.answer.formats import text_of
from orchestrator.answer.tables import tabulate
from orchestrator.planning.expand import Aim, Expansion
from orchestrator.records import Imported, Origin, TrialRecord
from tests.builders import AXES, TINY, expansion, record, yaml

EVALUATIONS = "evaluations:\n  near: {name: knn, knn.k: 3}\n"


def asked(more: str, seeds: int = 9) -> Expansion:
    axes = AXES.partition("tables:")[0].rstrip()
    table = f"tables:\n  - {{name: all, rows: cells, {more}}}\n"
    return expansion(yaml(TINY, axes + "\n", EVALUATIONS, table), seeds=range(seeds))


def records(made: Expansion, near: float = 0.3) -> dict[str, TrialRecord]:
    def metrics(seed: int) -> dict[str, float]:
        return {"probe/top1": 0.5 + seed / 100, "near/top1": near + seed / 100, "train/loss": -1.5}

    return {one.id: record(one.id, None, metrics=metrics(one.seed)) for one in made.trials}


def others(made: Expansion) -> list[TrialRecord]:
    found = []
    for cell in made.cells:
        levels = {axis: str(level) for axis, level in cell.choice}
        origin = Imported(
            sweep="tiny", levels=levels, seed=0, source="theirs", file="f", sha256="0" * 64, date="2026-01-31"
        )
        metrics = {"probe/top1": 0.9, "near/top1": 0.7, "train/loss": -9.0}
        found.append(record(cell.trial_id(0), None, metrics=metrics, imported=origin.model_dump()))
    return found


@pytest.mark.parametrize("more", ["columns: evaluations", "metric: [probe/top1, near/top1]"])
@pytest.mark.parametrize("form", ["text", "md", "html", "tex", "json", "csv"])
def test_what_others_measured_stands_beside_each_of_a_tables_metrics(more: str, form: str) -> None:
    made = asked(more)
    table = with_others(tabulate(made, made.spec.tables[0], records(made)), others(made))
    text = text_of(form, table)
    shown = ("0.9", "0.7") if form in ("json", "csv") else ("90.0", "70.0")
    assert all(number in text for number in shown)


def test_an_expectation_is_judged_of_its_own_metric_alone() -> None:
    made = asked("columns: evaluations, expectations: [{cell: {ema: EMA, predictor: regular}, at_least: 45}]")
    text = text_of("text", tabulate(made, made.spec.tables[0], records(made)))
    assert text.count("expected:") == 1 and "holds" in text and "does not hold" not in text


def test_programs_read_which_metric_an_evaluation_is() -> None:
    made = asked("columns: evaluations, metric: train/loss")
    lines = csv.DictReader(io.StringIO(text_of("csv", tabulate(made, made.spec.tables[0], records(made)))))
    assert {(one["metric"], one["unit"], one["column"]) for one in lines} == {
        ("train/loss", "plain", "train/loss"),
        ("near/top1", "share", "near: knn"),
    }


def test_seeds_are_added_for_the_first_metric_of_such_a_table() -> None:
    made = asked("columns: evaluations", seeds=3)._replace(aim=Aim(0.5, 10, "probe/top1"))
    larger = grown(made, records(made))
    assert larger is not None and len(larger.trials) > len(made.trials)


def test_the_summary_is_made_again_when_an_evaluation_changes() -> None:
    made = asked("columns: evaluations", seeds=2)
    assert publish.content(made, records(made)) != publish.content(made, records(made, near=0.4))


def differing(made: Expansion) -> dict[str, TrialRecord]:
    """Records of trials that one code has trained, whose evaluations two have made, on two kinds of data."""
    found = {}
    for number, (i, one) in enumerate(records(made).items()):
        new = {"code_version": "new", "data_fingerprint": "b" * 12, "source": {"measures/knn": "2"}}
        old = {"code_version": "old", "data_fingerprint": "a" * 12, "source": {"measures/knn": "1"}}
        own = Origin(**(new if number == 0 else old))
        found[i] = one.model_copy(update={"code_version": "one", "evaluations": {"near": own}})
    return found


@pytest.mark.parametrize(
    "more", ["columns: evaluations", "metric: [probe/top1, near/top1]", "metric: near/top1"]
)
def test_a_table_says_which_evaluations_other_code_or_data_has_made(more: str) -> None:
    made = asked(more, seeds=2)
    first = made.trials[0].label
    text = text_of("text", tabulate(made, made.spec.tables[0], differing(made)))
    assert text.count("evaluation near: evaluated by different code versions: new, old") == 1
    assert f"evaluation near: measures/knn changed between trials: {first} 2; the others 1" in text
    told = f"evaluation near: evaluated on different data although no axis sets it: {first} bbbbbbbbbbbb"
    assert told in text and "trained by" not in text


def test_a_table_without_evaluations_says_nothing_of_theirs() -> None:
    made = asked("metric: probe/top1", seeds=2)
    assert "evaluation" not in text_of("text", tabulate(made, made.spec.tables[0], differing(made)))
