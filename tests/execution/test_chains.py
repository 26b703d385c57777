"""Trials that start from another's encoder run after it and are given it, or are left out with a line."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Sweep
from orchestrator.errors import UsageError
from orchestrator.events import Finished, OnEvent, Started
from orchestrator.execution import drive, rounds
from orchestrator.execution.child.trials import on_the_wire
from orchestrator.execution.options import Options
from orchestrator.execution.run import SweepResult, plan_sweep
from orchestrator.planning.expand import expand
from orchestrator.planning.plan import Plan
from orchestrator.planning.trials import TrialSpec
from orchestrator.recording.workspace import workspace
from tests.builders import INFO, TINY, outcome, sweep, yaml
from tests.execution.test_kept_encoders import Claims, Heard, Store, filled
from tests.planning.test_chains import AFTER, CHAIN, SINGLE, after
from trainers.attempt.checkpoint import ENCODER, GIVEN

LEVELS = """
    axes:
      way: {a: {}, b: {encoder.from: {cell: a}}, c: {encoder.from: {cell: b}}}
    seeds: 2
"""


class Trained:
    """An executor whose trials leave encoders, and remember which one they were given."""

    def __init__(self, folder: Path, fate: Callable[[TrialSpec], str]) -> None:
        self.folder, self.fate = folder, fate
        self.given: dict[str, str | None] = {}

    def run(self, trials: Sequence[TrialSpec], on_event: OnEvent) -> None:
        for trial in trials:
            own, content = self.folder / trial.id, f"encoder of {trial.label}".encode()
            own.mkdir(parents=True, exist_ok=True)
            there = own / GIVEN
            self.given[trial.label] = there.read_text() if there.exists() else None
            (own / ENCODER).write_bytes(content)
            on_event(Started(trial.id, 1, "here:1"))
            details = {"encoder": {"sha256": hashlib.sha256(content).hexdigest()}}
            status = self.fate(trial)
            end: dict[str, Any] = {"details": details} if status != "failed" else {"reason": "out of luck"}
            end |= {"error": "code"} if status == "failed" else {}
            on_event(Finished(trial.id, outcome(0.5, status, **end)))

    def close(self) -> None:
        """Nothing to end."""


class Ran:
    """A sweep as `drive` drives it."""

    def __init__(
        self, text: str, store: Store, home: Path, monkeypatch: pytest.MonkeyPatch,
        fate: Callable[[TrialSpec], str] = lambda trial: "completed", parent: str = TINY + SINGLE,
    ) -> None:  # fmt: skip
        self.said, self.told = list[str](), list[str]()
        made = expand(sweep(yaml(text), {"tiny.yaml": yaml(parent)}))
        space, options = workspace(home, None, None), Options("serial", None, keep_going=True)
        executor: Any = Trained(home / "trials", fate)
        plan = rounds.startable(plan_sweep(made, store), store, looks=True, say=self.said.append)
        prepared: Any = rounds.Prepared(plan, store, executor, INFO, space, options)  # type: ignore[arg-type]
        self.prepared = prepared
        monkeypatch.setattr(drive, "claims_of", lambda *given, shared: Claims())
        monkeypatch.setattr(drive, "published", lambda plan, store, answer, info, say: answer.result)
        self.plans: list[Plan] = []

        def screen(plan: Plan) -> Heard:
            self.plans.append(plan)
            return Heard(self.told)

        self.result: SweepResult = drive.sweep(
            prepared, say=self.said.append, show=lambda answer: None, screen=screen
        )
        self.given = executor.given


def test_each_turn_is_given_the_encoders_of_the_turn_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = Ran(TINY + LEVELS, Store(), tmp_path, monkeypatch)
    assert list(ran.given) == [f"{cell} · seed {seed}" for cell in "abc" for seed in (0, 1)]
    for seed in (0, 1):
        assert ran.given[f"a · seed {seed}"] is None
        assert ran.given[f"b · seed {seed}"] == f"encoder of a · seed {seed}"
        assert ran.given[f"c · seed {seed}"] == f"encoder of b · seed {seed}"
    assert ran.result.trained == {"completed": 6} and len(ran.result.records) == 6
    assert [line for line in ran.said if line.startswith("turn ")] == [
        "turn 1 of 3: 2 trials",
        "turn 2 of 3: 2 trials, 2 from encoders of others",
        "turn 3 of 3: 2 trials, 2 from encoders of others",
    ]


def test_the_screen_of_a_turn_knows_how_many_trials_come_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = Ran(TINY + LEVELS, Store(), tmp_path, monkeypatch)
    assert [(len(plan.done), len(plan.todo), plan.later) for plan in ran.plans] == [
        (0, 2, 4),
        (2, 2, 2),
        (4, 2, 0),
    ]


def test_typed_again_nothing_is_trained_and_what_is_missing_alone_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store()
    Ran(TINY + LEVELS.replace(", c: {encoder.from: {cell: b}}", ""), store, tmp_path, monkeypatch)
    more = Ran(TINY + LEVELS, store, tmp_path, monkeypatch)
    assert more.given == {f"c · seed {seed}": f"encoder of b · seed {seed}" for seed in (0, 1)}
    again = Ran(TINY + LEVELS, store, tmp_path, monkeypatch)
    assert again.given == {} and any("nothing to do: all 6 trials" in line for line in again.said)


def test_children_of_what_collapsed_are_left_out_with_a_line_and_others_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store()

    def fate(trial: TrialSpec) -> str:
        return "collapsed" if trial.label == "a · seed 1" else "completed"

    ran = Ran(TINY + LEVELS, store, tmp_path, monkeypatch, fate)
    assert list(ran.given) == ["a · seed 0", "a · seed 1", "b · seed 0", "c · seed 0"]
    lines = [line for line in ran.said if line.startswith("orch: 1 trial would start")]
    assert "from the encoder of a, seed 1, which collapsed; a result, and stays: " in lines[0]
    never = "of b, seed 1, which can never start; name another cell or seed, or leave these out by `exclude`"
    assert lines[1].endswith(never)  # nothing that anybody trains would change that
    again = Ran(TINY + LEVELS, store, tmp_path, monkeypatch)  # it is said again, and is no error
    assert again.given == {} and "which collapsed" in again.said[0] and again.said[1].endswith(never)
    assert not again.prepared.plan.todo and any("nothing to do: 4 of 6 trials" in one for one in again.said)


def test_children_of_what_failed_wait_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    ran = Ran(TINY + LEVELS, store, tmp_path, monkeypatch, lambda trial: "failed")
    assert [label[0] for label in ran.given] == ["a", "a"] and ran.result.failed == 2
    assert any("which failed (out of luck); `orch sweep SPEC` trains it" in line for line in ran.said)
    again = Ran(TINY + LEVELS, store, tmp_path, monkeypatch)
    assert len(again.given) == 6


def test_a_parent_of_another_sweep_is_not_trained_but_told_before_anything_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store()
    with pytest.raises(
        UsageError, match=r"was not trained; `orch sweep tiny\.yaml --keep encoder` trains it"
    ):
        Ran(AFTER, store, tmp_path, monkeypatch)
    filled(store, tmp_path / "left", expand(sweep(yaml(TINY, SINGLE))))
    ran = Ran(AFTER, store, tmp_path, monkeypatch)
    parents = [trial.parent.id for trial in after(AFTER).trials if trial.parent]
    assert ran.given == {f"base · seed {seed}": parents[seed] for seed in (0, 1)}


def test_while_the_store_is_away_nobody_says_that_what_it_may_have_was_not_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store: Any = Store()
    store.away = "the tracker does not answer"
    ran = Ran(AFTER, store, tmp_path, monkeypatch)
    assert "the tracker does not answer; 2 trials wait until it gives encoders: " in "".join(ran.said)
    assert ran.given == {} and ran.result.waits and "was not trained" not in "".join(ran.said)
    made = Ran(TINY + LEVELS, store, tmp_path, monkeypatch)  # what this driver trains is known
    assert len(made.given) == 6 and not made.result.waits


def test_a_parent_whose_encoder_is_gone_is_told_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, parents = Store(), expand(sweep(yaml(TINY, SINGLE)))
    filled(store, tmp_path / "left", parents)
    (tmp_path / "left" / parents.trials[0].id / ENCODER).unlink()
    with pytest.raises(
        UsageError, match=r"seed 0 of tiny\.yaml, which has lost its encoder: it is not in memory"
    ):
        Ran(AFTER, store, tmp_path, monkeypatch)


@pytest.mark.slow
def test_a_chain_is_trained_from_real_encoders_in_one_command() -> None:
    said: list[str] = []
    made = Sweep(sweep(yaml(TINY, CHAIN.replace("seeds: 2", "seeds: 1"))), tracking_uri="memory:")
    result = made.run("serial", say=said.append)
    assert result.trained == {"completed": 3} and all(one.encoder for one in result.records.values())
    assert len({one.encoder for one in result.records.values()}) == 3
    folder: Any = made.space.checkpoints
    assert list(folder.glob(f"*/{ENCODER}")) and not list(folder.glob(f"*/{GIVEN}"))


def test_trials_that_start_from_others_travel_to_another_process_as_they_are() -> None:
    made = expand(sweep(yaml(TINY, CHAIN)))
    there = on_the_wire(made.trials).specs()
    assert [trial.id for trial in there] == [trial.id for trial in made.trials]
    assert [trial.config for trial in there] == [trial.config for trial in made.trials]
