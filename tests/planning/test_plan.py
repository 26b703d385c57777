from __future__ import annotations

import pytest

from orchestrator.commands.screen.grid import plan_record, plan_text, status_text
from orchestrator.planning.plan import make_plan, will_run
from tests.builders import expansion, record, table_yaml


def test_an_empty_store_leaves_everything_to_do() -> None:
    plan = make_plan(expansion(), {})
    assert (len(plan.todo), len(plan.done)) == (8, 0)


@pytest.mark.parametrize("status", ["completed", "collapsed", "diverged"])
def test_a_result_welcome_or_not_is_never_trained_again(status: str) -> None:
    made = expansion()
    plan = make_plan(made, {t.id: record(t.id, status=status) for t in made.trials})
    assert plan.todo == ()


def test_what_a_search_has_ended_early_is_its_own_result_and_trained_whole_by_a_sweep_that_compares() -> None:
    searched = table_yaml().partition("tables:")[0] + "schedule: {name: asha}\n"
    search, compares = expansion(searched), expansion()
    records = {t.id: record(t.id, status="pruned") for t in search.trials}
    assert records.keys() == {t.id for t in compares.trials}
    assert make_plan(search, records).todo == ()
    plan = make_plan(compares, records)
    assert len(plan.todo) == 8 and plan.anew == records.keys()
    assert "8 that a search ended early are trained whole" in will_run(plan, "store")
    assert "8 that a search ended early are trained whole" in plan_text(plan)


def test_of_what_runs_anew_or_was_edited_only_what_runs_now_is_counted() -> None:
    made = expansion()
    plan = make_plan(made, {t.id: record(t.id) for t in made.trials})._with_anew(
        frozenset(trial.id for trial in made.trials)
    )
    plan = plan._replace(edited={trial.id: ["my.py"] for trial in made.trials}, todo=made.trials[:3])
    said = will_run(plan, "store")
    assert said.startswith("3 trials will run, 0 done, 3 of them anew, my.py changed since 3 trials;")


@pytest.mark.parametrize("status", ["failed", "running", "stopped"])
def test_what_did_not_end_is_to_do_again(status: str) -> None:
    made = expansion()
    plan = make_plan(made, {t.id: record(t.id, status=status) for t in made.trials})
    assert len(plan.todo) == 8


def test_more_seeds_need_only_the_new_ones() -> None:
    done = {t.id: record(t.id) for t in expansion().trials}
    plan = make_plan(expansion(seeds=range(5)), done)
    assert {trial.seed for trial in plan.todo} == {2, 3, 4}
    assert len(plan.todo) == 12


def test_an_added_level_needs_only_its_trials() -> None:
    done = {t.id: record(t.id) for t in expansion().trials}
    more = table_yaml().replace(
        "    No EMA: {method.momentum: 0.0}",
        "    No EMA: {method.momentum: 0.0}\n    Fast: {method.momentum: 0.5}",
    )
    plan = make_plan(expansion(more), done)
    assert {dict(trial.cell.choice)["ema"] for trial in plan.todo} == {"Fast"}
    assert len(plan.todo) == 4


def test_renaming_a_level_or_the_sweep_trains_nothing_again() -> None:
    done = {t.id: record(t.id) for t in expansion().trials}
    renamed = table_yaml().replace("No EMA", "without").replace("name: tiny", "name: other")
    assert make_plan(expansion(renamed), done).todo == ()


def test_a_dimensional_collapse_shows_in_the_status_with_its_evidence() -> None:
    made, evidence = expansion(), "embedding effective rank 1.2 is below 0.1 of d = 16"
    records = {t.id: record(t.id) for t in made.trials}
    flat = made.trials[0]
    records[flat.id] = record(flat.id, collapse="dimensional", reason=evidence)
    text = status_text(make_plan(made, records))
    assert f"° {flat.label} ({flat.id}): {evidence}" in text
    assert "° dimensional collapse" in text and "8 completed" in text


def test_programs_are_told_which_cells_have_seeds_of_their_own() -> None:
    more = "cell_seeds: [{where: {ema: No EMA, predictor: regular}, seeds: 0-3}]\n"
    more += "exclude: [{cell: {ema: EMA, predictor: regular}, seed: 1, reason: broken}]\n"
    told = plan_record(make_plan(expansion(table_yaml() + more), {}))
    assert told["seeds"] == [0, 1]
    assert told["cell_seeds"] == [
        {"cell": "EMA · regular", "seeds": [0]},
        {"cell": "No EMA · regular", "seeds": [0, 1, 2, 3]},
    ]
    assert sum(len(one["seeds"]) for one in told["cell_seeds"]) + 2 * 2 == told["trials"] == len(told["todo"])
    assert plan_record(make_plan(expansion(), {}))["cell_seeds"] == []
