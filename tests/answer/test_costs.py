"""Hours that cells have cost."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection
from typing import Any, NoReturn

import pytest

from orchestrator.answer.comparison.costs import Cost, costs, together
from orchestrator.commands.screen.cost import written
from orchestrator.errors import UsageError
from orchestrator.planning.expand import Expansion
from orchestrator.recording.memory import MemoryStore
from orchestrator.recording.mlflow.tags import end_tags, record_from
from orchestrator.recording.trial_files import seconds_in, to_npz
from orchestrator.records import Curves, TrialRecord
from tests.builders import INFO, expansion, outcome, record, table_yaml

EPOCHS = to_npz(Curves(metrics={"time/epoch_s": ((1, 3600.0), (2, 1800.0))}))


def told(made: Expansion, **facts: Any) -> tuple[list[Cost], Cost]:
    """Costs of trials that each have taken an hour, or what `facts` say."""

    def files(ids: Collection[str], names: Collection[str]) -> dict[str, dict[str, bytes]]:
        said = json.dumps({"trial": {"wall_s": 3600, "device": "cpu"} | facts}).encode()
        beside = {"provenance.json": said, "spectra.npz": EPOCHS, "curves.png": b""}
        return {one: {name: beside[name] for name in names} for one in ids}

    return costs(made, known(made), files, seconds_in)


def known(made: Expansion, **more: Any) -> dict[str, TrialRecord]:
    """Records of its trials, as earlier versions wrote them unless `more` is said."""
    return {one.id: record(one.id, **more) for one in made.every_trial}


def test_a_cell_costs_what_its_trials_took_and_the_sum_is_all_of_them() -> None:
    rows, total = told(expansion())
    assert (rows[0].name, rows[0].trials, rows[0].hours) == ("EMA · symmetric", 2, 2.0)
    assert (total.trials, total.timed, total.hours, total.gpu_hours) == (8, 8, 8.0, 0.0)


def test_gpu_hours_are_of_the_share_that_a_trial_has() -> None:
    made = expansion(table_yaml() + "resources: {gpus: 0.25}\n")
    assert told(made, device="NVIDIA H100")[1].gpu_hours == 2.0
    assert told(expansion(), device="NVIDIA H100")[1].gpu_hours == 8.0


def test_a_trial_that_was_resumed_costs_all_its_epochs_and_one_that_diverged_those_it_had() -> None:
    assert told(expansion(), resumed_at_epoch=1, wall_s=60)[1].hours == 8 * 1.5
    assert told(expansion(), wall_s=None)[1].hours == 8 * 1.5


@pytest.mark.parametrize("wall", [1e308, -5, "long", float("nan")])
def test_a_time_that_nothing_takes_is_none(wall: object) -> None:
    assert told(expansion(), wall_s=wall)[1].hours == 8 * 1.5


def test_a_trial_that_two_cells_share_is_paid_once_and_one_that_does_not_count_is_paid_too() -> None:
    text = table_yaml().replace("{method.momentum: 0.0}", "{method.momentum: 0.9}")
    rows, total = told(expansion(text))
    assert (sum(one.trials for one in rows), total.trials) == (8, 4)
    assert "count in each of them, and once in the sum" in written(
        rows, total, "text", sweep="tiny", profile=None
    )
    out = "exclude: [{cell: {ema: EMA, predictor: regular}, seed: 1, reason: broken}]\n"
    assert told(expansion(table_yaml() + out))[1].trials == 8


def test_what_has_no_time_is_told_and_not_guessed() -> None:
    made = expansion()
    rows, total = costs(made, known(made), lambda ids, names: {}, seconds_in)
    assert (total.trials, total.timed) == (8, 0)
    assert "8 trials have told no time" in written(rows, total, "text", sweep="tiny", profile=None)
    assert seconds_in(b"no zip") is None


def test_programs_read_hours() -> None:
    rows, total = told(expansion())
    lines = list(csv.DictReader(io.StringIO(written(rows, total, "csv", sweep="tiny", profile="laptop"))))
    assert [float(one["hours"]) for one in lines] == [2.0] * 4
    assert json.loads(written(rows, total, "json", sweep="tiny", profile=None))["all"]["hours"] == 8.0
    with pytest.raises(UsageError, match="no format 'md'"):
        written(rows, total, "md", sweep="tiny", profile=None)


def test_times_that_records_have_are_asked_of_no_file() -> None:
    def nothing(ids: Collection[str], names: Collection[str]) -> NoReturn:
        raise AssertionError(ids)

    made = expansion(table_yaml() + "resources: {gpus: 0.25}\n")
    _, total = costs(made, known(made, spent_s=3600.0, on_gpu=True), nothing, seconds_in)
    assert (total.timed, total.hours, total.gpu_hours) == (8, 8.0, 2.0)


@pytest.mark.parametrize(
    ("details", "spent"),
    [
        ({"wall_s": 12.5, "device": "cpu"}, (12.5, False)),
        ({"wall_s": 12, "device": "NVIDIA H100"}, (12.0, True)),
        ({"wall_s": 12.5, "resumed_at_epoch": 3}, (None, False)),  # not all that it took
        ({}, (None, False)),
        ({"wall_s": "3 s"}, (None, False)),
        ({"wall_s": float("nan")}, (None, False)),
    ],
)
def test_a_record_has_the_time_of_a_trial_that_went_through_at_once(
    details: dict[str, Any], spent: tuple[float | None, bool]
) -> None:
    trial, store = expansion().trials[0], MemoryStore()
    store.begin(trial.facts, INFO)
    store.finish(trial.id, outcome(details=details), INFO)
    tags = end_tags(trial.id, outcome(details=details), INFO)
    read = record_from(trial.id, run="1", state="FINISHED", tags=tags, metrics={})
    for one in (store.records([trial.id])[trial.id], read):
        assert (one.spent_s, one.on_gpu) == spent


def test_a_cell_that_begins_like_a_formula_is_text_for_a_spreadsheet() -> None:
    rows, total = [Cost("=1+1", 1, 1, 1.0, 0.0)], Cost("all", 1, 1, 1.0, 0.0)
    (line,) = csv.DictReader(io.StringIO(written(rows, total, "csv", sweep="tiny", profile=None)))
    assert (line["cell"], line["profile"], line["hours"]) == ("'=1+1", "", "1.0")


def test_trials_and_evaluations_are_paid_together() -> None:
    first, second = Cost("all", 4, 3, 2.0, 0.5), Cost("all", 2, 2, 0.25, 0.25)
    assert together(first, second) == Cost("all", 6, 5, 2.25, 0.75)
