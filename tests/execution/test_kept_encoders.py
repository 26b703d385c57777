"""Encoders that were kept and are lost: nothing needs them in silence, and nothing is replaced in silence."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import StoreAway
from orchestrator.events import Event
from orchestrator.execution import drive, rounds
from orchestrator.execution.options import Options
from orchestrator.execution.publishing import Answer
from orchestrator.execution.run import SweepResult, plan_sweep
from orchestrator.planning.expand import Expansion
from orchestrator.recording.memory import MemoryStore
from orchestrator.recording.trial_files import ENCODER, lost_encoders
from orchestrator.recording.workspace import workspace
from tests.builders import INFO, TINY, expansion, outcome, yaml
from tests.execution.test_run import Fates

SPEC = yaml(
    TINY, "seeds: 3\nevaluations: {near: knn}\ntables: [{name: main, rows: cells, columns: evaluations}]\n"
)


class Store(MemoryStore):
    """A store in memory, with what a driver asks of one behind a journal."""

    away, notes = None, ()
    carry = close = lambda self: None


class Away(Store):
    """It has records, and gives no files."""

    def encoder(self, trial_id: str) -> bytes | None:
        raise StoreAway("a store does not answer")


class Claims:
    """This driver's alone."""

    release = lambda self: None  # noqa: E731
    lapsed = lambda self: False  # noqa: E731
    take = held = lambda self, trial_ids: {}


class Heard:
    """A screen that remembers what is told."""

    def __init__(self, told: list[str]) -> None:
        self.told = told

    def on_event(self, event: Event) -> None:
        """Nothing."""

    def tell(self, event: Event, note: str) -> None:
        self.told.append(note)

    def close(self) -> None:
        """Nothing."""


def filled(store: Store, folder: Path, made: Expansion, *, value: float = 0.5) -> None:
    """Every trial is done, and has left its encoder."""
    for trial in made.trials:
        content = trial.id.encode()
        details = {"encoder": {"sha256": hashlib.sha256(content).hexdigest()}}
        store.begin(trial.facts, INFO)
        store.finish(trial.id, outcome(value, details=details), INFO)
        (folder / trial.id).mkdir(parents=True)
        (folder / trial.id / ENCODER).write_bytes(content)
        store.keep_encoder(trial.id, folder / trial.id, details["encoder"]["sha256"])


class Ran:
    """A sweep whose trials and evaluations all end well, as `drive` drives it."""

    def __init__(self, store: Store, home: Path, monkeypatch: pytest.MonkeyPatch, **how: Any) -> None:
        self.said, self.told, self.shown = list[str](), list[str](), list[Answer]()
        executor: Any = Fates(lambda trial: "completed")
        executor.close = lambda: None
        options = Options("serial", None, keep=("encoder",), **how)
        plan = plan_sweep(expansion(SPEC), store)
        lost = lost_encoders((plan.records[trial.id] for trial in plan.done), store)
        plan = options.with_anew(plan._replace(lost=lost))
        space = workspace(home, None, None)
        prepared: Any = rounds.Prepared(plan, store, executor, INFO, space, options)  # type: ignore[arg-type]
        monkeypatch.setattr(drive, "claims_of", lambda *given, shared: Claims())
        monkeypatch.setattr(drive, "published", lambda plan, store, answer, info, say: answer.result)
        self.result: SweepResult = drive.sweep(
            prepared, say=self.said.append, show=self.shown.append, screen=lambda plan: Heard(self.told)
        )
        self.labels = [trial.label for trial in executor.ran]


def test_an_evaluation_of_a_lost_encoder_does_not_run_and_that_is_said_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, made = Store(), expansion(SPEC)
    filled(store, tmp_path / "left", made)
    gone, changed = made.trials[0], made.trials[1]
    (tmp_path / "left" / gone.id / ENCODER).unlink()
    (tmp_path / "left" / changed.id / ENCODER).write_bytes(b"another")
    ran = Ran(store, tmp_path, monkeypatch)
    assert ran.labels == ["near · seed 2"]
    (line,) = [one for one in ran.said if "the encoder of" in one]
    assert line.startswith(f"the encoder of {gone.label} ({gone.id}) is not in memory, and 1 more encoder")
    assert line.endswith("`orch sweep SPEC --keep encoder --retrain-unkept` trains them anew")
    assert ran.result.records[gone.id].encoder is not None  # what is recorded stays


def test_a_lost_encoder_is_made_again_when_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, made = Store(), expansion(SPEC)
    filled(store, tmp_path / "left", made)
    (tmp_path / "left" / made.trials[0].id / ENCODER).unlink()
    ran = Ran(store, tmp_path, monkeypatch, retrain_unkept=True)
    assert ran.labels[0] == made.trials[0].label and ran.labels.count(made.trials[0].label) == 1
    assert ran.told == []  # for the result is the same


def test_a_trial_that_is_trained_anew_says_where_its_result_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, made = Store(), expansion(SPEC)
    filled(store, tmp_path / "left", made, value=0.4)
    (tmp_path / "left" / made.trials[0].id / ENCODER).unlink()
    ran = Ran(store, tmp_path, monkeypatch, retrain_unkept=True)
    (note,) = ran.told
    assert note.startswith("trained anew with another result: probe/top1 0.5, before 0.4; run ")


def test_an_encoder_that_is_lost_between_plan_and_start_leaves_its_evaluations_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, made = Store(), expansion(SPEC)
    filled(store, tmp_path / "left", made)
    (tmp_path / "left" / made.trials[0].id / ENCODER).unlink()
    monkeypatch.setattr(drive, "lost_encoders", lambda records, store, whole: {})
    monkeypatch.setitem(globals(), "lost_encoders", lambda records, store: {})
    ran = Ran(store, tmp_path, monkeypatch)
    assert ran.labels == ["near · seed 1", "near · seed 2"]
    assert any("is not in memory; 1 evaluation waits for it; " in line for line in ran.said)


def test_a_store_that_gives_no_encoders_still_prints_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, made = Away(), expansion(SPEC)
    filled(store, tmp_path / "left", made)
    ran = Ran(store, tmp_path, monkeypatch)
    assert ran.labels == [] and ran.result.waits
    assert [table.spec.name for table in ran.shown[0].tables] == ["main"]
    assert "a store does not answer; evaluations wait until it gives encoders" in ran.said[-1]


def test_trials_that_wait_for_a_store_still_do_after_evaluations_have_run(tmp_path: Path) -> None:
    store, made = Store(), expansion(SPEC)
    filled(store, tmp_path / "left", made)
    options, space = Options("serial", keep=("encoder",)), workspace(tmp_path, None, None)
    records = store.records([trial.id for trial in made.trials])
    prepared: Any = rounds.Prepared(plan_sweep(made, store), store, None, INFO, space, options)  # type: ignore[arg-type]
    before, ran = SweepResult(Counter(), records, interrupted=False, waits=True), list[int]()

    def evaluate(asked: rounds.Prepared, **how: Any) -> SweepResult:
        ran.append(len(asked.plan.todo))
        return SweepResult(Counter(), asked.plan.records, interrupted=False)

    assert drive._evaluated(prepared, before, evaluate, lambda line: None).waits and ran == [3]
