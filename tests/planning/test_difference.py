"""What an edit changes, and why a trial stands as it does."""

from __future__ import annotations

import pytest

from orchestrator.answer.explain import explanation, failures
from orchestrator.commands.screen.grid import orphans, plan_text
from orchestrator.planning.difference import compare, text
from orchestrator.planning.plan import make_plan
from orchestrator.recording.memory import MemoryStore
from orchestrator.records import TrialRecord
from tests.builders import INFO, expansion, outcome, record, table_yaml


def edited(*pairs: tuple[str, str]) -> str:
    source = table_yaml()
    for old, new in pairs:
        assert old in source
        source = source.replace(old, new)
    return source


# Differences


def test_equal_files_share_everything() -> None:
    found = compare(expansion(), expansion())
    assert (found.shared, found.removed, found.added) == (8, 0, 0)
    assert text(found) == "8 trials shared, 0 only in the first, 0 only in the second"


def test_more_seeds_and_a_level_more_are_added_and_the_rest_is_shared() -> None:
    more = edited(
        ("seeds: 2", "seeds: 3"),
        (
            "No EMA: {method.momentum: 0.0}",
            "No EMA: {method.momentum: 0.0}\n    slow: {method.momentum: 0.99}",
        ),
    )
    found = compare(expansion(), expansion(more))
    assert (found.shared, found.removed, found.added) == (8, 0, 10)
    assert found.added_seeds == (2,) and set(found.added_cells) == {"slow · symmetric", "slow · regular"}


def test_a_changed_setting_is_told_once_for_all_cells_it_changes() -> None:
    found = compare(expansion(), expansion(edited(("epochs: 2\n  probe", "epochs: 9\n  probe"))))
    assert found.shared == 0 and len(found.changed_cells) == 4
    assert text(found).splitlines()[1:] == [
        "changed   EMA · symmetric; EMA · regular; No EMA · symmetric; No EMA · regular",
        "          epochs: 2 → 9",
    ]


def test_a_renamed_level_keeps_its_trials() -> None:
    renamed = edited(
        ("  EMA: {method.momentum: 0.9}", "  slow: {method.momentum: 0.9}"), ("{ema: EMA,", "{ema: slow,")
    )
    found = compare(expansion(), expansion(renamed))
    assert (found.shared, found.added) == (8, 0)
    assert found.renamed_cells == {"EMA · symmetric": "slow · symmetric", "EMA · regular": "slow · regular"}


def test_trials_that_a_sweep_no_longer_asks_for_are_named_in_its_plan() -> None:
    before, after = expansion(), expansion(edited(("epochs: 2\n  probe", "epochs: 9\n  probe")))
    store = MemoryStore()
    for trial in before.trials[:2]:
        store.begin(trial.facts, INFO)
        store.finish(trial.id, outcome(0.5), INFO)
    now = make_plan(after, store.records([t.id for t in after.trials]))
    left = orphans(now, store.asked_for("tiny"))
    assert left == sorted(trial.label for trial in before.trials[:2])
    assert "2 in the store but not asked for here: EMA" in plan_text(now, left)
    assert orphans(make_plan(before, {}), store.asked_for("tiny")) == []


# Explanations


def explained(one: TrialRecord | None, **more: str) -> dict[str, str]:
    made = expansion()
    lines = explanation(made, made.trials[0], one, store="a store", log=more.get("log"))
    return dict(lines)


def test_an_explanation_leads_from_the_file_to_the_next_step() -> None:
    failed = record("x", None, status="failed").model_copy(
        update={"reason": "ValueError: no", "attempts": 2, "worker": "node7:12", "run": "abc"}
    )
    lines = explained(failed, log="/there/log.txt")
    assert lines["asked for"].startswith("predictor = symmetric, sweep.yaml:")
    assert lines["attempts"] == "2 attempts, the last on node7:12"
    assert (lines["cause"], lines["log"]) == ("ValueError: no", "/there/log.txt")
    assert "tries it again" in lines["next"] and "abc" in lines["store"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("code", "traceback"),
        ("data", "bring the data"),
        ("memory", "larger GPU"),
        ("worker", "node's memory"),
    ],
)
def test_the_next_step_depends_on_the_class_of_the_failure(error: str, words: str) -> None:
    assert words in explained(record("x", None, status="failed", error=error))["next"]


@pytest.mark.parametrize(
    ("status", "words"),
    [("collapsed", "not trained again"), ("diverged", "not trained again"), ("completed", "nothing to do")],
)
def test_a_result_is_not_called_an_error(status: str, words: str) -> None:
    assert words in explained(record("x", 0.5, status=status))["next"]


def test_a_trial_that_nobody_began_says_how_it_is_trained() -> None:
    lines = explained(None)
    assert lines["status"] == "missing" and "orch sweep" in lines["next"] and "attempts" not in lines


def test_failures_are_a_line_each_with_cause_node_and_log() -> None:
    made = expansion()
    one, other = made.trials[0], made.trials[1]
    records = {
        one.id: record(one.id, None, status="failed").model_copy(
            update={"reason": "ValueError: no", "worker": "node7:12"}
        ),
        other.id: record(other.id, 0.5),
    }
    assert list(failures(made.trials, records, {one.id: "/x/log.txt"})) == [
        f"{one.label} ({one.id}): ValueError: no; on node7:12; log /x/log.txt"
    ]
