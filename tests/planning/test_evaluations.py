"""Evaluations are found by what people call them, and those of a cell are known as such."""

from __future__ import annotations

import hashlib

import pytest

from orchestrator.errors import UsageError
from orchestrator.planning.evaluations import Evaluations, evaluated, evaluations
from orchestrator.planning.expand import Expansion
from orchestrator.planning.find import find_evaluations
from orchestrator.planning.plan import encoder_notes, make_plan
from orchestrator.records import Origin, TrialRecord
from tests.builders import TINY, expansion, record, yaml

CELLS = """
    axes:
      ema: {EMA: {method.momentum: 0.9}, No EMA: {method.momentum: 0.0}}
    evaluations:
      near: {name: knn, knn.k: 3}
      few: {name: linear, labels: 0.2}
    seeds: 2
"""


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def kept(made: Expansion) -> dict[str, TrialRecord]:
    return {one.id: record(one.id, encoder=digest(one.id)) for one in made.trials}


@pytest.fixture
def found() -> Evaluations:
    """Those of a sweep whose first trial alone has kept no encoder."""
    made = expansion(yaml(TINY, CELLS))
    records = kept(made)
    records[made.trials[0].id] = record(made.trials[0].id)
    return evaluations(made, records)


@pytest.mark.parametrize(
    "text", ["No EMA · near", "no ema · NEAR", "ema=No EMA,evaluation=near", "evaluation=near, ema=No EMA"]
)
def test_an_evaluation_is_found_by_cell_and_name(found: Evaluations, text: str) -> None:
    assert [one.label for one in find_evaluations(found, text)] == [
        "No EMA · near · seed 0",
        "No EMA · near · seed 1",
    ]


def test_an_evaluation_is_found_by_the_start_of_its_id(found: Evaluations) -> None:
    one = found.expansion.trials[2]
    assert [named.id for named in find_evaluations(found, one.id[:8])] == [one.id]


def test_the_evaluations_of_a_single_cell_are_found_with_and_without_its_name() -> None:
    made = expansion(yaml(TINY, CELLS.replace(CELLS.splitlines()[2] + "\n", "").replace("    axes:\n", "")))
    found = evaluations(made, kept(made))
    assert find_evaluations(found, "near") == find_evaluations(found, "base · near") != []


def test_an_id_that_is_none_yet_finds_nothing(found: Evaluations) -> None:
    (waiting,) = [one for one, of in found.every if of.label == "EMA · seed 0" and "near" in one.label]
    assert waiting.id not in found.parents and find_evaluations(found, waiting.id) == []
    assert waiting in find_evaluations(found, "EMA · near")


def test_levels_alone_name_no_evaluation_and_a_name_alone_several(found: Evaluations) -> None:
    assert find_evaluations(found, "ema=EMA") == find_evaluations(found, "EMA") == []
    with pytest.raises(UsageError, match="'evaluation=few' fits 2 evaluations: EMA · few; No EMA · few"):
        find_evaluations(found, "evaluation=few")


def test_of_cells_whose_encoders_are_not_there_yet_none_stands_for_the_others() -> None:
    made = expansion(yaml(TINY, CELLS), seeds=[0])
    with pytest.raises(UsageError, match="'evaluation=few' fits 2 evaluations: EMA · few; No EMA · few"):
        find_evaluations(evaluations(made, {}), "evaluation=few")


def test_an_evaluation_knows_the_trial_that_it_is_of(found: Evaluations) -> None:
    for one, of in found.every:
        assert found.parent_of(one) == of and of.id in {trial.id for trial in found.sweep.trials}
    assert {one.label for one in found.of(found.sweep.trials[:1])} == {
        "EMA · near · seed 0",
        "EMA · few · seed 0",
    }


def test_encoders_that_are_not_there_are_told_in_a_line_with_what_makes_them() -> None:
    made = expansion(yaml(TINY, CELLS))
    records = kept(made)
    records[made.trials[0].id] = record(made.trials[0].id)
    last = made.trials[-1]
    bare, lost = encoder_notes(make_plan(made, records)._replace(lost={last.id: "is not in a store"}))
    assert bare.startswith("1 trial was trained without keeping its encoder, so it is not evaluated; ")
    assert lost.startswith(f"the encoder of No EMA · seed 1 ({last.id}) is not in a store; ")
    assert all(
        "--keep encoder --retrain-unkept" in line and line.endswith("it anew") for line in (bare, lost)
    )


def test_a_lost_encoder_is_trained_again_only_if_that_is_asked_for() -> None:
    made = expansion(yaml(TINY, CELLS))
    plan = make_plan(made, kept(made))._replace(lost={made.trials[1].id: "is damaged"})
    assert plan.todo == () and plan.unkept == ()
    anew = plan.with_unkept_anew()
    assert [trial.id for trial in anew.todo] == [made.trials[1].id] and anew.anew == {made.trials[1].id}


def test_a_trial_knows_which_code_and_data_its_evaluations_are_from() -> None:
    made = expansion(yaml(TINY, CELLS))
    trained = kept(made)
    own = evaluations(made, trained).expansion.trials[0]
    result = record(
        own.id, None, metrics={"evaluation/top1": 0.5}, code_version="v2", data_fingerprint="d" * 12
    )
    there = evaluated(made, trained, lambda ids: {own.id: result})
    (found,) = [one for one in there.values() if one.evaluations]
    assert found.evaluations["near"] == Origin(code_version="v2", data_fingerprint="d" * 12)
    assert (
        found.model_dump()
        == trained[found.trial_id].model_copy(update={"metrics": found.metrics}).model_dump()
    )  # no store keeps it with the trial
