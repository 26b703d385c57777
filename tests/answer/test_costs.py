"""Hours that cells have cost."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection
from typing import Any

import pytest

from orchestrator.answer.comparison.costs import Cost, costs
from orchestrator.commands.screen.cost import written
from orchestrator.errors import UsageError
from orchestrator.planning.expand import Expansion
from orchestrator.recording.trial_files import seconds_in, to_npz
from orchestrator.records import Curves
from tests.builders import expansion, table_yaml

EPOCHS = to_npz(Curves(metrics={"time/epoch_s": ((1, 3600.0), (2, 1800.0))}))


def told(made: Expansion, **facts: Any) -> tuple[list[Cost], Cost]:
    """Costs of trials that each have taken an hour, or what `facts` say."""

    def files(ids: Collection[str]) -> dict[str, dict[str, bytes]]:
        said = json.dumps({"trial": {"wall_s": 3600, "device": "cpu"} | facts}).encode()
        return {one: {"provenance.json": said, "spectra.npz": EPOCHS} for one in ids}

    return costs(made, [one.id for one in made.every_trial], files, seconds_in)


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
    rows, total = costs(made, [one.id for one in made.trials], lambda ids: {}, seconds_in)
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
